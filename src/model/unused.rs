//! Tensors of a model's files that its decoder does not need.

use std::cell::Cell;

use super::multimodal;
use super::names::ParameterNames;
use crate::error::counted;

/// Counts the tensors that are ignored.
pub(super) struct UnusedTensors<'a> {
    names: &'a ParameterNames,
    /// Names that a head may have which is tied to the embedding.
    tied_heads: Vec<String>,
    of_images: Cell<usize>,
    of_further_tokens: Cell<usize>,
}

impl<'a> UnusedTensors<'a> {
    /// `tied_heads` are the names that a head may have which is tied to the embedding.
    pub(super) fn new(names: &'a ParameterNames, tied_heads: Vec<String>) -> Self {
        Self {
            names,
            tied_heads,
            of_images: Cell::new(0),
            of_further_tokens: Cell::new(0),
        }
    }

    /// Returns whether a tensor is ignored, and counts it.
    pub(super) fn accept(&self, name: &str) -> bool {
        let prefix = self.names.further_tokens;
        let counts = [
            (multimodal::is_of_images(name), &self.of_images),
            (
                !prefix.is_empty() && name.starts_with(prefix),
                &self.of_further_tokens,
            ),
        ];
        if let Some((_, count)) = counts.into_iter().find(|(is_one, _)| *is_one) {
            count.set(count.get() + 1);
            return true;
        }
        self.tied_heads.iter().any(|head| head == name)
            || (self.names.ignored.iter()).any(|ending| name.ends_with(ending))
    }

    /// Returns what the user should know of the ignored tensors.
    pub(super) fn notes(&self) -> Vec<String> {
        let tensors = |count: &Cell<usize>| counted(count.get(), "tensor");
        let mut notes = Vec::new();
        if self.of_images.get() > 0 {
            notes.push(format!(
                "a model of text and images: {} for images ignored, and only the text model is saved",
                tensors(&self.of_images)
            ));
        }
        if self.of_further_tokens.get() > 0 {
            notes.push(format!(
                "{} for the prediction of further tokens ignored, and not saved",
                tensors(&self.of_further_tokens)
            ));
        }
        notes
    }
}
