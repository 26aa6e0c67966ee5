//! Decoder-only transformers read from a Hugging Face folder.

mod causal_lm;
mod config;
mod decoder;
mod family;
mod fields;
pub(crate) mod files;
pub mod fused;
mod generate;
pub mod linear;
pub mod ops;
mod parameters;
mod pass;
mod rotary;
mod sample;
mod text_reader;
pub mod visible;
pub mod weights;

pub use causal_lm::CausalLm;
pub use config::{
    Biases, Block, DecoderConfig, FeedForward, FeedForwardKind, LayerConfig, ModelConfig, Norm,
    NormKind,
};
pub use decoder::{Decoder, Inputs, KeyValueCache, Weights};
pub use family::Family;
pub use files::{EMBEDDED_MODEL, FileBytes, ModelFiles};
pub use generate::Sampling;
pub use parameters::{LinearLayer, LinearRole, ParameterSpec, Parameters};
pub use rotary::{RopeScaling, Rotary};
pub use text_reader::TextReader;
pub use visible::{Beginnings, Visible};
