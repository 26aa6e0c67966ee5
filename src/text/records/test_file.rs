//! Reads tests: files of questions with the right answer, in JSON lines.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::format::{self, Format, Kind};
use super::json::syntax_error;
use super::{Place, encoding, names, styles};
use crate::error::{Error, Result};
use crate::text::python_json::without_nan;

/// A question of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestQuestion {
    /// The question, as it is put to the model.
    pub question: String,
    /// The right answer.
    pub answer: TestAnswer,
    /// Its position in the file, for messages.
    pub place: Place,
}

impl TestQuestion {
    /// Returns the text that a model without a chat template continues with the answer, as in training.
    pub(crate) fn prompt(&self, answer: &str) -> String {
        styles::before(&self.question, answer)
    }
}

/// The right answer of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestAnswer {
    /// One of several choices.
    Choice {
        /// At least two different texts.
        choices: Vec<String>,
        /// Index of the right one.
        right: usize,
    },
    /// A text.
    Text(String),
}

/// A result whose error is a description.
type Parsed<T> = std::result::Result<T, String>;

/// Reads the questions of a `.jsonl` file, which may be compressed with gzip or zstd. Each line is an object with
///
/// - `question`, `choices` (a list of texts) and `answer`: the index of a choice, from 0, or its text,
/// - or `question` and `answer`, a text.
///
/// Other keys are ignored.
///
/// # Errors
///
/// [`Error::Io`], and as [`parse_test`].
#[cfg(not(target_arch = "wasm32"))]
pub fn read_test(path: impl AsRef<Path>) -> Result<Vec<TestQuestion>> {
    let path = path.as_ref();
    kind(path)?;
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    parse_test(&bytes, path)
}

/// Parses the bytes of such a file; `path` is for messages.
///
/// # Errors
///
/// [`Error::DataLine`] with the line, the key and what is expected there; [`Error::DataFile`] for another format
/// and for a file without questions.
pub fn parse_test(bytes: &[u8], path: impl AsRef<Path>) -> Result<Vec<TestQuestion>> {
    let path = path.as_ref();
    let compression = kind(path)?.compression;
    let bytes = format::content(bytes, bytes.len() as u64, path)?;
    let text = encoding::decode(&bytes, path, compression)?;
    let text = without_nan(&text);
    let shared: Arc<Path> = path.into();
    let mut questions = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let place = Place {
            path: shared.clone(),
            line: index + 1,
        };
        let value = serde_json::from_str(line).map_err(|error| syntax_error(&error));
        let parsed = value.and_then(|value| question(value, place));
        questions.push(parsed.map_err(|fault| Error::data_line(path, index + 1, fault))?);
    }
    match questions.is_empty() {
        true => Err(Error::data_file(path, "it contains no question")),
        false => Ok(questions),
    }
}

/// Checks the extension of a file.
fn kind(path: &Path) -> Result<Format> {
    let format = Format::of(path)?;
    match format.kind {
        None | Some(Kind::JsonLines) => Ok(format),
        Some(other) => {
            let message = format!(
                "a test in {}: expected JSON lines (.jsonl) with \"question\" and \"answer\"",
                other.name()
            );
            Err(Error::data_file(path, message))
        }
    }
}

fn question(value: Value, place: Place) -> Parsed<TestQuestion> {
    let Value::Object(mut object) = value else {
        let found = names::kind(&value);
        return Err(format!(
            "not a JSON object but {found}: expected {{\"question\": \"…\", \"answer\": \"…\"}}"
        ));
    };
    let question = text(&mut object, "question")?;
    let answer = match object.remove("choices") {
        None | Some(Value::Null) => TestAnswer::Text(text(&mut object, "answer")?),
        Some(choices) => {
            let choices = texts(choices)?;
            TestAnswer::Choice {
                right: right(object.remove("answer"), &choices)?,
                choices,
            }
        }
    };
    Ok(TestQuestion {
        question,
        answer,
        place,
    })
}

/// Takes a text that is not blank.
fn text(object: &mut Map<String, Value>, key: &str) -> Parsed<String> {
    match object.remove(key) {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text),
        Some(Value::String(_)) => Err(format!("\"{key}\" is empty: expected a text")),
        Some(other) => {
            let found = names::kind(&other);
            Err(format!("\"{key}\" is {found}: expected a string"))
        }
        None => {
            let keys = object.keys().map(String::as_str);
            let found = names::list(keys);
            Err(format!(
                "\"{key}\" is missing: expected a string, found {found}"
            ))
        }
    }
}

/// Returns the texts of `choices`.
fn texts(choices: Value) -> Parsed<Vec<String>> {
    let Value::Array(values) = choices else {
        let found = names::kind(&choices);
        return Err(format!(
            "\"choices\" is {found}: expected a list of strings"
        ));
    };
    if values.len() < 2 {
        let found = values.len();
        return Err(format!("\"choices\" has {found}: expected at least 2"));
    }
    let mut texts: Vec<String> = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        match value {
            Value::String(text) if text.trim().is_empty() => {
                return Err(format!("\"choices\"[{index}] is empty: expected a text"));
            }
            Value::String(text) => texts.push(text),
            other => {
                let found = names::kind(&other);
                return Err(format!(
                    "\"choices\"[{index}] is {found}: expected a string"
                ));
            }
        }
    }
    let mut sorted: Vec<&str> = texts.iter().map(|text| text.trim()).collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!(
            "\"choices\" has {} twice: expected different texts",
            names::quote(pair[0])
        )),
        None => Ok(texts),
    }
}

