//! `tokenizer.json`, and the files that one is built from.

use std::path::{Path, PathBuf};

use minift::Result;
use minift::model::{FileBytes, ModelFiles, TextReader};
use minift::text::Tokenizer;
use serde_json::{Map, Value};

use super::check_error;
use super::small_model::{CONFIG, FOLDER};

/// Vocabulary size of the model.
const VOCAB_SIZE: usize = 300;
const TEXTS: [&str; 4] = [
    "",
    "Hello there, <s>you two.",
    "hélló 你好 \u{301}\u{feff} 🙂\r\n\t",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

/// Reads `tokenizer.json`. An accepted tokenizer returns ids within the vocabulary and spans within
/// the text, or an error.
pub fn tokenizer(data: &[u8]) -> bool {
    let tokenizer = match Tokenizer::parse(data, Path::new("tokenizer.json"), VOCAB_SIZE) {
        Ok(tokenizer) => tokenizer,
        Err(error) => {
            check_error(&error, data.len());
            return false;
        }
    };
    for text in TEXTS {
        let ids = match tokenizer.encode(text) {
            Ok(ids) => ids,
            Err(error) => {
                check_error(&error, data.len());
                continue;
            }
        };
        assert!(ids.iter().all(|&id| (id as usize) < VOCAB_SIZE), "{ids:?}");
        for special in [true, false] {
            if let Ok(tokens) = tokenizer.tokens(text, special) {
                for token in &tokens {
                    assert!((token.id as usize) < VOCAB_SIZE);
                    let part = &token.text;
                    assert!(
                        part.start <= part.end && part.end <= text.len(),
                        "{token:?}"
                    );
                }
            }
        }
        let _ = tokenizer.decode(&ids);
        let _ = tokenizer.decode_all(&ids);
    }
    true
}

/// Reads the files of a tokenizer: an object with their contents by their names, as text or as JSON. An
/// accepted tokenizer returns ids within the model's vocabulary, or an error.
pub fn files(data: &[u8]) -> bool {
    let Ok(files) = serde_json::from_slice::<Map<String, Value>>(data) else {
        return false;
    };
    let find = |name: &str| -> Result<Option<FileBytes>> {
        let bytes = match (name, files.get(name)) {
            (_, Some(Value::String(text))) => text.clone().into_bytes(),
            (_, Some(json)) => json.to_string().into_bytes(),
            ("config.json", None) => CONFIG.as_bytes().to_vec(),
            ("model.safetensors", None) => Vec::new(),
            _ => return Ok(None),
        };
        Ok(Some(FileBytes::InMemory(bytes.into())))
    };
    let reader = ModelFiles::collect(PathBuf::from(FOLDER), find).and_then(TextReader::new);
    let reader = match reader {
        Ok(reader) => reader,
        Err(error) => {
            check_error(&error, data.len());
            return false;
        }
    };
    let vocab_size = reader.config().decoder.vocab_size;
    let special = reader.end_tokens().iter().copied();
    for id in special
        .chain(reader.begin_token())
        .chain(reader.end_token())
    {
        assert!((id as usize) < vocab_size, "{id}");
    }
    for text in TEXTS {
        match reader.tokenizer().encode(text) {
            Ok(ids) => assert!(ids.iter().all(|&id| (id as usize) < vocab_size), "{ids:?}"),
            Err(error) => check_error(&error, data.len()),
        }
    }
    true
}
