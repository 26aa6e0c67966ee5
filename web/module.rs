//! The wasm module of the page and of the npm package: the library's JavaScript binding.

pub use minift::bindings::web;
