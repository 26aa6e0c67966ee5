//! Evaluation: perplexity, specialization and degeneralization, both over the strengths of a training, and answers
//! to questions.

mod accuracy;
mod choices;
mod continuations;
mod exact_match;
mod front;
mod limit;
mod losses;
mod metrics;
#[cfg(feature = "compare")]
pub(crate) mod page;
mod pair;
mod perplexity;
#[cfg(feature = "compare")]
pub(crate) mod plot;
mod questions;

pub use accuracy::Accuracy;
pub use choices::{ChoiceEvaluation, ChoiceQuestion, choose};
pub use continuations::Continuations;
pub use exact_match::ExactMatch;
pub use front::{Front, FrontPoint, FrontProgress, FrontSearch, format_weight};
pub use limit::{DialTrial, LimitProgress, LimitSearch};
pub(crate) use losses::losses;
pub use metrics::{Metrics, Perplexities};
pub use pair::{PairEvaluation, evaluate_pair};
pub use perplexity::{Evaluation, Perplexity, evaluate};
