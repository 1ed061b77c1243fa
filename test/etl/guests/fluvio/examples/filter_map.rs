//! Halves even numbers and leaves odd ones out; what is no number is an error. Takes the record as older SDKs gave it.
use fluvio_smartmodule::{smartmodule, Record, RecordData, Result};

#[smartmodule(filter_map)]
pub fn filter_map(record: &Record) -> Result<Option<(Option<RecordData>, RecordData)>> {
    let number: i64 = std::str::from_utf8(record.value.as_ref())?.parse()?;
    Ok((number % 2 == 0).then(|| (record.key.clone(), RecordData::from((number / 2).to_string()))))
}
