//! The library for JavaScript: the same devices, models, texts and runs, as classes of a wasm
//! module. Types are declared to TypeScript where they are defined; failures are thrown as `Error`
//! with the error's `kind`. Nothing here blocks.

mod data;
mod device;
mod model;
mod report;
mod run;

use js_sys::Reflect;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::Error;

pub use data::{Data, Samples, Texts};
pub use device::Device;
pub use model::Model;
pub use run::Run;

/// A result whose failure is thrown.
type Thrown<T> = std::result::Result<T, JsValue>;

/// Runs once, when the module is instantiated.
#[wasm_bindgen(start)]
pub fn start() {
    // Constructors (of `inventory`, below burn) must run once. A module in which nobody calls them
    // is taken for a command, whose every export runs them again: many times slower.
    #[cfg(target_arch = "wasm32")]
    {
        unsafe extern "C" {
            fn __wasm_call_ctors();
        }
        // SAFETY: the linker defines it; it takes and gives nothing, and runs before anything else.
        unsafe { __wasm_call_ctors() };
    }
    std::panic::set_hook(Box::new(|panic| {
        console_error_panic_hook::hook(panic);
        // A trap tells nobody what happened: whoever catches it reads this.
        let message = format!("a fault in minift: {panic}");
        let _ = Reflect::set(&js_sys::global(), &"miniftPanic".into(), &message.into());
    }));
    // Fails only where a logger is set already, which then is as good.
    let _ = console_log::init_with_level(log::Level::Warn);
}

/// The version of the package.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_string()
}

/// An `Error` for JavaScript with the error's words and its kind, the name of the variant.
fn thrown(error: Error) -> JsValue {
    let object = js_sys::Error::new(&error.to_string());
    object.set_name("MiniftError");
    // Setting a property of a fresh object cannot fail.
    let _ = Reflect::set(&object, &"kind".into(), &error.kind().into());
    object.into()
}

/// A failed conversion of a value: one that is not what its TypeScript type says.
fn not_as_declared(error: impl std::fmt::Display) -> JsValue {
    thrown(Error::setting("settings", error, "what the types declare"))
}
