//! Keeps what holds the letter a; a value that is no UTF-8 is an error.
use fluvio_smartmodule::{smartmodule, Result, SmartModuleRecord};

#[smartmodule(filter)]
pub fn filter(record: &SmartModuleRecord) -> Result<bool> {
    Ok(std::str::from_utf8(record.value.as_ref())?.contains('a'))
}
