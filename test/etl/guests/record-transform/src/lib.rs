//! A guest of the world `record-transform`, written against transform.wit alone: upper-case values, a header more, the
//! key and the offset for who asks, two records for `twice`, another output, a failure, a trap.
wit_bindgen::generate!({ world: "record-transform", path: "../../../../etl/abi/transform.wit" });

use millstream::transform::{host, types::Header};
use std::cell::RefCell;

thread_local! { static PREFIX: RefCell<String> = const { RefCell::new(String::new()) }; }

struct Transform;

impl Guest for Transform {
    fn capabilities() -> u32 {
        2
    }

    fn configure(init: Vec<u8>) -> Result<(), String> {
        let text = String::from_utf8(init).map_err(|error| error.to_string())?;
        if text.contains("\"refuse\"") {
            return Err("it is to be refused".to_string());
        }
        PREFIX.with(|prefix| *prefix.borrow_mut() = if text.contains("\"shout\"") { "!".into() } else { String::new() });
        Ok(())
    }

    fn on_record(record: Incoming) -> Result<Vec<Outgoing>, Failure> {
        let Incoming { key, value, mut headers, timestamp, offset } = record;
        let text = value.as_ref().map(|value| String::from_utf8_lossy(value).to_string());
        let plain = |value: Option<Vec<u8>>, headers: Vec<Header>| Outgoing {
            key: key.clone(),
            value,
            headers,
            timestamp: None,
            output: None,
        };
        match text.as_deref() {
            None => Ok(vec![plain(Some(b"a tombstone".to_vec()), headers)]),
            Some("drop") => Ok(vec![]),
            Some("same") => Ok(vec![plain(value, headers)]),
            Some("null") => Ok(vec![Outgoing { key: None, ..plain(None, headers) }]),
            Some("empty") => Ok(vec![Outgoing { key: Some(vec![]), ..plain(Some(vec![]), vec![]) }]),
            Some("twice") => Ok(vec![plain(value.clone(), headers.clone()), plain(value, headers)]),
            Some("later") => Ok(vec![Outgoing { timestamp: Some(timestamp + 1), ..plain(value, headers) }]),
            Some("suspect") => Ok(vec![Outgoing { output: Some("suspect".to_string()), ..plain(value, headers) }]),
            Some("nowhere") => Ok(vec![Outgoing { output: Some("nowhere".to_string()), ..plain(value, headers) }]),
            Some("where") => Ok(vec![plain(Some(format!("{offset} {timestamp}").into_bytes()), headers)]),
            Some("fail") => Err(Failure { code: "NOT_GOOD".to_string(), reason: "it says fail".to_string() }),
            Some("trap") => unreachable!(),
            Some(other) => {
                host::log(1, &format!("saw {other}"));
                headers.push(("seen".to_string(), Some(b"yes".to_vec())));
                let loud = PREFIX.with(|prefix| format!("{}{}", other.to_uppercase(), prefix.borrow()));
                Ok(vec![plain(Some(loud.into_bytes()), headers)])
            }
        }
    }
}

export!(Transform);
