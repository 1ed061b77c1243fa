//! Says what it was given: key, value, offset and time, as JSON; the key is turned around.
use fluvio_smartmodule::{smartmodule, RecordData, Result, SmartModuleRecord};
use serde_json::json;

#[smartmodule(map)]
pub fn map(record: &SmartModuleRecord) -> Result<(Option<RecordData>, RecordData)> {
    let text = |data: &RecordData| String::from_utf8_lossy(data.as_ref()).to_string();
    let said = json!({
        "key": record.key().map(text),
        "value": text(record.value()),
        "offset": record.offset(),
        "timestamp": record.timestamp(),
    });
    let key = record.key().map(|key| RecordData::from(text(key).chars().rev().collect::<String>()));
    Ok((key, said.to_string().into()))
}
