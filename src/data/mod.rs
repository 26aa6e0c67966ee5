//! From files to batches: texts, tokens, samples, batches.

mod batch;
mod samples;
mod text;
mod tokenizer;

pub use batch::{Batch, epoch_batches, ordered_batches};
pub(crate) use samples::positions;
pub use samples::{Sample, Samples};
pub use text::{parse_texts, read_texts};
pub use tokenizer::Tokenizer;
