//! The library for other languages.

#[cfg(all(feature = "c", not(target_arch = "wasm32")))]
pub mod c;
// What wasm-bindgen exports is public for JavaScript, not for Rust.
#[allow(unreachable_pub)]
#[cfg(feature = "web")]
pub mod web;
