//! Data preparation: files to records, texts, tokens, samples.

pub mod chat;
mod encoder;
mod growth;
mod guard;
mod packing;
#[cfg(any(feature = "cli", feature = "web"))]
mod preview;
pub(crate) mod python_json;
mod records;
mod sample;
mod samples;
mod tokenizer;
mod vocab_and_merges;

pub use encoder::{Encoder, EndToken, TrainOn};
pub use packing::packed;
#[cfg(any(feature = "cli", feature = "web"))]
pub(crate) use preview::{SamplePreview, preview};
#[cfg(any(feature = "cli", feature = "c"))]
pub(crate) use records::paths_in_words;
#[cfg(feature = "hub")]
pub(crate) use records::{DataFiles, Split, shard};
pub use records::{
    Place, ReadOptions, Record, Records, TestAnswer, TestQuestion, parse_records, parse_test,
};
#[cfg(not(target_arch = "wasm32"))]
pub use records::{read_all, read_records, read_test, splits_of};
pub use sample::Sample;
pub(crate) use sample::predicted_tokens;
pub use samples::{LongTexts, Preparation, Samples, Text};
pub use tokenizer::{Token, Tokenizer};
pub(crate) use vocab_and_merges::{QWEN_WORDS, VocabAndMerges, template};
