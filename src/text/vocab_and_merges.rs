//! Builds the `tokenizer.json` of a byte-level BPE tokenizer (GPT-2's) from `vocab.json` and `merges.txt`, as
//! `transformers` does.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::chat::SPECIAL_TOKENS;

/// The files of a tokenizer without a `tokenizer.json`. A missing file is an empty object.
#[derive(Debug)]
pub(crate) struct VocabAndMerges<'a> {
    /// `vocab.json`.
    pub vocab: &'a Map<String, Value>,
    /// `merges.txt`.
    pub merges: &'a [u8],
    /// `tokenizer_config.json`.
    pub tokenizer_config: &'a Map<String, Value>,
    /// `special_tokens_map.json`.
    pub special_tokens_map: &'a Map<String, Value>,
    /// `added_tokens.json`.
    pub added_tokens: &'a Map<String, Value>,
    /// `model_type` of `config.json`.
    pub model_type: &'a str,
}

/// The space in a byte-level vocabulary.
const SPACE: char = 'Ġ';

/// The default special token of GPT-2's and Qwen's tokenizers.
const END_OF_TEXT: &str = "<|endoftext|>";

/// How Qwen's tokenizers split a text into words.
pub(crate) const QWEN_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A class of tokenizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Gpt2,
    /// NFC, and other words than GPT-2's.
    Qwen2,
    /// GPT-2's, with a begin token before the text by default, as in Llama.
    Other,
}

impl VocabAndMerges<'_> {
    /// Returns the `tokenizer.json`. Fails with the name of the invalid file and a description.
    pub(crate) fn tokenizer_json(&self) -> Result<Vec<u8>, (&'static str, String)> {
        self.check_vocab()
            .map_err(|message| ("vocab.json", message))?;
        let merges = self.merges().map_err(|message| ("merges.txt", message))?;
        let class = self.class();
        let added = self.added(class);
        let ids: HashMap<&str, &Value> = added
            .iter()
            .filter_map(|token| Some((token["content"].as_str()?, &token["id"])))
            .collect();
        let flag = |name: &str| self.tokenizer_config.get(name).and_then(Value::as_bool);
        let special = |name: &str, wanted: bool| {
            let content = self.named(name, class).and_then(|token| content(&token));
            content.filter(|_| wanted)
        };
        let begin = flag("add_bos_token").unwrap_or(class == Class::Other);
        let begin = special("bos_token", begin);
        let end = special("eos_token", flag("add_eos_token").unwrap_or(false));
        let prefix = flag("add_prefix_space").unwrap_or(false);
        let byte_level = |prefix: bool, words: bool| json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": words});
        let (normalizer, pre_tokenizer) = match class {
            Class::Qwen2 => {
                let split = json!({"type": "Split", "pattern": {"Regex": QWEN_WORDS},
                    "behavior": "Isolated", "invert": false});
                let parts = [split, byte_level(prefix, false)];
                (
                    json!({"type": "NFC"}),
                    json!({"type": "Sequence", "pretokenizers": parts}),
                )
            }
            Class::Gpt2 | Class::Other => (Value::Null, byte_level(prefix, true)),
        };
        let json = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer,
            "post_processor": template(begin.as_deref(), end.as_deref(), &ids),
            "decoder": byte_level(true, true),
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
                "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": self.vocab, "merges": merges,
            },
        });
        Ok(json.to_string().into_bytes())
    }

    fn check_vocab(&self) -> Result<(), String> {
        let is_id = |value: &Value| value.as_u64().is_some_and(|id| id <= u64::from(u32::MAX));
        if let Some((token, id)) = self.vocab.iter().find(|(_, id)| !is_id(id)) {
            return Err(format!("token {token:?} has {id:.60}: expected its id"));
        }
        if !self.vocab.keys().any(|token| token.contains(SPACE)) {
            return Err(format!(
                "not the vocabulary of a byte-level tokenizer: no token has {SPACE}, its form of a space"
            ));
        }
        Ok(())
    }

    /// Returns the pairs of tokens to merge.
    fn merges(&self) -> Result<Vec<[&str; 2]>, String> {
        let text = std::str::from_utf8(self.merges).map_err(|error| error.to_string())?;
        let mut merges = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if line.is_empty() || line.starts_with("#version") {
                continue;
            }
            let Some((first, second)) = line.split_once(' ').filter(|(_, two)| !two.contains(' '))
            else {
                return Err(format!("line {number} is {line:.60?}: expected two tokens"));
            };
            let merged = format!("{first}{second}");
            if let Some(token) = [first, second, &merged]
                .into_iter()
                .find(|token| !self.vocab.contains_key(*token))
            {
                return Err(format!(
                    "line {number} has {token:?}, which vocab.json has not"
                ));
            }
            merges.push([first, second]);
        }
        Ok(merges)
    }

    fn class(&self) -> Class {
        let named = self.tokenizer_config.get("tokenizer_class");
        let named = named.and_then(Value::as_str).unwrap_or_default();
        match (named.trim_end_matches("Fast"), self.model_type) {
            ("GPT2Tokenizer" | "CodeGenTokenizer" | "GPTNeoXTokenizer", _) => Class::Gpt2,
            ("Qwen2Tokenizer" | "Qwen3Tokenizer", _) => Class::Qwen2,
            (_, "gpt2" | "gpt_neo" | "phi") => Class::Gpt2,
            (_, model) if model.starts_with("qwen") => Class::Qwen2,
            _ => Class::Other,
        }
    }

    /// Returns a special token by the name of its field, as its text or an object.
    fn named(&self, field: &str, class: Class) -> Option<Value> {
        let files = match self.has_decoder() {
            true => [self.tokenizer_config, self.tokenizer_config],
            // An older file, which only counts for older tokenizers.
            false => [self.special_tokens_map, self.tokenizer_config],
        };
        let default = match class {
            Class::Gpt2 => &SPECIAL_TOKENS[..3],
            Class::Qwen2 => &["eos_token", "unk_token", "pad_token"],
            Class::Other => &[][..],
        };
        let found = files.iter().find_map(|file| file.get(field));
        match found {
            Some(Value::Null) => None,
            Some(token) => Some(token.clone()),
            None => default.contains(&field).then(|| END_OF_TEXT.into()),
        }
    }

    fn has_decoder(&self) -> bool {
        self.tokenizer_config.contains_key("added_tokens_decoder")
    }

    /// Returns the added tokens, sorted by their ids.
    fn added(&self, class: Class) -> Vec<Value> {
        let mut named: Vec<Value> = SPECIAL_TOKENS
            .iter()
            .filter_map(|field| self.named(field, class))
            .collect();
        for list in ["additional_special_tokens", "extra_special_tokens"] {
            for file in [self.tokenizer_config, self.special_tokens_map] {
                named.extend(
                    file.get(list)
                        .and_then(Value::as_array)
                        .into_iter()
                        .flatten()
                        .cloned(),
                );
            }
        }
        let mut tokens = self.listed(&named);
        for token in named {
            let text = content(&token);
            let known = tokens.iter_mut().find(|known| content(known) == text);
            match known {
                Some(known) => known["special"] = true.into(),
                None => tokens.extend(added_token(&token, true)),
            }
        }
        let mut next = self.vocab.len() as u64;
        for token in &mut tokens {
            let known = token["content"]
                .as_str()
                .and_then(|text| self.vocab.get(text));
            token["id"] = match known {
                Some(id) => id.clone(),
                None => {
                    next += 1;
                    (next - 1).into()
                }
            };
        }
        tokens.sort_by_key(|token| token["id"].as_u64());
        tokens
    }

    /// Returns the tokens of `added_tokens_decoder`, or of the older `added_tokens.json`, by their ids.
    fn listed(&self, named: &[Value]) -> Vec<Value> {
        let mut listed: Vec<(u64, Value)> = match self.tokenizer_config.get("added_tokens_decoder")
        {
            Some(decoder) => {
                let tokens = decoder.as_object().into_iter().flatten();
                let tokens = tokens
                    .filter_map(|(id, token)| Some((id.parse().ok()?, added_token(token, false)?)));
                tokens.collect()
            }
            None => {
                let is_special = |text: &str| {
                    named
                        .iter()
                        .any(|token| content(token).as_deref() == Some(text))
                };
                let tokens = self.added_tokens.iter().filter_map(|(text, id)| {
                    let token = added_token(&Value::from(text.as_str()), is_special(text));
                    Some((id.as_u64()?, token?))
                });
                tokens.collect()
            }
        };
        listed.sort_by_key(|(id, _)| *id);
        let mut tokens: Vec<Value> = Vec::new();
        for (_, token) in listed {
            if tokens
                .iter()
                .all(|known| known["content"] != token["content"])
            {
                tokens.push(token);
            }
        }
        tokens
    }
}

