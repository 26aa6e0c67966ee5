//! `{% generation %}…{% endgeneration %}`, with which a template says what the assistant writes.
//!
//! It is transformers' own tag. Here it becomes a `with` block (see `tags`), which keeps variables to
//! itself as transformers' block does, and which puts two characters around the text. They are taken
//! out again and leave its place.

use std::ops::Range;

use minijinja::Value;

use super::Rendered;

/// Name of the variable with the two characters; empty where places are not asked for.
pub(super) const MARKS: &str = "minift_generation_marks";

/// The characters before and after what the assistant wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    start: char,
    end: char,
}

impl Marks {
    /// Two that are not in the text: of those that Unicode leaves to private use.
    pub fn not_in(text: &str) -> Option<Self> {
        let mut free = ('\u{e000}'..='\u{f8ff}').filter(|&mark| !text.contains(mark));
        Some(Self {
            start: free.next()?,
            end: free.next()?,
        })
    }

    /// As the variable has them.
    pub fn variable(marks: Option<Self>) -> Value {
        marks.map_or_else(
            || Value::from(""),
            |marks| Value::from(format!("{}{}", marks.start, marks.end)),
        )
    }

    /// Takes the marks out of a text. `None` where they do not come in pairs.
    pub fn take_out(self, marked: &str) -> Option<Rendered> {
        let mut text = String::with_capacity(marked.len());
        let mut assistant: Vec<Range<usize>> = Vec::new();
        let mut open = Vec::new();
        for character in marked.chars() {
            if character == self.start {
                open.push(text.len());
            } else if character == self.end {
                let start = open.pop()?;
                // A block within a block is a part of it.
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
    fn marks_leave_their_places() {
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
