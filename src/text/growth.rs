//! Bounds the memory that a `tokenizer.json` can request. This is checked before the tokenizers crate
//! parses the file: the crate allocates any size that a character map claims, and applies any
//! normalization to a text.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;

/// Largest factor by which a text may grow. Real tokenizers stay far below; most of their growth comes
/// from Unicode normalization.
const LONGEST: usize = 4096;
/// Most special tokens added to a text; real tokenizers add two.
const MOST_SPECIAL: usize = 1024;
/// Largest `max_input_chars_per_word`. Lookup time grows with its cube; it is 100 in real tokenizers.
const LONGEST_WORD: u64 = 1024;

/// The parts of the file that can request more memory than their own size.
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

/// Checks that parsing the file, and encoding texts with it, takes memory in proportion to their sizes.
/// Fails with a description of the part that does not.
pub(super) fn check(file: &[u8]) -> Result<(), String> {
    let parts: Parts = serde_json::from_slice(file).map_err(|error| error.to_string())?;
    for (name, part) in [
        ("normalizer", &parts.normalizer),
        ("decoder", &parts.decoder),
    ] {
        let times = growth(part)?;
        if times > LONGEST {
            return Err(format!(
                "the {name} can make a text {times} times as long: expected at most {LONGEST}"
            ));
        }
    }
    let tokens = special_tokens(&parts.post_processor);
    if tokens > MOST_SPECIAL {
        return Err(format!(
            "the post_processor adds {tokens} tokens to a text: expected at most {MOST_SPECIAL}"
        ));
    }
    let word = &parts.model.max_input_chars_per_word;
    match word.as_u64() {
        Some(characters) if characters > LONGEST_WORD => Err(format!(
            "max_input_chars_per_word is {characters}: expected at most {LONGEST_WORD}"
        )),
        _ => Ok(()),
    }
}

/// Largest factor by which a normalizer or decoder can grow a text, in bytes. Its kind is inferred from
/// its fields, since the crate also accepts one without a `type`.
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
            // An empty string never matches.
            Some(0) => 1,
            Some(length) => content.len().div_ceil(length).max(1),
            // A regex can match the empty string between any two characters.
            None => content.len() + 1,
        });
    }
    Ok(match part["type"].as_str() {
        // The longest compatibility form, that of U+FDFA, has 33 bytes for 3.
        Some("NFKC" | "NFKD") => 11,
        Some("NFC" | "NFD") => 3,
        Some("Lowercase" | "ByteLevel") => 2,
        // Spaces around each Chinese character, normalization and lower-casing.
        Some("BertNormalizer") => 6,
        _ => 1,
    })
}

/// The longest replacement in a precompiled SentencePiece character map. The map consists of the trie's
/// length, the trie, and the NUL-terminated replacements.
fn longest_entry(map: &str) -> Result<usize, String> {
    let damaged = || "the precompiled_charsmap is damaged".to_string();
    let map = BASE64_STANDARD.decode(map).map_err(|_| damaged())?;
    let (length, rest) = map.split_first_chunk().ok_or_else(damaged)?;
    let texts = rest
        .get(u32::from_le_bytes(*length) as usize..)
        .ok_or_else(damaged)?;
    let texts = texts.split(|&byte| byte == 0);
    Ok(texts.map(<[u8]>::len).max().unwrap_or(0).max(1))
}

/// Number of tokens that a post-processor's templates add to a text.
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
    fn text_growth_is_bounded() {
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
            assert!(message.contains("normalizer can make"), "{part}: {message}");
            let message = fault(json!({ "decoder": part }));
            assert!(message.contains("decoder can make"), "{part}: {message}");
        }
    }

    #[test]
    fn character_maps_are_checked() {
        let map = |trie: u32, rest: &[u8]| {
            let map = BASE64_STANDARD.encode([&trie.to_le_bytes(), rest].concat());
            fault(json!({"normalizer": {"type": "Precompiled", "precompiled_charsmap": map}}))
        };
        assert_eq!(map(4, b"triea\0bc\0"), "");
        assert_eq!(map(0, &[b'a'; 4096]), "");
        assert!(map(0, &[b'a'; 4097]).contains("4097 times"));
        // The crate would allocate this many bytes.
        assert!(map(u32::MAX, b"trie").contains("damaged"));
        assert!(fault(json!({"normalizer": {"precompiled_charsmap": "é"}})).contains("damaged"));
    }

    #[test]
    fn special_tokens_and_word_lengths_are_bounded() {
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
