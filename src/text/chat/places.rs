//! Locates the content of each message in a rendered text.
//!
//! The conversation is rendered again with marker characters around the content of its messages. If the
//! markers are the only difference, they give the exact positions, even of repeated content.

use std::ops::Range;

use serde_json::{Map, Value};

use super::conversation::THINKING_END;

/// First of the private-use characters that serve as markers.
const FIRST: u32 = 0xF0000;
const LAST: u32 = 0xFFFFD;

/// The position that a marker denotes.
#[derive(Clone, Copy)]
enum Marker {
    /// Start of the content.
    Start,
    /// Start of the answer after the reasoning.
    Answer,
    /// End of the content.
    End,
}

impl Marker {
    const COUNT: u32 = 3;

    /// The marker of a message, if there are enough characters.
    fn of(self, message: usize) -> Option<char> {
        let message = u32::try_from(message).ok()?;
        let number = message.checked_mul(Self::COUNT)?.checked_add(self as u32)?;
        let number = FIRST.checked_add(number).filter(|&number| number <= LAST)?;
        char::from_u32(number)
    }
}

/// Adds markers around the content of the messages, except those with only reasoning. Returns `None` if a
/// message contains marker characters, or there are too many messages.
pub(super) fn mark(messages: &[Map<String, Value>]) -> Option<Vec<Map<String, Value>>> {
    let messages = messages.iter().enumerate();
    let marked = messages.map(|(index, message)| {
        let mut message = message.clone();
        let mut texts: Vec<&mut String> = match message.get_mut("content") {
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(parts)) => parts.iter_mut().filter_map(text_of).collect(),
            _ => Vec::new(),
        };
        if texts.iter().any(|text| text.chars().any(is_marker)) {
            return None;
        }
        let (start, answer, end) = (
            Marker::Start.of(index)?,
            Marker::Answer.of(index)?,
            Marker::End.of(index)?,
        );
        texts.retain(|text| !text.trim().is_empty());
        // Templates that drop reasoning also drop the whitespace after it, which a marker would prevent.
        if let Some(text) = texts.last()
            && text.trim().ends_with(THINKING_END)
        {
            return Some(message);
        }
        // From the last marker to the first, so that earlier offsets stay valid.
        if let Some(text) = texts.last_mut() {
            let words_end = text.trim_end().len();
            text.insert(words_end, end);
            if let Some(thinking) = text[..words_end].rfind(THINKING_END) {
                let after = &text[thinking + THINKING_END.len()..words_end];
                text.insert(words_end - after.trim_start().len(), answer);
            }
        }
        if let Some(text) = texts.first_mut() {
            text.insert(text.len() - text.trim_start().len(), start);
        }
        Some(message)
    });
    marked.collect()
}

/// Positions of the messages' content in `whole`, given `marked`, the same text with markers. `None` for
/// a message that is missing or repeated, and for all if the texts differ in more than the markers.
pub(super) fn places(marked: &str, whole: &str, messages: usize) -> Vec<Option<Range<usize>>> {
    let mut found = vec![Found::default(); messages];
    let mut rest = whole;
    for character in marked.chars() {
        if is_marker(character) {
            let number = character as u32 - FIRST;
            let message = usize::try_from(number / Marker::COUNT).unwrap_or(usize::MAX);
            if let Some(found) = found.get_mut(message) {
                let position = whole.len() - rest.len();
                match number % Marker::COUNT {
                    marker if marker == Marker::Start as u32 => found.starts.push(position),
                    marker if marker == Marker::Answer as u32 => found.answers.push(position),
                    _ => found.ends.push(position),
                }
                continue;
            }
        }
        match rest.strip_prefix(character) {
            Some(after) => rest = after,
            None => return vec![None; messages],
        }
    }
    if !rest.is_empty() {
        return vec![None; messages];
    }
    found.iter().map(Found::place).collect()
}

/// Positions of a message's markers.
#[derive(Clone, Default)]
struct Found {
    starts: Vec<usize>,
    answers: Vec<usize>,
    ends: Vec<usize>,
}

impl Found {
    fn place(&self) -> Option<Range<usize>> {
        let start = match (&self.starts[..], &self.answers[..], &self.ends[..]) {
            ([start], [] | [_], [_]) | ([], [start], [_]) => *start,
            _ => return None,
        };
        (start <= self.ends[0]).then_some(start..self.ends[0])
    }
}

fn text_of(part: &mut Value) -> Option<&mut String> {
    match part.get_mut("text") {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn is_marker(character: char) -> bool {
    (FIRST..=LAST).contains(&(character as u32))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn messages() -> Vec<Map<String, Value>> {
        let messages = json!([
            {"role": "user", "content": " é\n"},
            {"role": "assistant", "content": "<think>a</think>\n é"},
            {"role": "assistant", "content": "<think>a</think>\n"},
            {"role": "user", "content": [{"text": " "}, {"text": " a"}, {}, {"text": "b "}]},
            {"role": "assistant", "tool_calls": []},
            {"role": "user", "content": "  "},
        ]);
        serde_json::from_value(messages).unwrap()
    }

    #[test]
    fn markers_surround_the_content() {
        let marked = mark(&messages()).unwrap();
        let marker = |marker: Marker, message| marker.of(message).unwrap();
        let (s, e) = (marker(Marker::Start, 0), marker(Marker::End, 0));
        assert_eq!(marked[0]["content"], format!(" {s}é{e}\n"));
        let (s, a, e) = (
            marker(Marker::Start, 1),
            marker(Marker::Answer, 1),
            marker(Marker::End, 1),
        );
        assert_eq!(
            marked[1]["content"],
            format!("{s}<think>a</think>\n {a}é{e}")
        );
        assert_eq!(marked[2], messages()[2]);
        let (s, e) = (marker(Marker::Start, 3), marker(Marker::End, 3));
        assert_eq!(
            marked[3]["content"],
            json!([{"text": " "}, {"text": format!(" {s}a")}, {}, {"text": format!("b{e} ")}])
        );
        assert_eq!(marked[4..], messages()[4..]);
    }

    #[test]
    fn markers_give_the_positions_of_content() {
        let marked = mark(&messages()).unwrap();
        let said = |message: usize| marked[message]["content"].as_str().unwrap();
        let answer = |message: usize| said(message).rsplit_once("</think>").unwrap().1.trim();
        let text = format!("é{}|{}|{}|", said(0).trim(), answer(1), answer(2));
        assert_eq!(places(&text, "éé|é||", 3), [Some(2..4), Some(5..7), None]);
        assert_eq!(places(&text, "éé|é|", 3), [None, None, None]);
        assert_eq!(places(&text, "éé|é||.", 3), [None, None, None]);
        let twice = said(0).repeat(2);
        assert_eq!(places(&twice, " é\n é\n", 1), [None]);
    }

    #[test]
    fn messages_with_marker_characters_are_not_marked() {
        let message = json!({"role": "user", "content": "\u{f0000}"});
        assert_eq!(mark(&[serde_json::from_value(message).unwrap()]), None);
        assert_eq!(mark(&vec![Map::new(); 30_000]), None);
    }
}
