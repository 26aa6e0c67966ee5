//! From files to batches: records, texts, tokens, samples, batches.

mod batch;
pub mod chat;
mod encoder;
mod growth;
mod guard;
mod records;
mod sample;
mod samples;
mod tokenizer;

pub use batch::{Batch, epoch_batches, ordered_batches};
pub use encoder::{Encoder, TrainOn};
#[cfg(any(feature = "cli", feature = "c"))]
pub(crate) use records::paths_in_words;
pub use records::{Place, ReadOptions, Record, Records, parse_records};
#[cfg(not(target_arch = "wasm32"))]
pub use records::{read_all, read_records};
pub use sample::Sample;
pub(crate) use sample::positions;
pub use samples::{LongTexts, Preparation, Samples, Text, packed};
pub use tokenizer::{Token, Tokenizer};
