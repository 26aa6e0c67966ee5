//! Strings for C.

use std::ffi::CString;

/// Converts a string for C. NUL characters, which would end it, are replaced with U+FFFD.
pub(super) fn c_string(text: &str) -> CString {
    let text = text.replace('\0', "\u{fffd}");
    CString::new(text).unwrap_or_else(|_| unreachable!("NUL bytes were replaced"))
}
