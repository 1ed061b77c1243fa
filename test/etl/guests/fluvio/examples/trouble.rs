//! Everything that can go wrong with a record, by what its value begins with; others are passed on with a count.
use fluvio_smartmodule::{eyre, smartmodule, RecordData, Result, SmartModuleRecord};
use std::sync::atomic::{AtomicU32, Ordering};

static COUNT: AtomicU32 = AtomicU32::new(0);

#[smartmodule(map)]
pub fn map(record: &SmartModuleRecord) -> Result<(Option<RecordData>, RecordData)> {
    let value = String::from_utf8_lossy(record.value.as_ref()).to_string();
    let count = COUNT.fetch_add(1, Ordering::SeqCst) + 1;
    match value.split(' ').next().unwrap_or_default() {
        "error" => return Err(eyre!("cannot bear {value}")),
        "panic" => panic!("cannot bear {value}"),
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
        _ => (),
    }
    Ok((record.key().cloned(), format!("{value} {count}").into()))
}
