//! Record styles: which keys the objects and rows of a file have, and the records made from them. One file
//! per style.

mod alpaca;
mod collector;
mod completion;
mod conversation;
mod question;
#[cfg(test)]
mod tests;
mod turns;

use std::fmt;

use serde_json::{Map, Value};

use super::{Place, ReadOptions, Record, names};

pub(super) use collector::{Collector, ignored_note, missing_columns};
pub(super) use conversation::is_message;
pub(super) use question::before;
pub(super) use turns::{renamed, turns_of_round};

/// An object of a file.
type Object = Map<String, Value>;

/// The keys that the records of a file are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Style {
    /// A text with this key.
    Text(String),
    /// Strings instead of objects: each is a text.
    Strings,
    /// A prompt and its completion.
    Completion(completion::Keys),
    /// Messages with this key.
    Messages(String),
    /// Conversations of ShareGPT, with this key.
    ShareGpt(String),
    /// Instructions of Alpaca.
    Alpaca(alpaca::Keys),
    /// A question with its answer.
    Question(question::Keys),
}

/// The supported styles, for messages.
pub(super) const EXPECTED: &str = "{\"text\": \"…\"}, {\"prompt\": \"…\", \"completion\": \"…\"}, \
                                   {\"messages\": […]}, {\"conversations\": […]}, \
                                   {\"instruction\": \"…\", \"output\": \"…\"} or \
                                   {\"question\": \"…\", \"answer\": \"…\"}";

impl Style {
    /// Detects the style from the available keys. The options override the keys.
    pub(super) fn detect(has: impl Fn(&str) -> bool, options: &ReadOptions) -> Option<Self> {
        if let Some(style) = Self::requested(options) {
            return style.keys().into_iter().all(has).then_some(style);
        }
        let known = completion::Keys::default();
        if has("text") {
            Some(Self::Text("text".to_string()))
        } else if known.list().into_iter().all(&has) {
            Some(Self::Completion(known))
        } else if has("messages") {
            Some(Self::Messages("messages".to_string()))
        } else if let Some(key) = turns::KEYS.into_iter().find(|key| has(key)) {
            Some(Self::ShareGpt(key.to_string()))
        } else if let Some(keys) = alpaca::Keys::detect(&has) {
            Some(Self::Alpaca(keys))
        } else {
            question::Keys::detect(&has).map(Self::Question)
        }
    }

    /// The style that the options name.
    fn requested(options: &ReadOptions) -> Option<Self> {
        if let Some(column) = &options.column {
            Some(Self::Text(column.clone()))
        } else if let Some(column) = &options.messages_column {
            Some(Self::Messages(column.clone()))
        } else {
            completion::Keys::requested(options).map(Self::Completion)
        }
    }

    /// The required keys.
    pub(super) fn keys(&self) -> Vec<&str> {
        match self {
            Self::Text(key) | Self::Messages(key) | Self::ShareGpt(key) => vec![key],
            Self::Strings => Vec::new(),
            Self::Completion(keys) => keys.list(),
            Self::Alpaca(keys) => keys.list(),
            Self::Question(keys) => keys.list(),
        }
    }

    /// Further keys that are used where they exist.
    fn optional_keys(&self) -> Vec<&str> {
        match self {
            Self::Text(_) | Self::Strings => Vec::new(),
            Self::Completion(_) => vec!["tools"],
            Self::Messages(_) | Self::ShareGpt(_) => [&["tools"], &SYSTEM[..]].concat(),
            Self::Alpaca(_) => [&alpaca::OPTIONAL, &SYSTEM[..]].concat(),
            Self::Question(_) => SYSTEM.to_vec(),
        }
    }

    /// Whether a key is used.
    pub(super) fn uses(&self, key: &str) -> bool {
        self.keys().contains(&key) || self.optional_keys().contains(&key)
    }

    /// Converts an object to a record, leaving its unused keys. Fails with a description of the error.
    pub(super) fn record(&self, object: &mut Object, place: Place) -> Result<Record, String> {
        match self {
            Self::Text(key) => Ok(Record::Text(take_text(object, key)?)),
            Self::Strings => Err(
                "not a string but an object: expected a string, as in the first record".to_string(),
            ),
            Self::Completion(keys) => keys.record(object, place),
            Self::Messages(key) => conversation::record(object, key, false, place),
            Self::ShareGpt(key) => conversation::record(object, key, true, place),
            Self::Alpaca(keys) => keys.record(object, place),
            Self::Question(keys) => keys.record(object, place),
        }
    }

    /// Says how a file is read, unless its keys are those of the plain styles. `is_list` says whether the
    /// first record has messages.
    pub(super) fn described(&self, is_list: bool) -> Option<String> {
        let what = match self {
            Self::ShareGpt(_) => "ShareGPT conversations",
            Self::Alpaca(_) => "Alpaca instructions",
            Self::Question(_) => "questions with answers",
            Self::Completion(_) if is_list => "conversations, of which the completions are trained",
            Self::Strings => return Some("read as a list of texts".to_string()),
            Self::Text(_) | Self::Completion(_) | Self::Messages(_) => return None,
        };
        Some(format!("read as {what} ({self})"))
    }

    /// An example object of this style.
    fn example(&self) -> String {
        let value = match self {
            Self::Strings => return "\"…\"".to_string(),
            Self::Messages(_) | Self::ShareGpt(_) => "[…]",
            _ => "\"…\"",
        };
        let entry = |key: &str| format!("{}: {value}", names::quote(key));
        let entries: Vec<_> = self.keys().into_iter().map(entry).collect();
        format!("{{{}}}", entries.join(", "))
    }
}

/// Displays the required keys.
impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strings => f.write_str("strings"),
            _ => f.write_str(&names::list(self.keys())),
        }
    }
}

/// Keys of a system prompt beside a conversation or a question.
const SYSTEM: [&str; 2] = ["system", "system_prompt"];

/// Takes the system prompt of an object, if it has one.
fn take_system(object: &mut Object) -> Result<Option<String>, String> {
    let mut found = None;
    for key in SYSTEM {
        found = found.or(take_optional_text(object, key)?);
    }
    Ok(found)
}

fn take_text(object: &mut Object, key: &str) -> Result<String, String> {
    match object.remove(key) {
        Some(Value::String(text)) => Ok(text),
        other => {
            let key = names::quote(key);
            let found = names::kind(&other.unwrap_or_default());
            Err(format!("{key} is {found}: expected a string"))
        }
    }
}

/// Takes a text that may be absent, null or empty.
fn take_optional_text(object: &mut Object, key: &str) -> Result<Option<String>, String> {
    match object.get(key) {
        None | Some(Value::Null) => {
            object.remove(key);
            Ok(None)
        }
        Some(_) => take_text(object, key).map(|text| Some(text).filter(|text| !text.is_empty())),
    }
}
