//! The metadata of a tokenizer in a GGUF file, from `tokenizer.json`.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::words::Words;
use crate::gguf::write::MetadataList;

/// Types of tokens in GGUF files (`llama_token_type`).
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// The form of a space in SentencePiece's vocabularies.
const SPACE: &str = "▁";
/// The score of tokens that are matched as they are, as llama.cpp's converter writes it.
const SCORE_OF_ADDED: f32 = -1000.0;

/// What is particular about a written tokenizer, for the user.
pub(crate) type Notes = Vec<String>;

/// Adds the vocabulary of a `tokenizer.json` for a model with embeddings of `vocab_size` tokens. Returns notes
/// about what llama.cpp does differently. `sentence_piece` is its name of a tokenizer like SentencePiece's.
///
/// # Errors
///
/// A description of what llama.cpp has no equivalent of.
pub(crate) fn add_vocabulary(
    list: &mut MetadataList,
    tokenizer: &Value,
    sentence_piece: &str,
    vocab_size: usize,
) -> Result<Notes, String> {
    let model = &tokenizer["model"];
    let kind = model["type"].as_str().unwrap_or("unknown");
    if kind != "BPE" {
        return Err(format!(
            "a tokenizer of type {kind} cannot be exported: expected BPE"
        ));
    }
    let mut notes = Notes::new();
    let tokens = Tokens::read(tokenizer, vocab_size, &mut notes)?;
    match spaces(tokenizer) {
        Some(Spaces { prefix }) => {
            list.add("tokenizer.ggml.model", sentence_piece);
            list.add("tokenizer.ggml.pre", "default");
            list.add("tokenizer.ggml.add_space_prefix", prefix);
            let scores = tokens.scores();
            list.add("tokenizer.ggml.tokens", tokens.texts);
            list.add("tokenizer.ggml.scores", scores);
        }
        None => {
            let words = words(tokenizer, &mut notes)?;
            list.add("tokenizer.ggml.model", "gpt2");
            list.add("tokenizer.ggml.pre", words);
            list.add("tokenizer.ggml.tokens", tokens.texts);
        }
    }
    list.add("tokenizer.ggml.token_type", tokens.kinds);
    let merges = tokens.merges.iter();
    let merges = merges.map(|[left, right]| format!("{} {}", escaped(left), escaped(right)));
    list.add("tokenizer.ggml.merges", merges.collect::<Vec<String>>());
    Ok(notes)
}

/// Returns a part of a merge; a space within it would separate parts. llama.cpp's converter shifts it like
/// the bytes of GPT-2's vocabulary.
fn escaped(part: &str) -> String {
    part.replace(' ', "\u{120}")
}

/// Texts and types of a vocabulary, by id.
struct Tokens {
    texts: Vec<String>,
    kinds: Vec<i32>,
    merges: Vec<[String; 2]>,
}

impl Tokens {
    fn read(tokenizer: &Value, vocab_size: usize, notes: &mut Notes) -> Result<Self, String> {
        let model = &tokenizer["model"];
        let vocab = model["vocab"].as_object();
        let vocab = vocab.ok_or("model.vocab is not an object")?;
        let is_sentence_piece = spaces(tokenizer).is_some();
        let unknown = model["unk_token"].as_str();
        let mut texts: Vec<Option<String>> = vec![None; vocab_size];
        let mut kinds = vec![UNUSED; vocab_size];
        let mut beyond = 0;
        for (text, id) in vocab {
            let id = id.as_u64().and_then(|id| usize::try_from(id).ok());
            let id = id.ok_or_else(|| format!("the id of token {text:?} is not an integer"))?;
            if id >= vocab_size {
                beyond += 1;
                continue;
            }
            kinds[id] = match text.as_str() {
                text if is_sentence_piece && is_byte(text) => BYTE,
                text if is_sentence_piece && unknown == Some(text) => UNKNOWN,
                _ => NORMAL,
            };
            texts[id] = Some(text.clone());
        }
        for token in tokenizer["added_tokens"].as_array().into_iter().flatten() {
            let (id, text) = (token["id"].as_u64(), token["content"].as_str());
            let (Some(id), Some(text)) = (id, text) else {
                return Err("added_tokens has a token without id or content".to_string());
            };
            let id = id as usize;
            if id >= vocab_size {
                beyond += usize::from(!vocab.contains_key(text));
                continue;
            }
            let special = token["special"] == true || looks_special(text);
            if kinds[id] != UNKNOWN {
                kinds[id] = if special { CONTROL } else { USER_DEFINED };
            }
            // Added tokens are matched in the text as it is given.
            let plain = is_sentence_piece && !special;
            texts[id] = Some(if plain {
                text.replace(SPACE, " ")
            } else {
                text.to_string()
            });
        }
        if beyond > 0 {
            notes.push(format!(
                "{beyond} tokens of the tokenizer are not exported: the model has embeddings of {vocab_size}"
            ));
        }
        let merges = model["merges"].as_array().into_iter().flatten();
        let merges = merges.map(|merge| {
            pair(merge).ok_or_else(|| format!("merge {merge:.60} is not a pair of tokens"))
        });
        let mut merges: Vec<[String; 2]> = merges.collect::<Result<_, String>>()?;
        if beyond > 0 {
            // Readers expect the tokens of every merge.
            let exported: HashSet<&str> = texts.iter().flatten().map(String::as_str).collect();
            merges.retain(|[left, right]| {
                let whole = format!("{left}{right}");
                [left, right, &whole]
                    .iter()
                    .all(|part| exported.contains(part.as_str()))
            });
        }
        let texts = texts.into_iter().enumerate();
        let texts = texts.map(|(id, text)| text.unwrap_or_else(|| format!("[PAD{id}]")));
        Ok(Self {
            texts: texts.collect(),
            kinds,
            merges,
        })
    }

