//! What the objects and rows of a file hold, and the records that they make.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Place, Record, Records, message, names};

/// What the records of a file are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Style {
    /// A text, under this key.
    Text(String),
    /// `prompt` and `completion`.
    Completion,
    /// `messages`, and perhaps `tools`.
    Conversation,
}

/// What a record can be, for messages.
pub(super) const EXPECTED: &str = "{\"text\": \"…\"}, {\"prompt\": \"…\", \"completion\": \"…\"} or \
                                   {\"messages\": […]}";

impl Style {
    /// The style of what has these keys. `column` names the key of the text.
    pub fn detect(has: impl Fn(&str) -> bool, column: Option<&str>) -> Option<Self> {
        if let Some(column) = column {
            has(column).then(|| Self::Text(column.to_string()))
        } else if has("text") {
            Some(Self::Text("text".to_string()))
        } else if has("prompt") && has("completion") {
            Some(Self::Completion)
        } else if has("messages") {
            Some(Self::Conversation)
        } else {
            None
        }
    }

    /// Keys that every record has.
    pub fn keys(&self) -> Vec<&str> {
        match self {
            Self::Text(key) => vec![key],
            Self::Completion => vec!["prompt", "completion"],
            Self::Conversation => vec!["messages"],
        }
    }

    /// Whether a key is used at all.
    pub fn uses(&self, key: &str) -> bool {
        self.keys().contains(&key) || (*self == Self::Conversation && key == "tools")
    }

    /// The record that an object makes; what is left in it is not used. Fails with what is wrong.
    fn record(&self, object: &mut Map<String, Value>, place: Place) -> Result<Record, String> {
        match self {
            Self::Text(key) => Ok(Record::Text(take_text(object, key)?)),
            Self::Completion => Ok(Record::Completion {
                prompt: take_text(object, "prompt")?,
                completion: take_text(object, "completion")?,
            }),
            Self::Conversation => Ok(Record::Conversation {
                messages: message::checked(object.remove("messages").unwrap_or_default())?,
                tools: message::checked_tools(object.remove("tools").unwrap_or_default())?,
                place,
            }),
        }
    }

    /// An object of this style.
    fn example(&self) -> String {
        match self {
            Self::Text(key) => format!("{{{}: \"…\"}}", names::quote(key)),
            Self::Completion => "{\"prompt\": \"…\", \"completion\": \"…\"}".to_string(),
            Self::Conversation => "{\"messages\": […]}".to_string(),
        }
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&names::list(self.keys()))
    }
}

fn take_text(object: &mut Map<String, Value>, key: &str) -> Result<String, String> {
    match object.remove(key) {
        Some(Value::String(text)) => Ok(text),
        other => {
            let key = names::quote(key);
            let found = kind(&other.unwrap_or_default());
            Err(format!("{key} is {found}: expected a string"))
        }
    }
}

/// What a JSON value is, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Makes records out of the objects of one file, in the style of the first.
pub(super) struct Collector<'a> {
    path: Arc<Path>,
    column: Option<&'a str>,
    style: Option<Style>,
    records: Vec<Record>,
    ignored: BTreeSet<String>,
}

impl<'a> Collector<'a> {
    /// Without a style as yet.
    pub fn new(path: &Path, column: Option<&'a str>) -> Self {
        Self {
            path: path.into(),
            column,
            style: None,
            records: Vec::new(),
            ignored: BTreeSet::new(),
        }
    }

    /// Takes the next value of the file, on that line. Fails with what is wrong with it.
    pub fn push(&mut self, value: Value, line: usize) -> Result<(), String> {
        let Value::Object(mut object) = value else {
            let (found, expected) = (kind(&value), self.expected());
            return Err(format!(
                "not a JSON object but {found}: expected {expected}"
            ));
        };
        let style = match &self.style {
            Some(style) => style,
            None => match Style::detect(|key| object.contains_key(key), self.column) {
                Some(style) => self.style.insert(style),
                None => return Err(self.missing(&object)),
            },
        };
        if style.keys().iter().any(|key| !object.contains_key(*key)) {
            return Err(self.missing(&object));
        }
        let place = Place {
            path: self.path.clone(),
            line,
        };
        self.records.push(style.record(&mut object, place)?);
        for (key, _) in object {
            // A key is unknown once, but seen in every record.
            if !self.ignored.contains(&key) {
                self.ignored.insert(key);
            }
        }
        Ok(())
    }

    /// Why an object does not make a record.
    fn missing(&self, object: &Map<String, Value>) -> String {
        let other = Style::detect(|key| object.contains_key(key), None);
        if let (Some(style), Some(other)) = (&self.style, other) {
            return format!(
                "has {other}, but the file begins with {style}: expected {} in every record of it",
                style.example()
            );
        }
        let wanted = match (&self.style, self.column) {
            (Some(style), _) => style.to_string(),
            (None, Some(column)) => names::quote(column),
            (None, None) => "\"text\"".to_string(),
        };
        let found = names::list(object.keys().map(String::as_str));
        format!("no {wanted} (found {found}): expected {}", self.expected())
    }

    fn expected(&self) -> String {
        match (&self.style, self.column) {
            (Some(style), _) => style.example(),
            (None, Some(column)) => Style::Text(column.to_string()).example(),
            (None, None) => EXPECTED.to_string(),
        }
    }

    /// The records, and a note of the keys that were not used.
    pub fn finish(self) -> Records {
        let ignored = self.ignored.iter().map(String::as_str);
        let note = ignored_note("key", ignored, &self.path);
        Records::of_file(self.records, note.into_iter().collect())
    }
}

/// That keys or columns are not used; none if there are none.
pub(super) fn ignored_note<'a>(
    noun: &str,
    ignored: impl IntoIterator<Item = &'a str, IntoIter: Clone>,
    path: &Path,
) -> Option<String> {
    let ignored = ignored.into_iter();
    let (are, noun) = match ignored.clone().count() {
        0 => return None,
        1 => ("is", names::plural(noun, 1)),
        count => ("are", names::plural(noun, count)),
    };
    let path = path.display();
    Some(format!(
        "{path}: {noun} {} {are} ignored",
        names::list(ignored)
    ))
}
