//! Write a Millstream module in Rust: implement [`Module`] and name the type in [`module!`].
//!
//! The results may depend on the record and the configuration alone: an instance may be replaced between any two records.

mod frame;
pub mod json;
mod record;

pub use json::Json;
pub use record::{Config, Failure, Output, Record};

#[doc(hidden)]
pub use frame::{Guest, Input};

/// What the host gives; the texts are UTF-8.
#[doc(hidden)]
pub mod host {
    #[link(wasm_import_module = "millstream")]
    extern "C" {
        fn log(level: i32, ptr: *const u8, length: usize);
        fn progress(index: i32);
        fn fail(index: i32, code: *const u8, code_length: usize, text: *const u8, text_length: usize);
    }

    pub fn write(level: i32, line: &str) {
        unsafe { log(level, line.as_ptr(), line.len()) }
    }

    use std::sync::atomic::{AtomicI32, Ordering};
    static CURRENT: AtomicI32 = AtomicI32::new(-1);

    pub fn at(index: i32) {
        CURRENT.store(index, Ordering::Relaxed);
        if index >= 0 {
            unsafe { progress(index) }
        }
    }

    /// What a panic says is the reason of the record that it costs.
    pub fn say_why_it_panics() {
        std::panic::set_hook(Box::new(|info| refuse(CURRENT.load(Ordering::Relaxed), "MODULE_THREW", &info.to_string())));
    }

    pub fn refuse(index: i32, code: &str, text: &str) {
        unsafe { fail(index, code.as_ptr(), code.len(), text.as_ptr(), text.len()) }
    }
}

/// Writes a line to the module's log.
pub fn log(line: &str) {
    host::write(1, line)
}

/// What an author writes. `configure` makes the module, once, before any record.
pub trait Module: Sized {
    /// Records whose value is null come here too, instead of passing unchanged.
    const TOMBSTONES: bool = false;

    /// An error refuses the configuration.
    fn configure(config: &Config) -> Result<Self, String>;

    /// Called for each record, in order; what is not emitted is dropped. An error fails the record: it becomes a dead
    /// letter, or what the step's `on_error` says, and nothing of it is emitted.
    fn transform(&mut self, record: &mut Record, out: &mut Output) -> Result<(), Failure>;
}

/// Exports the ABI's functions for a type that is a [`Module`].
#[macro_export]
macro_rules! module {
    ($type:ty) => {
        static mut GUEST: Option<$crate::Guest<$type>> = None;
        static mut INPUT: $crate::Input = $crate::Input::new();

        #[no_mangle]
        pub extern "C" fn millstream_abi_v1() -> i32 {
            $crate::host::say_why_it_panics();
            1 | if <$type as $crate::Module>::TOMBSTONES { 2 } else { 0 }
        }

        #[no_mangle]
        #[allow(static_mut_refs)]
        pub extern "C" fn millstream_alloc(length: usize) -> *mut u8 {
            unsafe { INPUT.room(length) }
        }

        #[no_mangle]
        #[allow(static_mut_refs)]
        pub extern "C" fn millstream_init(ptr: *const u8, length: usize) -> i32 {
            let init = unsafe { std::slice::from_raw_parts(ptr, length) };
            match $crate::Guest::<$type>::new(init) {
                Ok(guest) => {
                    unsafe { GUEST = Some(guest) };
                    0
                }
                Err(reason) => {
                    $crate::host::refuse(-1, "INVALID_CONFIG", &reason);
                    1
                }
            }
        }

        #[no_mangle]
        #[allow(static_mut_refs)]
        pub extern "C" fn millstream_process(ptr: *const u8, length: usize) -> i64 {
            let frame = unsafe { std::slice::from_raw_parts(ptr, length) };
            match unsafe { GUEST.as_mut() } {
                Some(guest) => guest.process(frame),
                None => 0,
            }
        }
    };
}
