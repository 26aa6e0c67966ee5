//! The tokens with a meaning: those that begin and end a text, and those that are matched as a whole.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::vocabulary::{Kind, Vocabulary};
use crate::error::Result;
use crate::gguf::metadata::Metadata;
use crate::text::template;

/// The tokens with a meaning.
#[derive(Debug, Default)]
pub(super) struct Specials {
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    unk: Option<u32>,
    pub pad: Option<u32>,
    sep: Option<u32>,
    mask: Option<u32>,
    /// Tokens that end a turn or a message, besides `eos`.
    turn_ends: Vec<u32>,
    /// Whether `bos` is put before a text.
    pub add_bos: bool,
    /// Whether `eos` is put after a text.
    pub add_eos: bool,
}

/// What holds for files that do not say.
pub(super) struct Defaults {
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub unk: Option<u32>,
    pub add_bos: bool,
}

/// Tokens that end a generation, by their texts: those for which llama.cpp stops.
const ENDS: [&str; 18] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<｜end▁of▁sentence｜>",
];

/// Tokens between files in code, which also end a generation in llama.cpp.
const FILE_ENDS: [&str; 11] = [
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
];

impl Specials {
    /// Reads the tokens that the metadata names.
    pub(super) fn read(
        metadata: &Metadata,
        vocabulary: &Vocabulary<'_>,
        defaults: &Defaults,
    ) -> Result<Self> {
        let token = |name: &str, default: Option<u32>| -> Result<Option<u32>> {
            let key = format!("tokenizer.ggml.{name}_token_id");
            let exists = |id: &u32| (*id as usize) < vocabulary.len();
            let id = metadata.token(&key)?;
            if let Some(id) = id.filter(|id| !exists(id)) {
                let path = metadata.path().display();
                log::warn!(
                    "{path}: metadata {key} is {id}: ignored, since the tokenizer has {} tokens",
                    vocabulary.len()
                );
            }
            Ok(id.filter(exists).or(default.filter(exists)))
        };
        let mut turn_ends = Vec::new();
        for name in ["eot", "eom"] {
            turn_ends.extend(token(name, None)?);
        }
        let specials = Self {
            bos: token("bos", defaults.bos)?,
            eos: token("eos", defaults.eos)?,
            unk: token("unknown", defaults.unk)?,
            pad: token("padding", None)?,
            // So the key is spelt.
            sep: token("seperator", None)?,
            mask: token("mask", None)?,
            turn_ends,
            add_bos: metadata
                .flag("tokenizer.ggml.add_bos_token")?
                .unwrap_or(defaults.add_bos),
            add_eos: metadata
                .flag("tokenizer.ggml.add_eos_token")?
                .unwrap_or(false),
        };
        for (wanted, id, name) in [
            (specials.add_bos, specials.bos, "bos"),
            (specials.add_eos, specials.eos, "eos"),
        ] {
            if wanted && id.is_none() {
                let message = format!(
                    "metadata tokenizer.ggml.add_{name}_token is true, but no {name}_token_id: expected both"
                );
                return Err(metadata.tokenizer_fault(message));
            }
        }
        Ok(specials)
    }

    /// Returns the tokens with the fields of `tokenizer_config.json` that name them.
    pub(super) fn named(&self) -> [(&'static str, Option<u32>); 6] {
        [
            ("bos_token", self.bos),
            ("eos_token", self.eos),
            ("unk_token", self.unk),
            ("pad_token", self.pad),
            ("sep_token", self.sep),
            ("mask_token", self.mask),
        ]
    }

    /// Returns the token for what the vocabulary does not have.
    pub(super) fn unknown(&self) -> Option<u32> {
        self.unk
    }

    /// Returns every token that ends a generation, the model's own first.
    pub(super) fn ends(&self, vocabulary: &Vocabulary<'_>) -> Vec<u32> {
        let named = self.eos.iter().chain(&self.turn_ends).copied();
        let known = ENDS.iter().filter_map(|text| vocabulary.id(text));
        let files = FILE_ENDS.iter().filter_map(|text| vocabulary.id(text));
        // As texts, these are ordinary in some vocabularies.
        let files = files.filter(|id| vocabulary.kind(*id) == Kind::Control);
        let mut ends = Vec::new();
        for id in named.chain(known).chain(files) {
            if !ends.contains(&id) {
                ends.push(id);
            }
        }
        ends
    }

    /// Returns `added_tokens` of `tokenizer.json`, whose texts are matched as a whole.
    pub(super) fn added(&self, vocabulary: &Vocabulary<'_>) -> Vec<Value> {
        let named = self.named();
        let is_special = |id: u32| {
            let text = vocabulary.text(id);
            matches!(vocabulary.kind(id), Kind::Control | Kind::Unknown)
                || named.iter().any(|(_, special)| *special == Some(id))
                || self.turn_ends.contains(&id)
                || ENDS.contains(&text)
        };
        let ids = (0_u32..).take(vocabulary.len());
        let added = ids.filter_map(|id| {
            let (text, special) = (vocabulary.text(id), is_special(id));
            let is_added = special || vocabulary.kind(id) == Kind::UserDefined;
            (is_added && !text.is_empty()).then(|| {
                json!({
                    "id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": special,
                })
            })
        });
        added.collect()
    }

    /// Returns the post-processor, which puts tokens around a text.
    pub(super) fn post_processor(&self, vocabulary: &Vocabulary<'_>) -> Value {
        let text = |id: Option<u32>| id.map(|id| vocabulary.text(id));
        let begin = text(self.bos.filter(|_| self.add_bos));
        let end = text(self.eos.filter(|_| self.add_eos));
        let ids = [self.bos, self.eos].into_iter().flatten();
        let ids: Vec<(&str, Value)> = ids.map(|id| (vocabulary.text(id), id.into())).collect();
        let ids: HashMap<&str, &Value> = ids.iter().map(|(text, id)| (*text, id)).collect();
        template(begin, end, &ids)
    }
}
