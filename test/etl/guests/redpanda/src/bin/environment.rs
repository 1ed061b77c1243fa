//! What a transform can find out about its surroundings: environment, arguments, clocks, randomness, files.
use redpanda_transform_sdk::*;
use serde_json::{json, Map, Value};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn main() {
    on_record_written(environment)
}

fn environment(event: WriteEvent, writer: &mut RecordWriter) -> Result<(), WriteError> {
    let begun = Instant::now();
    let mut vars = Map::new();
    for (name, value) in std::env::vars() {
        vars.insert(name, Value::from(value));
    }
    std::thread::sleep(Duration::from_secs(3600));
    let said = json!({
        "env": vars,
        "args": std::env::args().collect::<Vec<_>>(),
        "now": SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_millis() as u64).unwrap_or(0),
        "elapsed": begun.elapsed().as_micros() as u64,
        "random": format!("{:016x}", RandomState::new().hash_one(1)),
        "file": std::fs::read("/etc/passwd").is_ok(),
        "written": std::fs::write("/tmp/millstream-guest", "x").is_ok(),
    });
    writer.write(BorrowedRecord::new(event.record.key(), Some(said.to_string().as_bytes())))
}