/// Returns the text of a token that is given as its text or an object.
fn content(token: &Value) -> Option<String> {
    let text = token.as_str().or_else(|| token["content"].as_str());
    text.filter(|text| !text.is_empty()).map(str::to_string)
}

/// Returns an entry of `added_tokens`, without its id.
fn added_token(token: &Value, special: bool) -> Option<Value> {
    let flag = |name: &str, default| token[name].as_bool().unwrap_or(default);
    let special = flag("special", special);
    Some(json!({
        "id": null,
        "content": content(token)?,
        "single_word": flag("single_word", false),
        "lstrip": flag("lstrip", false),
        "rstrip": flag("rstrip", false),
        "normalized": flag("normalized", !special),
        "special": special,
    }))
}

/// Returns the post-processor that puts a begin and an end token around a text.
pub(crate) fn template(
    begin: Option<&str>,
    end: Option<&str>,
    ids: &HashMap<&str, &Value>,
) -> Value {
    let around = |text: &str, segment: usize| -> Vec<Value> {
        let piece = |token: &str| json!({"SpecialToken": {"id": token, "type_id": segment}});
        let text = json!({"Sequence": {"id": text, "type_id": segment}});
        let pieces = begin.map(piece).into_iter().chain([text]);
        pieces.chain(end.map(piece)).collect()
    };
    let tokens = begin.into_iter().chain(end).filter_map(|token| {
        let entry = json!({"id": token, "ids": [ids.get(token)?], "tokens": [token]});
        Some((token.to_string(), entry))
    });
    let pair = [around("A", 0), around("B", 1)].concat();
    json!({
        "type": "TemplateProcessing",
        "single": around("A", 0),
        "pair": pair,
        "special_tokens": tokens.collect::<Map<_, _>>(),
    })
}
