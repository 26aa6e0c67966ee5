//! `{% generation %}…{% endgeneration %}` blocks, with which a template marks the assistant's messages.
//!
//! The tag is an extension of transformers. It is rewritten to a `with` block (see `tags`), which scopes
//! variables like transformers' block does, and which surrounds the text with two marker characters.
//! Removing them gives the position of the text.

use std::ops::Range;

use minijinja::Value;

use super::Rendered;

/// Name of the variable with the two markers; empty if positions are not needed.
pub(super) const MARKS: &str = "minift_generation_marks";

/// The marker characters before and after a generation block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    start: char,
    end: char,
}

impl Marks {
    /// Two private-use characters that do not occur in the text.
    pub(super) fn not_in(text: &str) -> Option<Self> {
        let mut free = ('\u{e000}'..='\u{f8ff}').filter(|&mark| !text.contains(mark));
        Some(Self {
            start: free.next()?,
            end: free.next()?,
        })
    }

    /// The value of the variable.
    pub(super) fn variable(marks: Option<Self>) -> Value {
        marks.map_or_else(
            || Value::from(""),
            |marks| Value::from(format!("{}{}", marks.start, marks.end)),
        )
    }

    /// Removes the markers from a text. Returns `None` if they are not paired.
    pub(super) fn take_out(self, marked: &str) -> Option<Rendered> {
        let mut text = String::with_capacity(marked.len());
        let mut assistant: Vec<Range<usize>> = Vec::new();
        let mut open = Vec::new();
        for character in marked.chars() {
            if character == self.start {
                open.push(text.len());
            } else if character == self.end {
                let start = open.pop()?;
                // A nested block is part of the outer one.
                if open.is_empty() && start < text.len() {
                    assistant.push(start..text.len());
                }
            } else {
                text.push(character);
            }
        }
        open.is_empty().then_some(Rendered { text, assistant })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_give_the_positions_of_blocks() {
        let marks = Marks::not_in("a\u{e000}").unwrap();
        assert_eq!((marks.start, marks.end), ('\u{e001}', '\u{e002}'));
        let (s, e) = (marks.start, marks.end);
        let rendered = marks.take_out(&format!("é{s}a{s}b{e}{e}c{s}{e}{s}d{e}"));
        assert_eq!(
            rendered,
            Some(Rendered {
                text: "éabcd".to_string(),
                assistant: vec![2..4, 5..6],
            })
        );
        assert_eq!(marks.take_out(&format!("{e}a{s}")), None);
        assert_eq!(marks.take_out(&format!("{s}a")), None);
    }
}
