//! Tensors of a model's files that its decoder does not need.

use std::cell::Cell;
use std::collections::HashSet;

use super::multimodal;
use super::names::ParameterNames;
use crate::error::counted;

/// Counts the tensors that are ignored.
pub(super) struct UnusedTensors<'a> {
    names: &'a ParameterNames,
    /// Names of tensors that the decoder computes without: a tied head, and projections of layers that take the
    /// keys and values of others.
    unneeded: HashSet<String>,
    of_media: Cell<usize>,
    of_further_tokens: Cell<usize>,
}

impl<'a> UnusedTensors<'a> {
    /// `unneeded` are the names of tensors that the decoder computes without.
    pub(super) fn new(names: &'a ParameterNames, unneeded: HashSet<String>) -> Self {
        Self {
            names,
            unneeded,
            of_media: Cell::new(0),
            of_further_tokens: Cell::new(0),
        }
    }

    /// Returns whether a tensor is ignored, and counts it.
    pub(super) fn accept(&self, name: &str) -> bool {
        let prefix = self.names.further_tokens;
        let counts = [
            (multimodal::is_of_media(name), &self.of_media),
            (
                !prefix.is_empty() && name.starts_with(prefix),
                &self.of_further_tokens,
            ),
        ];
        if let Some((_, count)) = counts.into_iter().find(|(is_one, _)| *is_one) {
            count.set(count.get() + 1);
            return true;
        }
        self.unneeded.contains(name)
            || (self.names.ignored.iter()).any(|ending| name.ends_with(ending))
    }

    /// Returns what the user should know of the ignored tensors.
    pub(super) fn notes(&self) -> Vec<String> {
        let tensors = |count: &Cell<usize>| counted(count.get(), "tensor");
        let mut notes = Vec::new();
        if self.of_media.get() > 0 {
            notes.push(format!(
                "a model of text and other media: {} for those ignored, and only the text model is saved",
                tensors(&self.of_media)
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
