//! Crates that panic on files which somebody else made.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs what may panic on a damaged file, and makes the panic's message of it. Nothing may outlive
/// `work` that could be left half done. (WebAssembly cannot catch panics: there the worker ends, and
/// the page says so.)
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("its parts do not fit together")
            .to_string()
    })
}
