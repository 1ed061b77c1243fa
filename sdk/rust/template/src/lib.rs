use millstream::{Config, Failure, Module, Output, Record};

/// Made once, before any record, from the step's `config`.
struct Orders {
    big_from: f64,
}

impl Module for Orders {
    /// An error refuses the configuration.
    fn configure(config: &Config) -> Result<Self, String> {
        let big_from = config.number("big_from").unwrap_or(1000.0);
        if big_from < 0.0 {
            return Err("`big_from` must not be negative".into());
        }
        Ok(Orders { big_from })
    }

    /// Called for each record. What is not emitted is dropped; `out.to("name", &record)` sends it to a named output.
    fn transform(&mut self, record: &mut Record, out: &mut Output) -> Result<(), Failure> {
        let order = record.json()?; // what is no JSON is a dead letter by now
        if order.get("test").is_true() {
            return Ok(());
        }
        let total = order.get("total").number();
        let total = total.ok_or_else(|| Failure::new("NO_TOTAL", "an order has a `total`, a number"))?;
        let big = total >= self.big_from;
        let value = order.with("big", if big { "true" } else { "false" });
        record.set_value(value);
        if big {
            record.set_header("size", "big");
        }
        out.emit(record)
    }
}

millstream::module!(Orders);
