//! What of a rendered conversation the assistant wrote, for templates that do not say so themselves.

use std::cmp::Reverse;
use std::ops::Range;

use serde_json::{Map, Value};

use super::conversation::{THINKING_END, content};

const THINKING_START: &str = "<think>";

/// A message that is not found in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unclear {
    /// Counted from 0.
    pub message: usize,
}

/// The parts of `whole` that the assistant wrote.
///
/// `prefix(count, add_generation_prompt)` renders the first `count` messages, or fails. Where the
/// beginnings before and after a message are beginnings of the whole too, the message is between
/// them. Where they are not, the message is where `places` has its words, and if that is not known,
/// it is looked for by what it says.
pub(super) fn spans(
    messages: &[Map<String, Value>],
    whole: &str,
    places: &[Option<Range<usize>>],
    end_token: Option<&str>,
    prefix: impl FnMut(usize, bool) -> Option<String>,
) -> Result<Vec<Range<usize>>, Unclear> {
    let end_token = end_token.unwrap_or_default();
    let mut search = Search {
        messages,
        whole,
        places,
        prefix,
        end_token,
        position: 0,
        settled: 0,
        limit: whole.len(),
        turn_end: last_turn_end(messages, whole, places).unwrap_or(end_token),
    };
    let mut spans = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        match role(message) {
            Some("assistant") => {
                let span = search.message(index)?;
                search.position = span.end;
                search.settled = span.end;
                if !span.is_empty() {
                    spans.push(span);
                }
            }
            // An answer comes after its question, which may say the same.
            Some("user") => {
                let found = match &places[index] {
                    Some(place) => Some(place.clone()),
                    None => search.find(content(message).trim()),
                };
                if let Some(found) = found {
                    search.position = search.position.max(found.end);
                }
            }
            // Templates put system messages and tools at other places.
            _ => {}
        }
    }
    Ok(spans)
}

/// What follows the assistant's words in the last message. Earlier turns may end in it, or in its
/// beginning.
fn last_turn_end<'a>(
    messages: &[Map<String, Value>],
    whole: &'a str,
    places: &[Option<Range<usize>>],
) -> Option<&'a str> {
    let last = messages.last()?;
    let place = places.last()?.as_ref()?;
    let turn_end = &whole[place.end..];
    (role(last) == Some("assistant") && !turn_end.trim().is_empty()).then_some(turn_end)
}

fn role(message: &Map<String, Value>) -> Option<&str> {
    message.get("role").and_then(Value::as_str)
}

struct Search<'a, F> {
    messages: &'a [Map<String, Value>],
    whole: &'a str,
    /// Where the words of each message are in the whole, as far as is known.
    places: &'a [Option<Range<usize>>],
    prefix: F,
    /// The token that ends texts, which some templates put after the last message only.
    end_token: &'a str,
    /// Where the last message ends that was found by what it says, or for certain.
    position: usize,
    /// Where the assistant's last message ends.
    settled: usize,
    /// Where the next message begins that is known to, or the whole ends.
    limit: usize,
    /// What follows the assistant's words in its turn, as far as is known.
    turn_end: &'a str,
}

impl<'a, F: FnMut(usize, bool) -> Option<String>> Search<'a, F> {
    /// Where a message of the assistant is.
    fn message(&mut self, index: usize) -> Result<Range<usize>, Unclear> {
        let words = Words::of(&self.messages[index]);
        self.limit = self.next_place(index);
        let before = (self.prefix)(index, true);
        let with = match index + 1 == self.messages.len() {
            true => Some(self.whole.to_string()),
            false => (self.prefix)(index + 1, false),
        };
        let start = self.end_in_whole(before.as_deref());
        let end = self.end_in_whole(with.as_deref());
        if let (Some(start), Some(end)) = (start, end)
            && start <= end
        {
            return Ok(self.found(&words, start..end));
        }

        let (earliest, certain) = self.earliest(index);
        let start = start.or_else(|| {
            // What an answer begins after may have more in it than the answers in a conversation,
            // such as a tag that reasoning begins with.
            let start = common(self.whole, before.as_deref()?);
            (certain && start >= earliest).then_some(start)
        });
        // As the last message it may have reasoning in it that is dropped once others follow.
        let alone = with.as_deref().and_then(|with| {
            if let Some(alone) = before
                .as_deref()
                .and_then(|before| with.strip_prefix(before))
            {
                return Some(alone);
            }
            let mut choices = words.choices();
            choices.find_map(|words| Some(&with[with.rfind(words)?..]))
        });
        let alone = alone.filter(|alone| !words.is_empty() && words.are_in(alone));
        if let Some(place) = self.place(index) {
            return Ok(self.around(&place, start, end, &words, alone));
        }

        if let Some(end) = end.filter(|&end| end >= earliest) {
            if let Some(start) = start.filter(|&start| start <= end)
                && words.are_in(&self.whole[start..end])
            {
                return Ok(self.found(&words, start..end));
            }
            let mut choices = words.choices();
            if let Some(start) = choices.find_map(|words| self.whole[earliest..end].rfind(words)) {
                return Ok(self.found(&words, earliest + start..end));
            }
        }

        if let Some(start) = start
            && let Some(length) = self.length_at(start, &words, alone)
        {
            return Ok(start..start + length);
        }
        let found = match start {
            Some(_) if words.may_be_nothing() => None,
            Some(start) => self.first_words(start, &words, alone),
            None => self.first(earliest, &words, alone),
        };
        match found {
            Some(found) => Ok(start.unwrap_or(found.start)..found.end),
            None if words.may_be_nothing() => Ok(earliest..earliest),
            None => Err(Unclear { message: index }),
        }
    }

