//! Locates the assistant's messages in a rendered conversation, for templates without generation blocks.

use std::cmp::Reverse;
use std::ops::Range;

use serde_json::{Map, Value};

use super::conversation::{THINKING_END, content};
use super::words::{THINKING_START, Words, common_prefix, text_after, without_thinking};

/// An assistant message that cannot be located in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotFound {
    /// Index of the message.
    pub message: usize,
}

/// Returns the byte ranges of the assistant's messages in `whole`, each with the message's index.
///
/// `prefix(count, add_generation_prompt)` renders the first `count` messages, or fails. If the
/// conversations up to and after a message both render to prefixes of `whole`, the message is between their
/// ends. Otherwise `places` gives the position of its content; if that is unknown too, its content is
/// searched for.
pub(super) fn spans(
    messages: &[Map<String, Value>],
    whole: &str,
    places: &[Option<Range<usize>>],
    end_token: Option<&str>,
    prefix: impl FnMut(usize, bool) -> Option<String>,
) -> Result<Vec<(usize, Range<usize>)>, NotFound> {
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
                    spans.push((index, span));
                }
            }
            // An answer follows its question, which may have the same content.
            Some("user") => {
                let found = match &places[index] {
                    Some(place) => Some(place.clone()),
                    None => search.find(content(message).trim()),
                };
                if let Some(found) = found {
                    search.position = search.position.max(found.end);
                }
            }
            // Templates move system messages and tools.
            _ => {}
        }
    }
    Ok(spans)
}

/// The text after the content of a final assistant message. Earlier turns may end with it, or with a
/// prefix of it.
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
    /// Position of each message's content in the whole, where known.
    places: &'a [Option<Range<usize>>],
    prefix: F,
    /// The end-of-sequence token, which some templates only add after the last message.
    end_token: &'a str,
    /// End of the last message that was located, by its content or exactly.
    position: usize,
    /// End of the assistant's last message.
    settled: usize,
    /// Start of the next message with a known position, or the end of the whole.
    limit: usize,
    /// The text between an assistant message's content and the end of its turn, where known.
    turn_end: &'a str,
}

