//! The variants of a message's content that a rendered conversation may contain.

use serde_json::{Map, Value};

use super::conversation::{THINKING_END, content};

pub(super) const THINKING_START: &str = "<think>";

/// The content of a message.
pub(super) struct Words {
    all: String,
    /// Without reasoning, if it contains any.
    answer: Option<String>,
    calls_tools: bool,
}

impl Words {
    pub(super) fn of(message: &Map<String, Value>) -> Self {
        let all = content(message).trim().to_string();
        let answer = without_thinking(&all).trim().to_string();
        let calls = message.get("tool_calls").and_then(Value::as_array);
        Self {
            answer: (answer != all).then_some(answer),
            all,
            calls_tools: calls.is_some_and(|calls| !calls.is_empty()),
        }
    }

    /// The variants that the text may contain, longest first.
    pub(super) fn variants(&self) -> impl Iterator<Item = &str> {
        let all = std::iter::once(self.all.as_str());
        let variants = all.chain(self.answer.as_deref());
        variants.filter(|words| !words.is_empty())
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.are_present() && !self.calls_tools
    }

    /// Whether the message may be absent from the text, since it is only reasoning.
    pub(super) fn may_be_absent(&self) -> bool {
        self.is_empty() || (self.answer.as_deref() == Some("") && !self.calls_tools)
    }

    pub(super) fn are_present(&self) -> bool {
        self.variants().next().is_some()
    }

    pub(super) fn occur_in(&self, text: &str) -> bool {
        let mut variants = self.variants().peekable();
        variants.peek().is_none() || variants.any(|words| text.contains(words))
    }
}

/// The text after the reasoning.
pub(super) fn without_thinking(text: &str) -> &str {
    text.rsplit_once(THINKING_END)
        .map_or(text, |(_, answer)| answer.trim_start())
}

/// The text after the last occurrence of `words`.
pub(super) fn text_after<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let position = text.rfind(words)?;
    Some(&text[position + words.len()..])
}

/// Length of the common prefix of two texts. If they differ within a tag such as `<|end|>` or
/// `[INST]`, the prefix ends before the tag.
pub(super) fn common_prefix(one: &str, other: &str) -> usize {
    let pairs = one.chars().zip(other.chars());
    let same = pairs.take_while(|(one, other)| one == other);
    let length: usize = same.map(|(character, _)| character.len_utf8()).sum();
    if length == one.len() || length == other.len() {
        return length;
    }
    let text = &one[..length];
    match text.rfind(['<', '[']) {
        Some(open) if !text[open..].contains(['>', ']']) => open,
        _ => length,
    }
}
