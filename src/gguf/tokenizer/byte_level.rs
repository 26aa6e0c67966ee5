//! Byte-level BPE, which GGUF files call `gpt2`.

use serde_json::{Value, json};

use super::json::{self, Model, TokenizerJson};
use super::special::{Defaults, Specials};
use super::vocabulary::Vocabulary;
use super::words::Words;
use crate::error::Result;
use crate::gguf::metadata::Metadata;
use crate::gguf::names::Architecture;

/// Builds `tokenizer.json`.
pub(super) fn build(
    metadata: &Metadata,
    architecture: &Architecture,
    vocabulary: &Vocabulary<'_>,
) -> Result<(String, Specials)> {
    let words = Words::read(metadata, architecture, vocabulary.len())?;
    let defaults = Defaults {
        bos: None,
        eos: None,
        unk: None,
        add_bos: words.begins && metadata.token("tokenizer.ggml.bos_token_id")?.is_some(),
    };
    let specials = Specials::read(metadata, vocabulary, &defaults)?;
    let merges = json::merges(metadata, |text| vocabulary.id(text).is_some())?;
    let merges = merges.ok_or_else(|| {
        metadata.tokenizer_fault(
            "metadata tokenizer.ggml.merges is missing: expected an array".to_string(),
        )
    })?;
    let json = TokenizerJson {
        version: "1.0",
        truncation: Value::Null,
        padding: Value::Null,
        added_tokens: specials.added(vocabulary),
        normalizer: if words.composed {
            json!({"type": "NFC"})
        } else {
            Value::Null
        },
        pre_tokenizer: words.pre_tokenizer(),
        post_processor: specials.post_processor(vocabulary),
        decoder: json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}),
        model: Model {
            ignore_merges: words.ignores_merges,
            ..Model::new(vocabulary.texts().to_vec(), merges)
        },
    };
    Ok((json.write(metadata)?, specials))
}
