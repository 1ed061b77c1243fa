//! Between the ABI's frames and an author's functions.
//!
//! Input frame, little endian: u8 version, u8 flags, u16 header length, u32 count, i64 base offset, i64 base timestamp,
//! u32 partition; then per record u32 body length, u32 offset delta, i64 timestamp, body. Output frame: the same first 8
//! bytes (header length 8); per record u32 input index, u16 route, u16 flags (1 = has timestamp), [i64 timestamp],
//! u32 body length, body.

use crate::{host, json, Config, Module, Output, Record};

/// The buffer that the host writes into: one, kept between calls.
pub struct Input(Vec<u8>);

impl Input {
    pub const fn new() -> Self {
        Input(Vec::new())
    }

    pub fn room(&mut self, length: usize) -> *mut u8 {
        if self.0.len() < length {
            self.0.resize(length.max(self.0.len() * 2), 0);
        }
        self.0.as_mut_ptr()
    }
}

pub struct Guest<M: Module> {
    module: M,
    out: Output,
}

impl<M: Module> Guest<M> {
    pub fn new(init: &[u8]) -> Result<Self, String> {
        let init = json::parse(init)?;
        let outputs = init.get("outputs").items().iter().map(|name| name.text().to_string()).collect();
        let module = M::configure(&Config::new(init.get("config").clone()))?;
        Ok(Guest { module, out: Output::new(outputs) })
    }

    pub fn process(&mut self, frame: &[u8]) -> i64 {
        let count = u32_at(frame, 4);
        let base = i64_at(frame, 8);
        let partition = u32_at(frame, 24);
        let mut at = u16_at(frame, 2) as usize;
        self.out.open();
        for index in 0..count {
            host::at(index as i32);
            let end = at + 16 + u32_at(frame, at) as usize;
            let offset = base + u32_at(frame, at + 4) as i64;
            let mut record = Record::new(&frame[at + 16..end], offset, partition, i64_at(frame, at + 8));
            at = end;
            self.out.open_record(index);
            if let Err(failure) = self.module.transform(&mut record, &mut self.out) {
                self.out.void_record();
                host::refuse(index as i32, &failure.code, &failure.reason);
            }
        }
        host::at(-1);
        self.out.close()
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
