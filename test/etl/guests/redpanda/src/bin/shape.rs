//! Keys, headers and tombstones: says what it was given, byte for byte, and gives back what it is asked for.
//!   value "describe" or null   a JSON description of key, value, headers and timestamp
//!   value "tombstone"          the key with a null value
//!   value "keyless"            a null key and an empty value
//!   value "headers"            headers with an empty name, an empty value, a null value and a name twice
//!   value "twice"              the record two times
use redpanda_transform_sdk::*;
use serde_json::{json, Value};
use std::time::UNIX_EPOCH;

fn main() {
    on_record_written(shape)
}

fn hex(bytes: Option<&[u8]>) -> Value {
    match bytes {
        Some(bytes) => Value::from(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()),
        None => Value::Null,
    }
}

fn shape(event: WriteEvent, writer: &mut RecordWriter) -> Result<(), WriteError> {
    let record = event.record;
    match record.value() {
        Some(b"tombstone") => writer.write(BorrowedRecord::new(record.key(), None)),
        Some(b"keyless") => writer.write(BorrowedRecord::new(None, Some(b""))),
        Some(b"headers") => writer.write(BorrowedRecord::new_with_headers(
            record.key(),
            Some(b"headers"),
            vec![
                BorrowedHeader::new(b"", Some(b"no name")),
                BorrowedHeader::new(b"empty", Some(b"")),
                BorrowedHeader::new(b"null", None),
                BorrowedHeader::new(b"twice", Some(b"1")),
                BorrowedHeader::new(b"twice", Some(b"2")),
            ],
        )),
        Some(b"twice") => {
            writer.write(BorrowedRecord::new(record.key(), record.value()))?;
            writer.write(BorrowedRecord::new(record.key(), record.value()))
        }
        _ => {
            let headers: Vec<Value> = record.headers().iter().map(|h| json!([hex(Some(h.key())), hex(h.value())])).collect();
            let timestamp = record.timestamp().duration_since(UNIX_EPOCH).map(|d| d.as_millis() as u64).unwrap_or(0);
            let said = json!({
                "key": hex(record.key()), "value": hex(record.value()), "headers": headers, "timestamp": timestamp,
            });
            writer.write(BorrowedRecord::new(record.key(), Some(said.to_string().as_bytes())))
        }
    }
}
