//! Chat templates: render conversations as text and locate the assistant's messages in it.

mod arguments;
mod assistant;
mod conversation;
mod environment;
mod failure;
mod generation;
mod json;
mod limits;
mod methods;
mod number;
mod places;
mod reasoning;
mod source;
mod tags;
mod template;
mod weight;
mod words;

#[cfg(test)]
mod expected_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod render_tests;

use std::ops::Range;

pub(super) use reasoning::without_reasoning;
pub(super) use source::SPECIAL_TOKENS;
#[cfg(any(feature = "cli", feature = "web"))]
pub(crate) use source::TemplateText;
pub use template::ChatTemplate;

/// A rendered conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The whole text.
    pub text: String,
    /// Byte ranges of the assistant's messages: in order, not overlapping, not empty.
    pub assistant: Vec<Range<usize>>,
}