    /// Where a message's words are, if that is known and after the messages before it.
    fn place(&self, index: usize) -> Option<Range<usize>> {
        let place = self.places[index].clone()?;
        (place.start >= self.position).then_some(place)
    }

    /// Where the next message begins whose place is known.
    fn next_place(&self, index: usize) -> usize {
        let messages = self.messages.iter().zip(self.places).skip(index + 1);
        let turns =
            messages.filter(|(message, _)| matches!(role(message), Some("user" | "assistant")));
        let places = turns.filter_map(|(_, place)| Some(place.as_ref()?.start));
        let mut later = places.filter(|&start| start >= self.position);
        later.next().unwrap_or(self.whole.len())
    }

    /// The message with its words at `place`, from its beginning and to its end where those are known.
    fn around(
        &self,
        place: &Range<usize>,
        start: Option<usize>,
        end: Option<usize>,
        words: &Words,
        alone: Option<&str>,
    ) -> Range<usize> {
        let before = &self.whole[self.position..place.end];
        let said = words.choices().find(|words| before.ends_with(words));
        let start = start.filter(|&start| start <= place.start);
        let start = start.unwrap_or_else(|| {
            // Reasoning may be written otherwise than the answer, and yet be there.
            let start = said.map_or(place.start, |said| place.end - said.len());
            let start = start.min(place.start);
            // What the template puts before the words, such as a space.
            let lead = alone.zip(said).and_then(|(alone, said)| {
                let position = alone.rfind(said)?;
                Some(&alone[..position])
            });
            let lead = lead.filter(|lead| self.whole[self.position..start].ends_with(lead));
            start - lead.map_or(0, str::len)
        });
        let end = end.filter(|&end| end >= place.end && end <= self.limit);
        let end = end.unwrap_or_else(|| {
            let alone = alone.filter(|_| said.is_some());
            self.turn_end_after(place.end, said.unwrap_or_default(), alone)
        });
        start..end
    }

    /// Length of a beginning, if it is one of the whole and not before what was found.
    fn end_in_whole(&self, beginning: Option<&str>) -> Option<usize> {
        let beginning = beginning?;
        (self.whole.starts_with(beginning) && beginning.len() >= self.settled)
            .then_some(beginning.len())
    }

    /// Where a message begins at the earliest, and whether the message before it ends there.
    fn earliest(&mut self, index: usize) -> (usize, bool) {
        let before = (self.prefix)(index, false);
        match self.end_in_whole(before.as_deref()) {
            Some(end) => (end, true),
            None => (self.position, false),
        }
    }

    /// Length of the message that begins at `start`. `alone` is the message as the last one.
    fn length_at(&self, start: usize, words: &Words, alone: Option<&str>) -> Option<usize> {
        let rest = &self.whole[start..self.limit.max(start)];
        if let Some(alone) = alone {
            let without_end_token = alone.strip_suffix(self.end_token).unwrap_or(alone);
            for text in [alone, without_end_token, without_thinking(alone)] {
                let length = common(rest, text);
                let is_all = length == text.len();
                if is_all || (words.are_some() && words.are_in(&text[..length])) {
                    return Some(length);
                }
            }
        }
        let answer = rest.trim_start();
        let has_thinking = [THINKING_START, THINKING_END]
            .iter()
            .any(|tag| answer.starts_with(tag));
        let answer = match answer.split_once(THINKING_END) {
            Some((_, answer)) if has_thinking => answer.trim_start(),
            _ => answer,
        };
        let mut choices = words.choices();
        let words = choices.find(|words| answer.starts_with(*words))?;
        let end = start + (rest.len() - answer.len()) + words.len();
        Some(self.turn_end_after(end, words, alone) - start)
    }

