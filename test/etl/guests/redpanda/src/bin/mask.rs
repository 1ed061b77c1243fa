//! Map and filter: drops level "debug", masks the field that MASK_FIELD names ("email"), adds `seen`, keeps the headers.
//! A value that is no JSON object is an error.
use redpanda_transform_sdk::*;
use serde_json::{Map, Value};

fn main() {
    let field = std::env::var("MASK_FIELD").unwrap_or("email".to_string());
    on_record_written(move |event, writer| mask(&field, event, writer))
}

fn mask(field: &str, event: WriteEvent, writer: &mut RecordWriter) -> Result<(), Box<dyn std::error::Error>> {
    let record = event.record;
    let mut order: Map<String, Value> = serde_json::from_slice(record.value().unwrap_or_default())?;
    if order.get("level").and_then(Value::as_str) == Some("debug") {
        return Ok(());
    }
    if order.contains_key(field) {
        order.insert(field.to_string(), Value::from("***"));
    }
    order.insert("seen".to_string(), Value::from(true));
    let value = serde_json::to_vec(&order)?;
    let headers = record.headers().to_vec();
    writer.write(BorrowedRecord::new_with_headers(record.key(), Some(&value), headers))?;
    Ok(())
}
