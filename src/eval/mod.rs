//! Evaluation: perplexity, specialization and degeneralization.

mod losses;
mod metrics;
mod perplexity;

pub use metrics::{Metrics, Perplexities};
pub use perplexity::{Evaluation, Perplexity, evaluate};
