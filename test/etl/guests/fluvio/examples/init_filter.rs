//! Keeps what holds the text of the parameter `key`, and `all = "true"` keeps everything.
use fluvio_smartmodule::dataplane::smartmodule::{SmartModuleExtraParams, SmartModuleInitError};
use fluvio_smartmodule::{eyre, smartmodule, Result, SmartModuleRecord};
use std::sync::OnceLock;

static KEY: OnceLock<String> = OnceLock::new();
static ALL: OnceLock<bool> = OnceLock::new();

#[smartmodule(init)]
fn init(params: SmartModuleExtraParams) -> Result<()> {
    let key = params.get("key").ok_or(SmartModuleInitError::MissingParam("key".to_string()))?;
    KEY.set(key.clone()).map_err(|key| eyre!("the key was set before {key}"))?;
    let _ = ALL.set(params.get("all").map(String::as_str) == Some("true"));
    Ok(())
}

#[smartmodule(filter)]
pub fn filter(record: &SmartModuleRecord) -> Result<bool> {
    let key = KEY.get().ok_or(eyre!("init was not called"))?;
    Ok(ALL.get() == Some(&true) || std::str::from_utf8(record.value.as_ref())?.contains(key.as_str()))
}
