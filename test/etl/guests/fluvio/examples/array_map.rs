//! A JSON array becomes one record for each of its values; strings among them become the keys of their records.
use fluvio_smartmodule::{smartmodule, RecordData, Result, SmartModuleRecord};
use serde_json::Value;

#[smartmodule(array_map)]
pub fn array_map(record: &SmartModuleRecord) -> Result<Vec<(Option<RecordData>, RecordData)>> {
    let values: Vec<Value> = serde_json::from_slice(record.value.as_ref())?;
    Ok(values
        .into_iter()
        .map(|value| (value.as_str().map(RecordData::from), RecordData::from(value.to_string())))
        .collect())
}
