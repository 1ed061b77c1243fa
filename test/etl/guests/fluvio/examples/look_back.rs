//! Keeps what is greater than every number before it. Looking back, it learns the numbers that came before it began.
use fluvio_smartmodule::{smartmodule, Result, SmartModuleRecord};
use std::sync::atomic::{AtomicI64, Ordering};

static MOST: AtomicI64 = AtomicI64::new(i64::MIN);

fn number(record: &SmartModuleRecord) -> Result<i64> {
    Ok(std::str::from_utf8(record.value.as_ref())?.parse()?)
}

#[smartmodule(look_back)]
pub fn look_back(record: &SmartModuleRecord) -> Result<()> {
    MOST.fetch_max(number(record)?, Ordering::SeqCst);
    Ok(())
}

#[smartmodule(filter)]
pub fn filter(record: &SmartModuleRecord) -> Result<bool> {
    let number = number(record)?;
    Ok(number > MOST.fetch_max(number, Ordering::SeqCst))
}
