//! Everything that can go wrong with a record, by what its value begins with; all others are counted and written.
//! The count is a global: it shows when a fresh instance has taken over.
use redpanda_transform_sdk::*;
use std::cell::Cell;

thread_local!(static COUNT: Cell<u32> = const { Cell::new(0) });

fn main() {
    if std::env::var("REFUSE").is_ok() {
        panic!("REFUSE is set");
    }
    if std::env::var("LEAVE").is_ok() {
        return;
    }
    on_record_written(trouble)
}

#[derive(Debug)]
#[allow(dead_code)]
enum Trouble {
    Bad(String),
    Write(WriteError),
}

fn trouble(event: WriteEvent, writer: &mut RecordWriter) -> Result<(), Trouble> {
    let value = String::from_utf8_lossy(event.record.value().unwrap_or_default()).to_string();
    let count = COUNT.get() + 1;
    COUNT.set(count);
    match value.split(' ').next().unwrap_or_default() {
        "error" => return Err(Trouble::Bad(value)),
        "panic" => panic!("cannot bear {value}"),
        "exit" => std::process::exit(7),
        "loop" => loop {
            std::hint::black_box(&value);
        },
        "memory" => {
            let mut all = Vec::new();
            loop {
                all.push(vec![1u8; 1 << 20]);
                std::hint::black_box(&all);
            }
        }
        "deep" => {
            std::hint::black_box(deep(std::hint::black_box(u64::MAX)));
        }
        "flood" => {
            let big = vec![b'x'; 1 << 20];
            for _ in 0..1024 {
                writer.write(BorrowedRecord::new(None, Some(&big))).map_err(Trouble::Write)?;
            }
        }
        "partial" => {
            writer.write(BorrowedRecord::new(None, Some(b"half"))).map_err(Trouble::Write)?;
            return Err(Trouble::Bad(value));
        }
        "log" => {
            println!("out: {value}");
            eprintln!("err: {value}");
            print!("no ");
            println!("newline between");
        }
        _ => (),
    }
    let said = format!("{value} {count}");
    writer.write(BorrowedRecord::new(event.record.key(), Some(said.as_bytes()))).map_err(Trouble::Write)
}

#[inline(never)]
fn deep(n: u64) -> u64 {
    if n == 0 {
        return 0;
    }
    std::hint::black_box(deep(std::hint::black_box(n - 1))) + 1
}