    /// Returns the scores of SentencePiece's BPE, which merges the pair of the highest score first: the place
    /// of the first merge that results in the token, negated.
    fn scores(&self) -> Vec<f32> {
        let mut ranks: HashMap<String, usize> = HashMap::new();
        for (rank, [left, right]) in self.merges.iter().enumerate() {
            ranks.entry(format!("{left}{right}")).or_insert(rank);
        }
        let last = self.merges.len() + 1;
        let tokens = self.texts.iter().zip(&self.kinds);
        let score = |(text, kind): (&String, &i32)| match *kind {
            CONTROL | USER_DEFINED => SCORE_OF_ADDED,
            BYTE | UNKNOWN => 0.0,
            _ => -(*ranks.get(text).unwrap_or(&last) as f32),
        };
        tokens.map(score).collect()
    }
}

/// Returns the parts of a merge: a list of two, or a text with a space between them.
fn pair(merge: &Value) -> Option<[String; 2]> {
    if let Some(text) = merge.as_str() {
        let (left, right) = text.split_once(' ')?;
        return Some([left.to_string(), right.to_string()]);
    }
    let [left, right] = merge.as_array()?.as_slice() else {
        return None;
    };
    Some([left.as_str()?.to_string(), right.as_str()?.to_string()])
}

fn is_byte(text: &str) -> bool {
    let digits = text
        .strip_prefix("<0x")
        .and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && u8::from_str_radix(digits, 16).is_ok())
}

/// Returns whether a token is one of control although its model does not call it special, as llama.cpp's
/// converter decides it.
fn looks_special(text: &str) -> bool {
    let is_between = |start, end| text.starts_with(start) && text.ends_with(end);
    ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].contains(&text)
        || is_between("<|", "|>")
        || is_between("<｜", "｜>")
        || is_between("<unused", ">")
}

/// Spaces as SentencePiece has them.
struct Spaces {
    /// Whether one is put before a text.
    prefix: bool,
}

/// Returns how spaces are replaced, of a tokenizer that does so.
fn spaces(tokenizer: &Value) -> Option<Spaces> {
    let normalizers = parts(&tokenizer["normalizer"], "normalizers");
    let pre_tokenizers = parts(&tokenizer["pre_tokenizer"], "pretokenizers");
    let replaces = |part: &Value| {
        part["type"] == "Replace" && part["pattern"]["String"] == " " && part["content"] == SPACE
    };
    let metaspace = pre_tokenizers
        .iter()
        .find(|part| part["type"] == "Metaspace");
    if normalizers.iter().any(|part| replaces(part)) {
        let prefix = normalizers
            .iter()
            .any(|part| part["type"] == "Prepend" && part["prepend"] == SPACE);
        return Some(Spaces { prefix });
    }
    let metaspace = metaspace?;
    let never = metaspace["prepend_scheme"] == "never" || metaspace["add_prefix_space"] == false;
    Some(Spaces { prefix: !never })
}

/// Returns the parts of a sequence, or the one part.
fn parts<'a>(component: &'a Value, field: &str) -> Vec<&'a Value> {
    match component[field].as_array() {
        Some(parts) => parts.iter().collect(),
        None if component.is_null() => Vec::new(),
        None => vec![component],
    }
}

