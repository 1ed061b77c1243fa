//! Writes every record as it came.
use redpanda_transform_sdk::*;

fn main() {
    on_record_written(|event, writer| writer.write(event.record))
}
