//! Decoder-only transformers, loaded from Hugging Face folders.

mod adapted;
pub mod adapter;
mod batch;
mod cache;
mod carried;
mod causal_lm;
mod chat;
mod config;
mod decoder;
mod dial;
#[cfg(any(feature = "cli", feature = "web"))]
pub(crate) mod export;
mod family;
mod fields;
mod file_bytes;
pub(crate) mod file_names;
pub(crate) mod files;
mod generate;
mod gguf_files;
mod inputs;
mod likelihood;
pub(crate) mod linear;
mod load;
mod mixer;
mod model_config;
mod multimodal;
mod names;
pub(crate) mod ops;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod other_formats;
mod parameter_index;
mod parameters;
mod pass;
mod positions;
mod python_json;
mod quantized;
mod rope_scaling;
mod rotary;
mod sample;
mod save;
mod save_type;
mod saved_types;
mod shards;
mod special_tokens;
pub(crate) mod stored;
mod text_reader;
mod text_stream;
mod tied_head;
mod tokenizer_files;
mod unused;
pub(crate) mod weights;

pub(crate) use batch::ordered_batches;
pub use batch::{Batch, epoch_batches};
pub(crate) use carried::Carried;
pub use causal_lm::CausalLm;
#[cfg(feature = "web")]
pub(crate) use chat::Answer;
pub use chat::Chat;
pub use config::{
    AttentionConfig, Biases, Block, DecoderConfig, FeedForward, FeedForwardKind, GatedDeltaConfig,
    KeysAndValues, LayerConfig, Mixer, Norm, NormKind, PerLayerInputs, QkNorm, QueryKeyValue,
    QueryScaling, ShortConvConfig,
};
pub(crate) use decoder::Decoder;
pub use dial::{Dial, DialProfile};
pub use file_bytes::FileBytes;
pub use files::{EMBEDDED_MODEL, ModelFiles};
pub use generate::Sampling;
#[cfg(feature = "web")]
pub(crate) use generate::{Context, Generation};
pub use inputs::Inputs;
pub use model_config::ModelConfig;
pub use names::Family;
pub(crate) use parameters::{LinearLayer, LinearRole};
pub use parameters::{ParameterSpec, Parameters};
pub(crate) use pass::Pass;
pub use rope_scaling::RopeScaling;
pub use rotary::Rotary;
pub use save_type::SaveType;
pub use text_reader::TextReader;

pub use crate::kernels::packed::Weight;
pub use crate::quantization::{WeightChoice, WeightType};

/// See [`crate::internals`].
pub(crate) mod internals {
    pub use super::cache::DecoderCache;
    pub use super::decoder::Decoder;
    pub use super::inputs::Weights;
}