    /// The first place from `earliest` on that may be the message, of several the longest.
    fn first(&self, earliest: usize, words: &Words, alone: Option<&str>) -> Option<Range<usize>> {
        let wholly = alone
            .into_iter()
            .flat_map(|alone| [alone, without_thinking(alone)])
            .filter(|text| words.are_in(text));
        let wholly = wholly.filter_map(|text| self.find_from(earliest, text));
        wholly
            .chain(self.first_words(earliest, words, alone))
            .min_by_key(first_and_longest)
    }

    /// The first place from `earliest` on with the message's words, with the end of the turn.
    fn first_words(
        &self,
        earliest: usize,
        words: &Words,
        alone: Option<&str>,
    ) -> Option<Range<usize>> {
        let found = words.choices().filter_map(|words| {
            let found = self.find_from(earliest, words)?;
            Some(found.start..self.turn_end_after(found.end, words, alone))
        });
        found.min_by_key(first_and_longest)
    }

    fn find(&self, text: &str) -> Option<Range<usize>> {
        self.find_from(self.position, text)
    }

    /// The first place of a text from a position on, before the next message.
    fn find_from(&self, from: usize, text: &str) -> Option<Range<usize>> {
        let within = self.whole.get(from..self.limit)?;
        let start = from + within.find(text)?;
        (!text.is_empty()).then(|| start..start + text.len())
    }

    /// Learns from a message that is certain what ends a turn.
    fn found(&mut self, words: &Words, span: Range<usize>) -> Range<usize> {
        let text = &self.whole[span.clone()];
        let end = words.choices().find_map(|words| after(text, words));
        if let Some(end) = end.filter(|end| !end.trim().is_empty()) {
            self.turn_end = end;
        }
        span
    }

    /// The end of the turn whose words end at `position`, as far as the text goes on with it.
    fn turn_end_after(&self, position: usize, words: &str, alone: Option<&str>) -> usize {
        let rest = &self.whole[position..];
        let turn_end = alone.and_then(|alone| after(alone, words));
        let turn_end = turn_end.unwrap_or(self.turn_end);
        let length = common(rest, turn_end);
        if length > 0 {
            return position + length;
        }
        // White space that is the message's own, in one of them.
        let after_space = rest.trim_start();
        let is_there = after_space.starts_with(turn_end.trim());
        if is_there && !turn_end.trim().is_empty() {
            let space = rest.len() - after_space.len();
            return position + space + common(after_space, turn_end.trim_start());
        }
        position
    }
}

/// What a message says.
struct Words {
    all: String,
    /// Without reasoning, if there is any in it.
    answer: Option<String>,
    calls_tools: bool,
}

impl Words {
    fn of(message: &Map<String, Value>) -> Self {
        let all = content(message).trim().to_string();
        let answer = without_thinking(&all).trim().to_string();
        let calls = message.get("tool_calls").and_then(Value::as_array);
        Self {
            answer: (answer != all).then_some(answer),
            all,
            calls_tools: calls.is_some_and(|calls| !calls.is_empty()),
        }
    }

    /// What may be in the text, the longest first.
    fn choices(&self) -> impl Iterator<Item = &str> {
        let all = std::iter::once(self.all.as_str());
        let choices = all.chain(self.answer.as_deref());
        choices.filter(|words| !words.is_empty())
    }

    fn is_empty(&self) -> bool {
        !self.are_some() && !self.calls_tools
    }

    /// Whether the message may have nothing in the text: it says nothing but reasoning.
    fn may_be_nothing(&self) -> bool {
        self.is_empty() || (self.answer.as_deref() == Some("") && !self.calls_tools)
    }

    fn are_some(&self) -> bool {
        self.choices().next().is_some()
    }

    fn are_in(&self, text: &str) -> bool {
        let mut choices = self.choices().peekable();
        choices.peek().is_none() || choices.any(|words| text.contains(words))
    }
}

/// What follows the reasoning.
fn without_thinking(text: &str) -> &str {
    text.rsplit_once(THINKING_END)
        .map_or(text, |(_, answer)| answer.trim_start())
}

fn first_and_longest(found: &Range<usize>) -> (usize, Reverse<usize>) {
    (found.start, Reverse(found.end))
}

/// What follows the last place of `words` in a text.
fn after<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let position = text.rfind(words)?;
    Some(&text[position + words.len()..])
}

/// Length of what two texts both begin with. Where they part within a tag such as `<|end|>` or
/// `[INST]`, only what is before the tag.
fn common(one: &str, other: &str) -> usize {
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
