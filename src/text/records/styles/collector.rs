//! Collects records from the objects of one file, in the style of the first.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::{EXPECTED, Object, Style, conversation};
use crate::text::records::{Place, ReadOptions, Record, Records, names};

/// Collects the records of one file.
pub(in crate::text::records) struct Collector<'a> {
    path: Arc<Path>,
    options: &'a ReadOptions,
    style: Option<Style>,
    records: Vec<Record>,
    ignored: BTreeSet<String>,
}

impl<'a> Collector<'a> {
    /// An empty collector; the first object determines the style.
    pub(in crate::text::records) fn new(path: &Path, options: &'a ReadOptions) -> Self {
        Self {
            path: path.into(),
            options,
            style: None,
            records: Vec::new(),
            ignored: BTreeSet::new(),
        }
    }

    /// Adds the next value of the file, at `line`: an object, a text, a conversation as a list of messages,
    /// or a list of records. Fails with a description of the error.
    pub(in crate::text::records) fn push(
        &mut self,
        value: Value,
        line: usize,
    ) -> Result<(), String> {
        match value {
            Value::Object(object) => self.push_object(object, line),
            Value::String(text) if self.reads_strings() => {
                self.style = Some(Style::Strings);
                self.records.push(Record::Text(text));
                Ok(())
            }
            Value::Array(messages) if messages.first().is_some_and(conversation::is_message) => {
                let object = [("messages".to_string(), Value::Array(messages))];
                self.push_object(object.into_iter().collect(), line)
            }
            other => {
                let (found, expected) = (names::kind(&other), self.expected());
                Err(format!(
                    "not a JSON object but {found}: expected {expected}"
                ))
            }
        }
    }

    /// Whether a string is a record: in files that have nothing else.
    fn reads_strings(&self) -> bool {
        matches!(self.style, None | Some(Style::Strings)) && self.options.columns().next().is_none()
    }

    fn push_object(&mut self, mut object: Object, line: usize) -> Result<(), String> {
        let style = match &self.style {
            Some(style) => style,
            // Tables that were joined have nulls for the keys of the others.
            None => match Style::detect(|key| object.get(key).is_some_and(is_given), self.options)
                .or_else(|| Style::detect(|key| object.contains_key(key), self.options))
            {
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
            // Only allocated for new keys.
            if !self.ignored.contains(&key) {
                self.ignored.insert(key);
            }
        }
        Ok(())
    }

    /// Describes why an object is not a valid record.
    fn missing(&self, object: &Object) -> String {
        let other = Style::detect(|key| object.contains_key(key), &ReadOptions::default());
        if let (Some(style), Some(other)) = (&self.style, other) {
            return format!(
                "has {other}, but the first record has {style}: expected {} in every record",
                style.example()
            );
        }
        let required = match &self.style {
            Some(style) => style.to_string(),
            None => required(self.options),
        };
        let found = names::list(object.keys().map(String::as_str));
        format!(
            "no {required} (found {found}): expected {}",
            self.expected()
        )
    }

    fn expected(&self) -> String {
        let requested = Style::requested(self.options);
        match self.style.as_ref().or(requested.as_ref()) {
            Some(style) => style.example(),
            None => EXPECTED.to_string(),
        }
    }

    /// Returns the records, with notes of how they were read and of the unused keys.
    pub(in crate::text::records) fn finish(self) -> Records {
        let is_list = matches!(self.records.first(), Some(Record::Conversation { .. }));
        let described = self.style.and_then(|style| style.described(is_list));
        let described = described.map(|what| format!("{}: {what}", self.path.display()));
        let ignored = self.ignored.iter().map(String::as_str);
        let ignored = ignored_note("key", ignored, &self.path);
        Records::of_file(self.records, described.into_iter().chain(ignored).collect())
    }
}

fn is_given(value: &Value) -> bool {
    !value.is_null()
}

/// The keys that a file lacks, for messages.
fn required(options: &ReadOptions) -> String {
    match Style::requested(options) {
        Some(style) => style.to_string(),
        None => "\"text\"".to_string(),
    }
}

/// Describes why a table has no records.
pub(in crate::text::records) fn missing_columns<'a>(
    options: &ReadOptions,
    found: impl IntoIterator<Item = &'a str>,
) -> String {
    let required = match Style::requested(options) {
        Some(style) => style.to_string(),
        None => "\"text\", nor \"prompt\" and \"completion\", \"messages\", \"conversations\", \
                 \"instruction\" and \"output\", or \"question\" and \"answer\""
            .to_string(),
    };
    let found = names::list(found);
    format!("no column {required} (found {found}): choose the column that contains the text")
}

/// Notes the unused keys or columns, if any.
pub(in crate::text::records) fn ignored_note<'a>(
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
