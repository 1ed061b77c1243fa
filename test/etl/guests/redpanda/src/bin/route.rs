//! Several outputs: the value names the topics that get a copy, with commas in between; "-" is the default output.
//! A topic that the pipeline does not have makes the SDK return an error, which becomes the record's own.
use redpanda_transform_sdk::*;

fn main() {
    on_record_written(route)
}

fn route(event: WriteEvent, writer: &mut RecordWriter) -> Result<(), WriteError> {
    let value = String::from_utf8_lossy(event.record.value().unwrap_or_default()).to_string();
    for name in value.split(',').filter(|name| !name.is_empty()) {
        let copy = BorrowedRecord::new(event.record.key(), Some(name.as_bytes()));
        match name {
            "-" => writer.write(copy)?,
            topic => writer.write_with_options(copy, WriteOptions::to_topic(topic))?,
        }
    }
    Ok(())
}
