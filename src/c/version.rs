//! Versions.

use std::ffi::c_char;

/// Version of the interface that this header declares. A library of the same version has all of it,
/// and perhaps more; within a version functions, kinds and fields at the ends of structures are only
/// added.
pub const MINIFT_ABI_VERSION: u32 = 1;

/// Version of the interface that the library has. Compare it with `MINIFT_ABI_VERSION` before anything
/// else where the library is loaded at run time.
#[unsafe(no_mangle)]
pub extern "C" fn minift_abi_version() -> u32 {
    MINIFT_ABI_VERSION
}

/// Version of the library, such as "0.1.0". Never NULL, and never freed.
#[unsafe(no_mangle)]
pub extern "C" fn minift_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
