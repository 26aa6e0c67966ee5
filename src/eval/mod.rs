//! What a model knows: perplexity, and what an adaptation gained and cost.

mod metrics;
mod perplexity;

pub use metrics::{Metrics, Perplexities};
pub use perplexity::{Evaluation, Perplexity, evaluate};
