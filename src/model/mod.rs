//! Decoder-only transformers read from a Hugging Face folder.

mod causal_lm;
mod config;
mod decoder;
mod family;
mod fields;
mod files;
pub mod fused;
mod generate;
pub mod linear;
pub mod ops;
mod parameters;
mod rotary;
mod sample;
pub mod weights;

pub use causal_lm::CausalLm;
pub use config::{
    Biases, Block, DecoderConfig, FeedForward, FeedForwardKind, LayerConfig, ModelConfig, Norm,
    NormKind,
};
pub use decoder::{Decoder, KeyValueCache, Weights};
pub use family::Family;
pub use files::{FileBytes, ModelFiles};
pub use generate::Sampling;
pub use parameters::{LinearLayer, LinearRole, ParameterSpec, Parameters};
pub use rotary::{RopeScaling, Rotary};
