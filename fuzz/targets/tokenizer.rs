//! `tokenizer.json`.

use std::path::Path;

use minift::data::Tokenizer;

use super::is_told;

/// Tokens that the model has.
const VOCABULARY: usize = 300;
const TEXTS: [&str; 4] = [
    "",
    "Hello there, <s>you two.",
    "hélló 你好 \u{301}\u{feff} 🙂\r\n\t",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

/// Reads bytes as `tokenizer.json`. One that is accepted makes tokens that the model has, which stand
/// for parts of the text, or tells why not.
pub fn tokenizer(data: &[u8]) -> bool {
    let tokenizer = match Tokenizer::parse(data, Path::new("tokenizer.json"), VOCABULARY) {
        Ok(tokenizer) => tokenizer,
        Err(error) => {
            is_told(&error, data.len());
            return false;
        }
    };
    for text in TEXTS {
        let ids = match tokenizer.encode(text) {
            Ok(ids) => ids,
            Err(error) => {
                is_told(&error, data.len());
                continue;
            }
        };
        assert!(ids.iter().all(|&id| (id as usize) < VOCABULARY), "{ids:?}");
        for special in [true, false] {
            if let Ok(tokens) = tokenizer.tokens(text, special) {
                for token in &tokens {
                    assert!((token.id as usize) < VOCABULARY);
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
