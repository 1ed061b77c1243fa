//! A transform of ABI 1, with the SDK of its time: writes what is given; "bad" is an error.
use redpanda_transform_sdk::*;

fn main() {
    on_record_written(copy)
}

fn copy(event: WriteEvent, writer: &mut dyn RecordWriter) -> Result<(), std::fmt::Error> {
    let record = event.record;
    if record.value() == Some(b"bad") {
        return Err(std::fmt::Error);
    }
    let copy = Record::new(record.key().map(<[u8]>::to_vec), record.value().map(<[u8]>::to_vec));
    writer.write(copy).map_err(|_| std::fmt::Error)
}