impl<'a, F: FnMut(usize, bool) -> Option<String>> Search<'a, F> {
    /// Locates an assistant message.
    fn message(&mut self, index: usize) -> Result<Range<usize>, NotFound> {
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
            // The generation prompt may be longer than what precedes earlier answers, such as by an
            // opening reasoning tag.
            let start = common_prefix(self.whole, before.as_deref()?);
            (certain && start >= earliest).then_some(start)
        });
        // As the last message it may include reasoning, which is dropped once others follow.
        let alone = with.as_deref().and_then(|with| {
            if let Some(alone) = before
                .as_deref()
                .and_then(|before| with.strip_prefix(before))
            {
                return Some(alone);
            }
            let mut variants = words.variants();
            variants.find_map(|words| Some(&with[with.rfind(words)?..]))
        });
        let alone = alone.filter(|alone| !words.is_empty() && words.occur_in(alone));
        if let Some(place) = self.place(index) {
            return Ok(self.around(&place, start, end, &words, alone));
        }

        if let Some(end) = end.filter(|&end| end >= earliest) {
            if let Some(start) = start.filter(|&start| start <= end)
                && words.occur_in(&self.whole[start..end])
            {
                return Ok(self.found(&words, start..end));
            }
            let mut variants = words.variants();
            if let Some(start) = variants.find_map(|words| self.whole[earliest..end].rfind(words)) {
                return Ok(self.found(&words, earliest + start..end));
            }
        }

        if let Some(start) = start
            && let Some(length) = self.length_at(start, &words, alone)
        {
            return Ok(start..start + length);
        }
        let found = match start {
            Some(_) if words.may_be_absent() => None,
            Some(start) => self.first_words(start, &words, alone),
            None => self.first(earliest, &words, alone),
        };
        match found {
            Some(found) => Ok(start.unwrap_or(found.start)..found.end),
            None if words.may_be_absent() => Ok(earliest..earliest),
            None => Err(NotFound { message: index }),
        }
    }

    /// The position of a message's content, if it is known and after the previous messages.
    fn place(&self, index: usize) -> Option<Range<usize>> {
        let place = self.places[index].clone()?;
        (place.start >= self.position).then_some(place)
    }

    /// Start of the next message with a known position.
    fn next_place(&self, index: usize) -> usize {
        let messages = self.messages.iter().zip(self.places).skip(index + 1);
        let turns =
            messages.filter(|(message, _)| matches!(role(message), Some("user" | "assistant")));
        let places = turns.filter_map(|(_, place)| Some(place.as_ref()?.start));
        let mut later = places.filter(|&start| start >= self.position);
        later.next().unwrap_or(self.whole.len())
    }

    /// Extends the content at `place` to the whole message, using `start` and `end` if known.
    fn around(
        &self,
        place: &Range<usize>,
        start: Option<usize>,
        end: Option<usize>,
        words: &Words,
        alone: Option<&str>,
    ) -> Range<usize> {
        let before = &self.whole[self.position..place.end];
        let content = words.variants().find(|words| before.ends_with(words));
        let start = start.filter(|&start| start <= place.start);
        let start = start.unwrap_or_else(|| {
            // Reasoning may be formatted differently from the answer, and still be present.
            let start = content.map_or(place.start, |content| place.end - content.len());
            let start = start.min(place.start);
            // Text that the template adds before the content, such as a space.
            let lead = alone.zip(content).and_then(|(alone, content)| {
                let position = alone.rfind(content)?;
                Some(&alone[..position])
            });
            let lead = lead.filter(|lead| self.whole[self.position..start].ends_with(lead));
            start - lead.map_or(0, str::len)
        });
        let end = end.filter(|&end| end >= place.end && end <= self.limit);
        let end = end.unwrap_or_else(|| {
            let alone = alone.filter(|_| content.is_some());
            self.turn_end_after(place.end, content.unwrap_or_default(), alone)
        });
        start..end
    }

    /// Length of a rendered prefix, if it is a prefix of the whole and not before the last message located.
    fn end_in_whole(&self, beginning: Option<&str>) -> Option<usize> {
        let beginning = beginning?;
        (self.whole.starts_with(beginning) && beginning.len() >= self.settled)
            .then_some(beginning.len())
    }

    /// Earliest start of a message, and whether the previous message is known to end there.
    fn earliest(&mut self, index: usize) -> (usize, bool) {
        let before = (self.prefix)(index, false);
        match self.end_in_whole(before.as_deref()) {
            Some(end) => (end, true),
            None => (self.position, false),
        }
    }

    /// Length of the message that starts at `start`. `alone` is its rendering as the last message.
    fn length_at(&self, start: usize, words: &Words, alone: Option<&str>) -> Option<usize> {
        let rest = &self.whole[start..self.limit.max(start)];
        if let Some(alone) = alone {
            let without_end_token = alone.strip_suffix(self.end_token).unwrap_or(alone);
            for text in [alone, without_end_token, without_thinking(alone)] {
                let length = common_prefix(rest, text);
                let is_all = length == text.len();
                if is_all || (words.are_present() && words.occur_in(&text[..length])) {
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
        let mut variants = words.variants();
        let words = variants.find(|words| answer.starts_with(*words))?;
        let end = start + (rest.len() - answer.len()) + words.len();
        Some(self.turn_end_after(end, words, alone) - start)
    }

    /// The first possible position of the message from `earliest` on; the longest of several.
    fn first(&self, earliest: usize, words: &Words, alone: Option<&str>) -> Option<Range<usize>> {
        let wholly = alone
            .into_iter()
            .flat_map(|alone| [alone, without_thinking(alone)])
            .filter(|text| words.occur_in(text));
        let wholly = wholly.filter_map(|text| self.find_from(earliest, text));
        wholly
            .chain(self.first_words(earliest, words, alone))
            .min_by_key(first_and_longest)
    }

    /// The first position of the message's content from `earliest` on, extended to the end of the turn.
    fn first_words(
        &self,
        earliest: usize,
        words: &Words,
        alone: Option<&str>,
    ) -> Option<Range<usize>> {
        let found = words.variants().filter_map(|words| {
            let found = self.find_from(earliest, words)?;
            Some(found.start..self.turn_end_after(found.end, words, alone))
        });
        found.min_by_key(first_and_longest)
    }

    fn find(&self, text: &str) -> Option<Range<usize>> {
        self.find_from(self.position, text)
    }

    /// The first position of a text from `from` on, before the next message.
    fn find_from(&self, from: usize, text: &str) -> Option<Range<usize>> {
        let within = self.whole.get(from..self.limit)?;
        let start = from + within.find(text)?;
        (!text.is_empty()).then(|| start..start + text.len())
    }

    /// Records the end of a turn from a message located exactly.
    fn found(&mut self, words: &Words, span: Range<usize>) -> Range<usize> {
        let text = &self.whole[span.clone()];
        let end = words.variants().find_map(|words| text_after(text, words));
        if let Some(end) = end.filter(|end| !end.trim().is_empty()) {
            self.turn_end = end;
        }
        span
    }

    /// The end of the turn whose content ends at `position`, as far as the text matches it.
    fn turn_end_after(&self, position: usize, words: &str, alone: Option<&str>) -> usize {
        let rest = &self.whole[position..];
        let turn_end = alone.and_then(|alone| text_after(alone, words));
        let turn_end = turn_end.unwrap_or(self.turn_end);
        let length = common_prefix(rest, turn_end);
        if length > 0 {
            return position + length;
        }
        // Whitespace that belongs to the content in one of them.
        let after_space = rest.trim_start();
        let is_there = after_space.starts_with(turn_end.trim());
        if is_there && !turn_end.trim().is_empty() {
            let space = rest.len() - after_space.len();
            return position + space + common_prefix(after_space, turn_end.trim_start());
        }
        position
    }
}

fn first_and_longest(found: &Range<usize>) -> (usize, Reverse<usize>) {
    (found.start, Reverse(found.end))
}
