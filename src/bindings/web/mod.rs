//! The JavaScript binding: devices, models, texts and runs as classes of a wasm module.
//! TypeScript types are declared where the Rust types are defined; errors are thrown as `Error` with
//! the error's `kind`. Nothing here blocks.

mod chat;
mod data;
mod device;
mod dial;
mod domains;
mod export;
mod job;
mod memory;
mod method;
mod model;
mod report;
mod run;

use js_sys::Reflect;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::Error;

pub use chat::Conversation;
pub use data::{Data, Samples, Texts};
pub use device::Device;
pub use dial::{Dial, Measurement};
pub use model::Model;
pub use run::Run;

/// A result whose error is thrown.
type Thrown<T> = std::result::Result<T, JsValue>;

/// Initializes the module; runs once, on instantiation.
#[wasm_bindgen(start)]
pub fn start() {
    // Constructors (of `inventory`, used by burn) must run once. Without this call the linker makes
    // a command module, whose every export runs them again: many times slower.
    #[cfg(target_arch = "wasm32")]
    {
        unsafe extern "C" {
            fn __wasm_call_ctors();
        }
        // SAFETY: the linker defines it without parameters or result, and it runs before any export.
        unsafe { __wasm_call_ctors() };
    }
    std::panic::set_hook(Box::new(|panic| {
        console_error_panic_hook::hook(panic);
        // A trap carries no message: the JavaScript side reads it from here.
        let message = format!("minift panicked: {panic}");
        let _ = Reflect::set(&js_sys::global(), &"miniftPanic".into(), &message.into());
    }));
    // Fails only if a logger is already set.
    let _ = console_log::init_with_level(log::Level::Warn);
}

/// Returns the version of the package.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_string()
}

/// Converts an error to a JavaScript `Error` with its message and kind, the name of the variant.
fn thrown(error: Error) -> JsValue {
    let object = js_sys::Error::new(&error.report());
    object.set_name("MiniftError");
    // Setting a property of a new object cannot fail.
    let _ = Reflect::set(&object, &"kind".into(), &error.kind().into());
    object.into()
}

/// Converts a failed conversion: a value that does not match its TypeScript type.
fn not_as_declared(error: impl std::fmt::Display) -> JsValue {
    thrown(Error::setting(
        "settings",
        error,
        "a value of the declared type",
    ))
}
