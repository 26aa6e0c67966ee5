//! How weights are stored: as floats, or in the block formats of GGUF files (llama.cpp's ggml), packed and
//! unpacked on the CPU. Tensors and devices are unknown here.
//!
//! A row of a weight is a sequence of blocks; a float is a block of one value.

mod choice;
mod convert;
mod pack;
mod prefetch;
mod types;
mod unpack;

pub use choice::WeightChoice;
pub use types::WeightType;
