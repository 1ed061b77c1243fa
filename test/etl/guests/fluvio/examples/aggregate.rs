//! A running sum, kept as text; what is no number is an error and leaves the sum as it is.
use fluvio_smartmodule::{smartmodule, RecordData, Result, SmartModuleRecord};

#[smartmodule(aggregate)]
pub fn aggregate(accumulator: RecordData, current: &SmartModuleRecord) -> Result<RecordData> {
    let sum: i64 = match accumulator.as_ref() {
        b"" => 0,
        digits => std::str::from_utf8(digits)?.parse()?,
    };
    let next: i64 = std::str::from_utf8(current.value.as_ref())?.parse()?;
    Ok((sum + next).to_string().into())
}
