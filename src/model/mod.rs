//! Decoder-only transformers read from a Hugging Face folder.

mod config;
mod decoder;
mod family;
pub mod fused;
pub mod ops;
mod parameters;

pub use config::{DecoderConfig, ModelConfig};
pub use decoder::{Decoder, KeyValueCache};
pub use family::Family;
pub use parameters::{ParameterSpec, Parameters};
