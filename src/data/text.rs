//! Texts out of files: plain text with blank lines between samples, or JSON lines.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};

/// The texts of a `.txt` file (samples separated by blank lines) or a `.jsonl` file
/// (`{"text": …}` a line; other keys are ignored).
///
/// # Errors
///
/// [`Error::Io`], [`Error::UnknownDataFormat`] for another ending, and [`Error::DataLine`] with the
/// line that cannot be used.
pub fn read_texts(path: &Path) -> Result<Vec<String>> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    parse_texts(&bytes, path)
}

/// The texts in the bytes of such a file; `path` tells its kind and is for messages.
///
/// # Errors
///
/// As [`read_texts`].
pub fn parse_texts(bytes: &[u8], path: &Path) -> Result<Vec<String>> {
    let ending = path
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default();
    let parse = match ending.to_ascii_lowercase().as_str() {
        "txt" => parse_plain,
        "jsonl" => parse_json_lines,
        _ => {
            return Err(Error::UnknownDataFormat {
                path: path.to_path_buf(),
            });
        }
    };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        Error::DataLine {
            path: path.to_path_buf(),
            line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
            message: format!(
                "byte {} of the file is not UTF-8: save the file as UTF-8",
                error.valid_up_to() + 1
            ),
        }
    })?;
    // Some editors put a byte order mark before the text.
    parse(text.strip_prefix('\u{feff}').unwrap_or(text), path)
}

fn parse_plain(text: &str, _: &Path) -> Result<Vec<String>> {
    let mut samples = Vec::new();
    let mut sample: Vec<&str> = Vec::new();
    for line in text.lines().chain([""]) {
        if !line.trim().is_empty() {
            sample.push(line);
        } else if !sample.is_empty() {
            samples.push(sample.join("\n"));
            sample.clear();
        }
    }
    Ok(samples)
}

fn parse_json_lines(text: &str, path: &Path) -> Result<Vec<String>> {
    let fault = |line: usize, message: String| Error::DataLine {
        path: path.to_path_buf(),
        line: line + 1,
        message,
    };
    let mut samples = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let value: Value = serde_json::from_str(line)
            .map_err(|error| fault(number, format!("not JSON: {error}")))?;
        let Value::Object(mut object) = value else {
            let message = "not a JSON object: expected {\"text\": \"…\"}";
            return Err(fault(number, message.to_string()));
        };
        match object.remove("text") {
            Some(Value::String(text)) => samples.push(text),
            Some(_) => {
                let message = "\"text\" is not a string: expected {\"text\": \"…\"}";
                return Err(fault(number, message.to_string()));
            }
            None => {
                let keys = object
                    .keys()
                    .map(|key| format!("{key:?}"))
                    .collect::<Vec<_>>();
                let message = format!(
                    "no \"text\" (found {}): expected {{\"text\": \"…\"}}",
                    if keys.is_empty() {
                        "nothing".to_string()
                    } else {
                        keys.join(", ")
                    }
                );
                return Err(fault(number, message));
            }
        }
    }
    Ok(samples)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_split_at_blank_lines() {
        let text = "\u{feff}one\ntwo\r\n\n  \n\nthree\n";
        let samples = parse_texts(text.as_bytes(), Path::new("a.txt")).unwrap();
        assert_eq!(samples, ["one\ntwo", "three"]);
    }

    #[test]
    fn json_lines_ignore_other_keys_and_blank_lines() {
        let text = "{\"text\": \"a\", \"id\": 3}\n\n{\"text\": \"b\"}";
        let samples = parse_texts(text.as_bytes(), Path::new("a.JSONL")).unwrap();
        assert_eq!(samples, ["a", "b"]);
    }

    #[test]
    fn faults_name_the_line() {
        for (text, line) in [
            ("{\"text\": \"a\"}\n[1]\n", 2),
            ("{\"text\": \"a\"}\n\n{\"txt\": \"b\"}\n", 3),
            ("{\"text\": 5}", 1),
            ("{\"text\": \"a\"", 1),
        ] {
            match parse_texts(text.as_bytes(), Path::new("a.jsonl")) {
                Err(Error::DataLine { line: found, .. }) => assert_eq!(found, line, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        match parse_texts(b"one\n\nt\xffo", Path::new("a.txt")) {
            Err(Error::DataLine {
                line: 3, message, ..
            }) => assert!(message.contains("byte 7")),
            other => panic!("{other:?}"),
        }
    }
}
