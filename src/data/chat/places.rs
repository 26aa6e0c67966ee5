//! Where in a text the words of each message are.
//!
//! A conversation is rendered once more with signs around what its messages say. Where that changes
//! nothing but the signs, they are at the places of the words, whatever else has the same words.

use std::ops::Range;

use serde_json::{Map, Value};

use super::conversation::THINKING_END;

/// The first of the characters that are used as signs: of those that Unicode leaves to private use.
const FIRST: u32 = 0xF0000;
const LAST: u32 = 0xFFFFD;

/// What a sign stands before or after.
#[derive(Clone, Copy)]
enum Sign {
    /// Before the words.
    Start,
    /// Before those that follow the reasoning.
    Answer,
    /// After the words.
    End,
}

impl Sign {
    const COUNT: u32 = 3;

    /// The sign of a message, if there is one for so many.
    fn of(self, message: usize) -> Option<char> {
        let message = u32::try_from(message).ok()?;
        let number = message.checked_mul(Self::COUNT)?.checked_add(self as u32)?;
        let number = FIRST.checked_add(number).filter(|&number| number <= LAST)?;
        char::from_u32(number)
    }
}

/// The messages with signs around what they say; those that say nothing but reasoning have none. `None` where a message has such characters, or there are too many.
pub(super) fn mark(messages: &[Map<String, Value>]) -> Option<Vec<Map<String, Value>>> {
    let messages = messages.iter().enumerate();
    let marked = messages.map(|(index, message)| {
        let mut message = message.clone();
        let mut texts: Vec<&mut String> = match message.get_mut("content") {
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(parts)) => parts.iter_mut().filter_map(text_of).collect(),
            _ => Vec::new(),
        };
        if texts.iter().any(|text| text.chars().any(is_sign)) {
            return None;
        }
        let (start, answer, end) = (
            Sign::Start.of(index)?,
            Sign::Answer.of(index)?,
            Sign::End.of(index)?,
        );
        texts.retain(|text| !text.trim().is_empty());
        // Where reasoning is dropped the white space after it is, unless a sign is in between.
        if let Some(text) = texts.last()
            && text.trim().ends_with(THINKING_END)
        {
            return Some(message);
        }
        // From the last sign to the first, so that none moves what is before it.
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

/// Places of the messages' words in `whole`, of which `marked` is the text with signs. `None` for
/// a message that is not there or there more than once, and for all where more than the signs differs.
pub(super) fn places(marked: &str, whole: &str, messages: usize) -> Vec<Option<Range<usize>>> {
    let mut found = vec![Found::default(); messages];
    let mut rest = whole;
    for character in marked.chars() {
        if is_sign(character) {
            let number = character as u32 - FIRST;
            let message = usize::try_from(number / Sign::COUNT).unwrap_or(usize::MAX);
            if let Some(found) = found.get_mut(message) {
                let position = whole.len() - rest.len();
                match number % Sign::COUNT {
                    sign if sign == Sign::Start as u32 => found.starts.push(position),
                    sign if sign == Sign::Answer as u32 => found.answers.push(position),
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

/// Where the signs of a message are.
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

fn is_sign(character: char) -> bool {
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
    fn signs_are_around_words() {
        let marked = mark(&messages()).unwrap();
        let sign = |sign: Sign, message| sign.of(message).unwrap();
        let (s, e) = (sign(Sign::Start, 0), sign(Sign::End, 0));
        assert_eq!(marked[0]["content"], format!(" {s}é{e}\n"));
        let (s, a, e) = (
            sign(Sign::Start, 1),
            sign(Sign::Answer, 1),
            sign(Sign::End, 1),
        );
        assert_eq!(
            marked[1]["content"],
            format!("{s}<think>a</think>\n {a}é{e}")
        );
        assert_eq!(marked[2], messages()[2]);
        let (s, e) = (sign(Sign::Start, 3), sign(Sign::End, 3));
        assert_eq!(
            marked[3]["content"],
            json!([{"text": " "}, {"text": format!(" {s}a")}, {}, {"text": format!("b{e} ")}])
        );
        assert_eq!(marked[4..], messages()[4..]);
    }

    #[test]
    fn signs_leave_their_places() {
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
    fn who_has_the_signs_is_not_marked() {
        let message = json!({"role": "user", "content": "\u{f0000}"});
        assert_eq!(mark(&[serde_json::from_value(message).unwrap()]), None);
        assert_eq!(mark(&vec![Map::new(); 30_000]), None);
    }
}
