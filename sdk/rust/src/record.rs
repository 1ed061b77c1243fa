//! Records as an author sees them, and where they go.
//!
//! A record's body, as Kafka writes it: zigzag length and bytes of key and value (-1: null), the number of headers, and
//! for each its name and value likewise.

use crate::json::{self, Json};
use std::borrow::Cow;

/// This record cannot be processed. The code is a short upper-case name, such as INVALID_JSON.
pub struct Failure {
    pub code: String,
    pub reason: String,
}

impl Failure {
    pub fn new(code: &str, reason: &str) -> Self {
        Failure { code: code.into(), reason: reason.into() }
    }
}

/// The step's `config`.
pub struct Config(Json);

impl Config {
    pub(crate) fn new(config: Json) -> Self {
        Config(config)
    }

    pub fn json(&self) -> &Json {
        &self.0
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        self.0.get(name).number()
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).as_text()
    }
}

type Bytes<'a> = Option<Cow<'a, [u8]>>;

/// One record: what is set changes what is emitted next.
pub struct Record<'a> {
    /// Position in the partition.
    pub offset: i64,
    pub partition: u32,
    timestamp: i64,
    has_new_timestamp: bool,
    key: Bytes<'a>,
    value: Bytes<'a>,
    headers: Vec<(Cow<'a, str>, Bytes<'a>)>,
}

impl<'a> Record<'a> {
    pub(crate) fn new(body: &'a [u8], offset: i64, partition: u32, timestamp: i64) -> Self {
        let mut reader = Reader { body, at: 0 };
        let key = reader.part().map(Cow::Borrowed);
        let value = reader.part().map(Cow::Borrowed);
        let count = reader.number();
        let headers = (0..count)
            .map(|_| {
                let name = String::from_utf8_lossy(reader.part().unwrap_or_default());
                (name, reader.part().map(Cow::Borrowed))
            })
            .collect();
        Record { offset, partition, timestamp, has_new_timestamp: false, key, value, headers }
    }

    pub fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// None: a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// The value as JSON; what is none fails the record with the code INVALID_JSON.
    pub fn json(&self) -> Result<Json, Failure> {
        json::parse(self.value().unwrap_or_default()).map_err(|reason| Failure::new("INVALID_JSON", &reason))
    }

    /// The last header of this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rev().find(|(each, _)| each == name).and_then(|(_, value)| value.as_deref())
    }

    /// Milliseconds since the epoch.
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    pub fn set_timestamp(&mut self, timestamp: i64) {
        self.timestamp = timestamp;
        self.has_new_timestamp = true;
    }

    pub fn set_key(&mut self, key: Vec<u8>) {
        self.key = Some(Cow::Owned(key));
    }

    pub fn set_value(&mut self, value: impl Into<Vec<u8>>) {
        self.value = Some(Cow::Owned(value.into()));
    }

    /// Replaces every header of this name.
    pub fn set_header(&mut self, name: &str, value: &str) {
        self.remove_header(name);
        self.headers.push((Cow::Owned(name.into()), Some(Cow::Owned(value.as_bytes().to_vec()))));
    }

    pub fn remove_header(&mut self, name: &str) {
        self.headers.retain(|(each, _)| each != name);
    }
}

struct Reader<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn number(&mut self) -> i64 {
        let mut value: u64 = 0;
        let mut shift = 0;
        loop {
            let byte = self.body[self.at];
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return (value >> 1) as i64 ^ -((value & 1) as i64);
            }
            shift += 7;
        }
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let length = self.number();
        if length < 0 {
            return None;
        }
        let from = self.at;
        self.at += length as usize;
        Some(&self.body[from..self.at])
    }
}

/// Where records go. What is not emitted is dropped.
pub struct Output {
    names: Vec<String>,
    bytes: Vec<u8>,
    count: u32,
    index: u32,
    before: (usize, u32),
}

impl Output {
    pub(crate) fn new(names: Vec<String>) -> Self {
        Output { names, bytes: Vec::new(), count: 0, index: 0, before: (0, 0) }
    }

    /// On to the next step, or to the default output.
    pub fn emit(&mut self, record: &Record) -> Result<(), Failure> {
        self.write(0, record);
        Ok(())
    }

    /// To a named output of the pipeline; the record leaves the chain there.
    pub fn to(&mut self, output: &str, record: &Record) -> Result<(), Failure> {
        match self.names.iter().position(|name| name == output) {
            Some(route) => {
                self.write(route as u16, record);
                Ok(())
            }
            None => {
                let reason = format!("the module sends records to \"{output}\", which is no output of this pipeline");
                Err(Failure::new("UNKNOWN_OUTPUT", &reason))
            }
        }
    }

    pub fn has(&self, output: &str) -> bool {
        self.names.iter().any(|name| name == output)
    }

    pub(crate) fn open(&mut self) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&[1, 0, 8, 0, 0, 0, 0, 0]);
        self.count = 0;
    }

    pub(crate) fn open_record(&mut self, index: u32) {
        self.index = index;
        self.before = (self.bytes.len(), self.count);
    }

    pub(crate) fn void_record(&mut self) {
        self.bytes.truncate(self.before.0);
        self.count = self.before.1;
    }

    pub(crate) fn close(&mut self) -> i64 {
        if self.count == 0 {
            return 0;
        }
        self.bytes[4..8].copy_from_slice(&self.count.to_le_bytes());
        (self.bytes.as_ptr() as i64) << 32 | self.bytes.len() as i64
    }

    fn write(&mut self, route: u16, record: &Record) {
        self.bytes.extend_from_slice(&self.index.to_le_bytes());
        self.bytes.extend_from_slice(&route.to_le_bytes());
        self.bytes.extend_from_slice(&u16::from(record.has_new_timestamp).to_le_bytes());
        if record.has_new_timestamp {
            self.bytes.extend_from_slice(&record.timestamp.to_le_bytes());
        }
        let length_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.part(record.key());
        self.part(record.value());
        self.number(record.headers.len() as i64);
        for (name, value) in &record.headers {
            self.part(Some(name.as_bytes()));
            self.part(value.as_deref());
        }
        let length = (self.bytes.len() - length_at - 4) as u32;
        self.bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
        self.count += 1;
    }

    fn part(&mut self, part: Option<&[u8]>) {
        match part {
            None => self.bytes.push(1),
            Some(bytes) => {
                self.number(bytes.len() as i64);
                self.bytes.extend_from_slice(bytes);
            }
        }
    }

    fn number(&mut self, value: i64) {
        let mut rest = ((value << 1) ^ (value >> 63)) as u64;
        while rest > 0x7f {
            self.bytes.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.bytes.push(rest as u8);
    }
}
