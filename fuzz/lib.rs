//! The targets for libFuzzer.

pub mod targets;

#[doc(hidden)]
pub use libfuzzer_sys;

use std::panic::{PanicHookInfo, set_hook};

/// Makes libFuzzer's program of the target of that name.
#[macro_export]
macro_rules! fuzz {
    ($name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(init: $crate::allow_caught_panics(), |data: &[u8]| {
            const RUN: fn(&[u8]) -> bool = $crate::target($name);
            RUN(data);
        });
    };
}

/// The target of that name.
pub const fn target(name: &str) -> fn(&[u8]) -> bool {
    let mut number = 0;
    while !same(targets::TARGETS[number].name.as_bytes(), name.as_bytes()) {
        number += 1;
    }
    targets::TARGETS[number].run
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut place = 0;
    while place < a.len() && place < b.len() && a[place] == b[place] {
        place += 1;
    }
    place == a.len() && place == b.len()
}

/// libFuzzer's hook ends the program at every panic. Those of the tokenizers and parquet crates are
/// caught by the readers; what is not caught ends the program all the same, behind the target.
pub fn allow_caught_panics() {
    set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let place = panic.location().map_or("", |location| location.file());
        if !place.contains("/registry/src/") {
            eprintln!("{panic}");
        }
    }));
}