/// Returns llama.cpp's name of the way in which a byte-level tokenizer splits a text.
fn words(tokenizer: &Value, notes: &mut Notes) -> Result<&'static str, String> {
    let mut composed = false;
    for part in parts(&tokenizer["normalizer"], "normalizers") {
        match part["type"].as_str() {
            Some("NFC") => composed = true,
            _ => {
                return Err(format!(
                    "llama.cpp has no equivalent of the normalizer {part:.200}"
                ));
            }
        }
    }
    let pre_tokenizer = &tokenizer["pre_tokenizer"];
    let unknown = || {
        format!(
            "llama.cpp has no known name for the pre_tokenizer {pre_tokenizer:.200}, and would split texts \
             differently"
        )
    };
    let mut patterns = Vec::new();
    let mut like_gpt2 = None;
    for part in parts(pre_tokenizer, "pretokenizers") {
        if like_gpt2.is_some() {
            return Err(unknown());
        }
        match part["type"].as_str() {
            Some("Split") if part["behavior"] == "Isolated" && part["invert"] != true => {
                let pattern = part["pattern"]["Regex"].as_str();
                patterns.push(pattern.ok_or_else(unknown)?);
            }
            Some("Split") if part["behavior"] == "Removed" && part["invert"] == true => {
                let pattern = part["pattern"]["Regex"].as_str();
                patterns.push(pattern.ok_or_else(unknown)?);
            }
            Some("Digits") if part["individual_digits"] == true => patterns.push(r"\p{N}"),
            Some("ByteLevel") => {
                like_gpt2 = Some(part["use_regex"] != false);
                if part["add_prefix_space"] == true {
                    notes.push(
                        "the tokenizer puts a space before a text; llama.cpp does not: begin prompts with one"
                            .to_string(),
                    );
                }
            }
            _ => return Err(unknown()),
        }
    }
    let like_gpt2 = like_gpt2.ok_or_else(unknown)?;
    let ignores_merges = tokenizer["model"]["ignore_merges"] == true;
    Words::named_by(&patterns, like_gpt2, ignores_merges, composed).ok_or_else(unknown)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn byte_level(pre_tokenizer: Value) -> Value {
        json!({
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
            "normalizer": null, "pre_tokenizer": pre_tokenizer,
            "added_tokens": [{"id": 3, "content": "<|end|>", "special": true},
                {"id": 4, "content": "tool", "special": false}, {"id": 9, "content": "no", "special": false}],
        })
    }

    #[test]
    fn words_are_named_by_their_patterns() {
        let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        let bytes = |regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": regex});
        let sequence = |parts: &[Value]| json!({"type": "Sequence", "pretokenizers": parts});
        let digits = json!({"type": "Digits", "individual_digits": true});
        let qwen = split(crate::text::QWEN_WORDS);
        for (pre_tokenizer, expected) in [
            (bytes(true), "gpt-2"),
            (sequence(&[digits, bytes(true)]), "smollm"),
            (sequence(&[qwen, bytes(false)]), "qwen2"),
        ] {
            let mut list = MetadataList::default();
            let notes = add_vocabulary(&mut list, &byte_level(pre_tokenizer), "llama", 6).unwrap();
            assert_eq!(notes.len(), 1, "{notes:?}");
            assert_eq!(list.get("tokenizer.ggml.pre"), Some(&expected.into()));
            let tokens = ["a", "b", "ab", "<|end|>", "tool", "[PAD5]"];
            let tokens = tokens.map(str::to_string).to_vec();
            assert_eq!(list.get("tokenizer.ggml.tokens"), Some(&tokens.into()));
            let kinds = vec![NORMAL, NORMAL, NORMAL, CONTROL, USER_DEFINED, UNUSED];
            assert_eq!(list.get("tokenizer.ggml.token_type"), Some(&kinds.into()));
        }
        for unknown in [
            json!({"type": "Whitespace"}),
            sequence(&[split("[a-z]+"), bytes(false)]),
            Value::Null,
        ] {
            let mut list = MetadataList::default();
            let error = add_vocabulary(&mut list, &byte_level(unknown), "llama", 6).unwrap_err();
            assert!(error.contains("pre_tokenizer"), "{error}");
        }
    }

    #[test]
    fn sentence_piece_has_scores_by_merges() {
        let tokenizer = json!({
            "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": true,
                "vocab": {"<unk>": 0, "<0x0A>": 1, "▁": 2, "a": 3, "b": 4, "ab": 5, "▁ab": 6},
                "merges": [["a", "b"], ["▁", "ab"]]},
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
            "added_tokens": [{"id": 0, "content": "<unk>", "special": true}],
        });
        let mut list = MetadataList::default();
        assert!(
            add_vocabulary(&mut list, &tokenizer, "llama", 7)
                .unwrap()
                .is_empty()
        );
        assert_eq!(list.get("tokenizer.ggml.model"), Some(&"llama".into()));
        let prefix = list.get("tokenizer.ggml.add_space_prefix");
        assert_eq!(prefix, Some(&true.into()));
        let kinds = vec![UNKNOWN, BYTE, NORMAL, NORMAL, NORMAL, NORMAL, NORMAL];
        assert_eq!(list.get("tokenizer.ggml.token_type"), Some(&kinds.into()));
        let scores = vec![0.0_f32, 0.0, -3.0, -3.0, -3.0, 0.0, -1.0];
        assert_eq!(list.get("tokenizer.ggml.scores"), Some(&scores.into()));
    }
}
