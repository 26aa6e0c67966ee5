//! Chat templates: a conversation as the model sees it, and what of it the assistant wrote.

mod assistant;
mod conversation;
mod environment;
mod generation;
mod json;
mod limits;
mod methods;
mod number;
mod places;
mod source;
mod tags;
mod template;

#[cfg(test)]
mod expected_tests;
#[cfg(test)]
mod property_tests;

use std::ops::Range;

pub use template::ChatTemplate;

/// A conversation as the model sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The whole text.
    pub text: String,
    /// The bytes of the text that the assistant wrote: in order, not overlapping, none empty.
    pub assistant: Vec<Range<usize>>,
}
