//! Evaluation: perplexity, specialization and degeneralization, and both over the strengths of a training.

mod front;
mod limit;
mod metrics;
mod pair;
mod perplexity;
#[cfg(feature = "compare")]
pub(crate) mod plot;

pub use front::{Front, FrontPoint, FrontProgress, FrontSearch, format_weight};
pub use limit::{DialTrial, LimitProgress, LimitSearch};
pub use metrics::{Metrics, Perplexities};
pub use pair::{PairEvaluation, evaluate_pair};
pub use perplexity::{Evaluation, Perplexity, evaluate};
