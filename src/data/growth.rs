//! How much memory a `tokenizer.json` may ask for: told before the tokenizers crate reads it, which
//! reserves what a character map claims to need, and does to a text whatever the file says.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;

/// How many times longer a text may become: far more than by any tokenizer, whose forms of Unicode
/// account for most of it.
const LONGEST: usize = 4096;
/// Tokens that may be put around a text; real ones put two.
const MOST_SPECIAL: usize = 1024;
/// Characters of a word that may be looked up whole, which takes time with the cube of them. It is 100 in
/// real ones.
const LONGEST_WORD: u64 = 1024;

/// The parts of the file that can ask for more than their own size.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    #[serde(default)]
    model: Model,
}

#[derive(Default, Deserialize)]
struct Model {
    #[serde(default)]
    max_input_chars_per_word: Value,
}

/// Whether reading the file, and texts by it, takes memory in proportion to file and texts. Fails with what
/// does not.
pub(super) fn check(file: &[u8]) -> Result<(), String> {
    let parts: Parts = serde_json::from_slice(file).map_err(|error| error.to_string())?;
    for (name, part) in [
        ("normalizer", &parts.normalizer),
        ("decoder", &parts.decoder),
    ] {
        let times = growth(part)?;
        if times > LONGEST {
            return Err(format!(
                "its {name} may make a text {times} times as long: expected {LONGEST} at most"
            ));
        }
    }
    let tokens = special_tokens(&parts.post_processor);
    if tokens > MOST_SPECIAL {
        return Err(format!(
            "its post_processor puts {tokens} tokens around a text: expected {MOST_SPECIAL} at most"
        ));
    }
    let word = &parts.model.max_input_chars_per_word;
    match word.as_u64() {
        Some(characters) if characters > LONGEST_WORD => Err(format!(
            "its model's max_input_chars_per_word is {characters}: expected {LONGEST_WORD} at most"
        )),
        _ => Ok(()),
    }
}

/// How many times longer a normalizer or decoder may make a text, in bytes. What it is shows in its
/// fields: the crate reads those without a type too.
fn growth(part: &Value) -> Result<usize, String> {
    for list in ["normalizers", "decoders"] {
        if let Some(parts) = part[list].as_array() {
            return parts.iter().try_fold(1_usize, |times, part| {
                Ok(times.saturating_mul(growth(part)?))
            });
        }
    }
    if let Some(map) = part.get("precompiled_charsmap") {
        return longest_entry(map.as_str().unwrap_or_default());
    }
    if let (Some(content), Some(pattern)) = (part["content"].as_str(), part.get("pattern")) {
        return Ok(match pattern["String"].as_str().map(str::len) {
            // Nothing is found.
            Some(0) => 1,
            Some(length) => content.len().div_ceil(length).max(1),
            // Nothing may be what is found, between every two characters.
            None => content.len() + 1,
        });
    }
    Ok(match part["type"].as_str() {
        // The longest form of one character, U+FDFA, has 33 bytes for 3.
        Some("NFKC" | "NFKD") => 11,
        Some("NFC" | "NFD") => 3,
        Some("Lowercase" | "ByteLevel") => 2,
        // Spaces around each character of Chinese, forms and lower case.
        Some("BertNormalizer") => 6,
        _ => 1,
    })
}

/// The longest text that a precompiled map of SentencePiece puts in the place of a character: its length
/// and a trie come first, then the texts, each with a NUL behind it.
fn longest_entry(map: &str) -> Result<usize, String> {
    let damaged = || "its precompiled_charsmap is damaged".to_string();
    let map = BASE64_STANDARD.decode(map).map_err(|_| damaged())?;
    let (length, rest) = map.split_first_chunk().ok_or_else(damaged)?;
    let texts = rest
        .get(u32::from_le_bytes(*length) as usize..)
        .ok_or_else(damaged)?;
    let texts = texts.split(|&byte| byte == 0);
    Ok(texts.map(<[u8]>::len).max().unwrap_or(0).max(1))
}

/// Tokens that a post-processor's templates put around a text.
fn special_tokens(processor: &Value) -> usize {
    let pieces = processor["single"].as_array().into_iter().flatten();
    let own = pieces.map(|piece| {
        let name = piece["SpecialToken"]["id"].as_str().unwrap_or_default();
        let ids = processor["special_tokens"][name]["ids"].as_array();
        ids.map_or(0, Vec::len)
    });
    let inner = processor["processors"].as_array().into_iter().flatten();
    own.chain(inner.map(special_tokens))
        .fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(file: Value) -> String {
        check(file.to_string().as_bytes()).err().unwrap_or_default()
    }

    #[test]
    fn texts_grow_by_a_limited_factor() {
        let replace =
            |from: Value, to: &str| json!({"type": "Replace", "pattern": from, "content": to});
        let twice = replace(json!({"String": "a"}), "aa");
        let sequence =
            |part: &Value, times| json!({"type": "Sequence", "normalizers": vec![part; times]});
        let small = [
            Value::Null,
            sequence(&twice, 12),
            replace(json!({"String": ""}), &"a".repeat(10_000)),
            replace(json!({"String": "a".repeat(10)}), &"a".repeat(10_000)),
            json!({"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "Lowercase"},
                replace(json!({"Regex": " {2,}"}), "▁"), {"type": "StripAccents"}]}),
        ];
        for part in small {
            assert_eq!(fault(json!({"normalizer": part, "decoder": part})), "");
        }
        let large = [
            sequence(&twice, 13),
            sequence(&sequence(&twice, 7), 2),
            sequence(&json!({"type": "NFKC"}), 4),
            sequence(&json!({"type": "ByteLevel"}), 1000),
            replace(json!({"Regex": ""}), &"a".repeat(4096)),
            replace(json!({"String": "a"}), &"a".repeat(4097)),
            json!({"decoders": vec![&twice; 13]}),
        ];
        for part in large {
            let message = fault(json!({ "normalizer": part }));
            assert!(message.contains("normalizer may make"), "{part}: {message}");
            let message = fault(json!({ "decoder": part }));
            assert!(message.contains("decoder may make"), "{part}: {message}");
        }
    }

    #[test]
    fn a_character_map_holds_what_it_claims() {
        let map = |trie: u32, rest: &[u8]| {
            let map = BASE64_STANDARD.encode([&trie.to_le_bytes(), rest].concat());
            fault(json!({"normalizer": {"type": "Precompiled", "precompiled_charsmap": map}}))
        };
        assert_eq!(map(4, b"triea\0bc\0"), "");
        assert_eq!(map(0, &[b'a'; 4096]), "");
        assert!(map(0, &[b'a'; 4097]).contains("4097 times"));
        // So many are reserved by the crate.
        assert!(map(u32::MAX, b"trie").contains("damaged"));
        assert!(fault(json!({"normalizer": {"precompiled_charsmap": "é"}})).contains("damaged"));
    }

    #[test]
    fn tokens_around_a_text_and_words_have_limits() {
        let template = |pieces, ids| {
            let piece = json!({"SpecialToken": {"id": "<s>", "type_id": 0}});
            json!({"single": vec![piece; pieces], "special_tokens": {"<s>": {"ids": vec![0; ids]}}})
        };
        assert_eq!(fault(json!({"post_processor": template(32, 32)})), "");
        let inner = json!({"processors": [template(32, 32), template(1, 1)]});
        assert!(fault(json!({ "post_processor": inner })).contains("1025 tokens"));
        let word =
            |characters: u64| fault(json!({"model": {"max_input_chars_per_word": characters}}));
        assert_eq!(word(100), "");
        assert!(word(1025).contains("1025"));
    }
}
