//! SentencePiece's BPE with byte fallback, which GGUF files call `llama`.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::json::{self, Model, TokenizerJson};
use super::special::{Defaults, Specials};
use super::vocabulary::{Kind, Vocabulary};
use crate::error::Result;
use crate::gguf::metadata::Metadata;
use crate::gguf::names::Architecture;

/// The form of a space in a vocabulary.
const SPACE: &str = "▁";
/// Longest token from which merges are derived, in bytes. The work grows with the square of the length.
const LONGEST: usize = 1024;
/// Most bytes of derived merges: many times those of the largest vocabularies.
const MOST_BYTES: usize = 128 << 20;

/// Builds `tokenizer.json`.
pub(super) fn build(
    metadata: &Metadata,
    architecture: &Architecture,
    vocabulary: &Vocabulary<'_>,
) -> Result<(String, Specials)> {
    let defaults = Defaults {
        bos: Some(1),
        eos: Some(2),
        unk: Some(0),
        add_bos: true,
    };
    let specials = Specials::read(metadata, vocabulary, &defaults)?;
    let is_gemma = architecture.gguf.starts_with("gemma");
    let spaces = Spaces::of(vocabulary);
    let texts = spaces.texts(vocabulary);
    let ids: HashMap<&str, u32> = texts.iter().copied().zip(0..).collect();
    let merges = match json::merges(metadata, |text| ids.contains_key(text))? {
        Some(merges) => merges,
        None => {
            let order = match is_gemma {
                // Gemma's scores are not in the order of its merges, and its ids are.
                true => (0..vocabulary.len()).map(|id| -(id as f32)).collect(),
                false => vocabulary.scores(metadata)?,
            };
            // The texts of added tokens are matched before anything is merged.
            let is_merged = |id: u32| match vocabulary.kind(id) {
                Kind::Normal | Kind::Unused => true,
                Kind::UserDefined => is_gemma,
                Kind::Control | Kind::Unknown | Kind::Byte => false,
            };
            derived(metadata, &texts, &ids, &order, is_merged)?
        }
    };
    let prefix = metadata
        .flag("tokenizer.ggml.add_space_prefix")?
        .unwrap_or(true);
    let mut added = specials.added(vocabulary);
    // Runs of spaces are merged.
    added.retain(|token| {
        let text = token["content"].as_str().unwrap_or_default();
        !spaces.by_text.contains_key(text)
    });
    let space = |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
    let normalizer = match prefix {
        true => json!({"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": SPACE}, space(" ", SPACE)]}),
        false => space(" ", SPACE),
    };
    let mut decoders = vec![
        space(SPACE, " "),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefix {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let unknown = specials.unknown().map(|id| vocabulary.text(id));
    let has_bytes = vocabulary.id("<0x0A>").is_some();
    let json = TokenizerJson {
        version: "1.0",
        truncation: Value::Null,
        padding: Value::Null,
        added_tokens: added,
        normalizer,
        pre_tokenizer: Value::Null,
        post_processor: specials.post_processor(vocabulary),
        decoder: json!({"type": "Sequence", "decoders": decoders}),
        model: Model {
            unk_token: unknown,
            fuse_unk: true,
            byte_fallback: has_bytes,
            ..Model::new(texts.clone(), merges)
        },
    };
    Ok((json.write(metadata)?, specials))
}

/// Tokens of several spaces, which GGUF files have as they are, and `tokenizer.json` in the form of the
/// vocabulary.
struct Spaces {
    by_text: HashMap<String, String>,
}

impl Spaces {
    fn of(vocabulary: &Vocabulary<'_>) -> Self {
        let runs = vocabulary.texts().iter();
        let runs = runs.filter(|text| text.len() > 1 && text.bytes().all(|byte| byte == b' '));
        let respelt = runs.map(|text| (text.to_string(), SPACE.repeat(text.len())));
        Self {
            by_text: respelt
                .filter(|(_, respelt)| vocabulary.id(respelt).is_none())
                .collect(),
        }
    }

    fn texts<'a>(&'a self, vocabulary: &Vocabulary<'a>) -> Vec<&'a str> {
        let texts = vocabulary.texts().iter();
        let respelt = |text: &&'a str| self.by_text.get(*text).map_or(*text, String::as_str);
        texts.map(respelt).collect()
    }
}

/// Derives merges from the scores of tokens, as `transformers` does: each way to put a token together from two
/// others, the token with the higher score first.
fn derived<'a>(
    metadata: &Metadata,
    texts: &[&'a str],
    ids: &HashMap<&str, u32>,
    scores: &[f32],
    is_merged: impl Fn(u32) -> bool,
) -> Result<Vec<[&'a str; 2]>> {
    struct Merge<'a> {
        score: f32,
        lengths: [usize; 2],
        pair: [&'a str; 2],
    }
    let mut merges: Vec<Merge<'a>> = Vec::new();
    let mut bytes = 0_usize;
    for ((id, text), &score) in (0_u32..).zip(texts).zip(scores) {
        if !is_merged(id) {
            continue;
        }
        if text.len() > LONGEST {
            return Err(metadata.tokenizer_fault(format!(
                "token {id} has {} bytes: expected at most {LONGEST}",
                text.len()
            )));
        }
        let characters = text.chars().count();
        let mut ways: Vec<([u32; 2], Merge<'a>)> = Vec::new();
        for (count, (place, _)) in text.char_indices().enumerate().skip(1) {
            let (first, second) = text.split_at(place);
            if let (Some(&a), Some(&b)) = (ids.get(first), ids.get(second))
                && is_merged(a)
                && is_merged(b)
            {
                let merge = Merge {
                    score,
                    lengths: [count, characters - count],
                    pair: [first, second],
                };
                ways.push(([a, b], merge));
                bytes += text.len();
            }
        }
        ways.sort_by_key(|(ids, _)| *ids);
        merges.extend(ways.into_iter().map(|(_, merge)| merge));
        if bytes > MOST_BYTES {
            return Err(metadata.tokenizer_fault(format!(
                "the vocabulary gives more than {MOST_BYTES} bytes of merges: expected fewer"
            )));
        }
    }
    merges.sort_by(|a, b| {
        let scores = b.score.total_cmp(&a.score);
        scores.then_with(|| b.lengths.cmp(&a.lengths))
    });
    Ok(merges.into_iter().map(|merge| merge.pair).collect())
}