/// Returns the index of the choice that `answer` names.
fn right(answer: Option<Value>, choices: &[String]) -> Parsed<usize> {
    let last = choices.len() - 1;
    let expected = format!("expected an index from 0 to {last}, or the text of a choice");
    match answer {
        None => Err(format!("\"answer\" is missing: {expected}")),
        Some(Value::Number(number)) => {
            let index = number
                .as_u64()
                .and_then(|index| usize::try_from(index).ok());
            let index = index.filter(|&index| index <= last);
            index.ok_or_else(|| format!("\"answer\" is {number}: {expected}"))
        }
        Some(Value::String(text)) => {
            let is_it = |choice: &String| choice.trim() == text.trim();
            let index = choices.iter().position(is_it);
            index.ok_or_else(|| format!("\"answer\" is {}: {expected}", names::quote(&text)))
        }
        Some(other) => {
            let found = names::kind(&other);
            Err(format!("\"answer\" is {found}: {expected}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<TestQuestion>> {
        parse_test(text.as_bytes(), "test.jsonl")
    }

    #[test]
    fn questions_have_choices_or_a_text_as_their_answer() {
        let text = "{\"question\": \"2 + 2 =\", \"choices\": [\"3\", \"4\"], \"answer\": 1, \"id\": NaN}\n\n\
                    {\"question\": \"2 + 2 =\", \"choices\": [\"3\", \" 4\"], \"answer\": \"4\"}\r\n\
                    {\"question\": \"Capital?\", \"choices\": null, \"answer\": \"Paris\"}";
        let questions = parsed(text).unwrap();
        let choice = |choices: [&str; 2]| TestAnswer::Choice {
            choices: choices.map(str::to_string).to_vec(),
            right: 1,
        };
        let answers: Vec<_> = questions.iter().map(|q| q.answer.clone()).collect();
        let paris = TestAnswer::Text("Paris".to_string());
        assert_eq!(answers, [choice(["3", "4"]), choice(["3", " 4"]), paris]);
        let lines: Vec<_> = questions.iter().map(|q| q.place.line).collect();
        assert_eq!(lines, [1, 3, 4]);
        assert_eq!(questions[0].question, "2 + 2 =");
    }

    #[test]
    fn faults_name_line_and_key() {
        let choices = |choices: &str, answer: &str| {
            format!("{{\"question\": \"a\", \"choices\": {choices}, \"answer\": {answer}}}")
        };
        for (line, expected) in [
            (
                "{\"question\": 1}".to_string(),
                "\"question\" is a number: expected a string",
            ),
            (
                "{\"prompt\": \"a\"}".to_string(),
                "\"question\" is missing: expected a string, found \"prompt\"",
            ),
            ("{\"question\": \" \"}".to_string(), "\"question\" is empty"),
            (
                "{\"question\": \"a\"}".to_string(),
                "\"answer\" is missing: expected a string",
            ),
            (
                "{\"question\": \"a\", \"answer\": 4}".to_string(),
                "\"answer\" is a number: expected a string",
            ),
            ("[1]".to_string(), "not a JSON object but a list"),
            (
                "{".to_string(),
                "invalid JSON: EOF while parsing an object at column 1",
            ),
            (
                choices("\"b\"", "0"),
                "\"choices\" is a string: expected a list",
            ),
            (
                choices("[\"b\"]", "0"),
                "\"choices\" has 1: expected at least 2",
            ),
            (
                choices("[\"b\", 3]", "0"),
                "\"choices\"[1] is a number: expected a string",
            ),
            (choices("[\"\", \"b\"]", "0"), "\"choices\"[0] is empty"),
            (
                choices("[\"b\", \"c\", \" b\"]", "0"),
                "\"choices\" has \"b\" twice",
            ),
            (
                choices("[\"b\", \"c\"]", "2"),
                "\"answer\" is 2: expected an index from 0 to 1",
            ),
            (
                choices("[\"b\", \"c\"]", "-1"),
                "\"answer\" is -1: expected an index",
            ),
            (
                choices("[\"b\", \"c\"]", "0.5"),
                "\"answer\" is 0.5: expected an index",
            ),
            (
                choices("[\"b\", \"c\"]", "\"d\""),
                "\"answer\" is \"d\": expected an index",
            ),
            (
                choices("[\"b\", \"c\"]", "null"),
                "\"answer\" is null: expected an index",
            ),
        ] {
            let good = "{\"question\": \"a\", \"answer\": \"b\"}\n";
            let error = parsed(&format!("{good}{line}")).unwrap_err();
            assert!(
                matches!(error, Error::DataLine { line: 2, .. }),
                "{error:?}"
            );
            let message = error.to_string();
            assert!(message.contains(expected), "{expected:?} in {message:?}");
        }
        assert!(
            parsed("\n \n")
                .unwrap_err()
                .to_string()
                .contains("no question")
        );
        let error = parse_test(b"{}", "test.csv").unwrap_err().to_string();
        assert!(
            error.contains("a test in CSV: expected JSON lines"),
            "{error}"
        );
        assert!(parse_test(b"\xff\xff", "test.jsonl").is_err());
    }
}
