//! The fuzz targets for libFuzzer.

pub mod targets;

#[doc(hidden)]
pub use libfuzzer_sys;

use std::panic::{PanicHookInfo, set_hook};

/// Defines the libFuzzer entry point of a target.
#[macro_export]
macro_rules! fuzz {
    ($name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(init: $crate::allow_caught_panics(), |data: &[u8]| {
            const RUN: fn(&[u8]) -> bool = $crate::target($name);
            RUN(data);
        });
    };
}

/// Returns the target with a name.
pub const fn target(name: &str) -> fn(&[u8]) -> bool {
    let mut index = 0;
    while !same(targets::TARGETS[index].name.as_bytes(), name.as_bytes()) {
        index += 1;
    }
    targets::TARGETS[index].run
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut index = 0;
    while index < a.len() && index < b.len() && a[index] == b[index] {
        index += 1;
    }
    index == a.len() && index == b.len()
}

/// Replaces the panic hook of libFuzzer, which aborts on every panic. The readers catch panics of the
/// tokenizers and parquet crates; a panic that escapes a target still aborts.
pub fn allow_caught_panics() {
    set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let file = panic.location().map_or("", |location| location.file());
        if !file.contains("/registry/src/") {
            eprintln!("{panic}");
        }
    }));
}
