//! Versions.

use std::ffi::c_char;

/// ABI version that this header declares. Within a version, functions, enumerators and trailing
/// structure fields are only added: a library of the same version provides at least what this
/// header declares.
pub const MINIFT_ABI_VERSION: u32 = 1;

/// Returns the ABI version of the library. When loading the library at run time, compare it with
/// `MINIFT_ABI_VERSION` before calling anything else.
#[unsafe(no_mangle)]
pub extern "C" fn minift_abi_version() -> u32 {
    MINIFT_ABI_VERSION
}

/// Returns the version of the library, such as "0.1.0". Never NULL; do not free it.
#[unsafe(no_mangle)]
pub extern "C" fn minift_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
