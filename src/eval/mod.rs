//! Evaluation: perplexity, specialization and degeneralization, and answers to questions.

mod accuracy;
mod choices;
mod continuations;
mod exact_match;
mod losses;
mod metrics;
mod perplexity;
mod questions;

pub use accuracy::Accuracy;
pub use choices::{ChoiceEvaluation, ChoiceQuestion, choose};
pub use continuations::Continuations;
pub use exact_match::ExactMatch;
pub use metrics::{Metrics, Perplexities};
pub use perplexity::{Evaluation, Perplexity, evaluate};
