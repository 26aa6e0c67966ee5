//! The metadata of a model's tokenizer: vocabulary, special tokens and chat template.

use serde_json::Value;

use super::Notes;
use crate::error::{Error, Result};
use crate::gguf::names::Architecture;
use crate::gguf::tokenizer::export::add_vocabulary;
use crate::gguf::write::MetadataList;
use crate::model::file_names::{CHAT_TEMPLATE, SPECIAL_TOKENS_MAP, TOKENIZER_CONFIG};
use crate::model::{CausalLm, TextReader};
use crate::text::chat::TemplateText;

/// Texts of tokens at which llama.cpp ends a generation by itself.
const KNOWN_ENDS: [&str; 16] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "_<EOT>",
];

/// A text that no tokenizer changes before it splits it.
const SAMPLE: &str = "a";

/// Adds the metadata.
///
/// # Errors
///
/// [`Error::Tokenizer`] for a tokenizer that llama.cpp does not have.
pub(super) fn add(
    model: &CausalLm,
    architecture: &Architecture,
    list: &mut MetadataList,
    notes: &mut Notes,
) -> Result<()> {
    let reader = model.reader();
    let path = reader.files().tokenizer_path();
    let fault = |message: String| Error::Tokenizer {
        path: path.clone(),
        message,
    };
    let tokenizer: Value = serde_json::from_slice(reader.tokenizer_bytes())
        .map_err(|error| fault(format!("not a tokenizer.json: {error}")))?;
    let vocab_size = reader.config().decoder.vocab_size;
    // llama.cpp merges the texts of Gemma 4 by its merges, and those of other such tokenizers by scores.
    let kind = match architecture.gguf {
        "gemma4" => "gemma4",
        _ => "llama",
    };
    notes.extend(add_vocabulary(list, &tokenizer, kind, vocab_size).map_err(fault)?);

    let (before, after) = around(reader)?;
    let begin = before.first().copied().or(reader.begin_token());
    let end = reader.end_token();
    if before.len() > 1 || after.len() > 1 || after.first().is_some_and(|id| Some(*id) != end) {
        let message = format!(
            "the tokenizer puts the tokens {before:?} before a text and {after:?} after it: llama.cpp knows \
             at most a begin token and the end token"
        );
        return Err(fault(message));
    }
    list.add_some("tokenizer.ggml.bos_token_id", begin);
    list.add_some("tokenizer.ggml.eos_token_id", end);
    let known = |text: Option<&str>| text.and_then(|text| reader.tokenizer().token_id(text));
    let unknown = known(tokenizer["model"]["unk_token"].as_str());
    list.add_some("tokenizer.ggml.unknown_token_id", unknown);
    let padding = padding(reader).filter(|&id| (id as usize) < vocab_size);
    list.add_some("tokenizer.ggml.padding_token_id", padding);
    list.add("tokenizer.ggml.add_bos_token", !before.is_empty());
    list.add("tokenizer.ggml.add_eos_token", !after.is_empty());
    let mut others = reader.end_tokens().iter().filter(|id| Some(**id) != end);
    for key in ["eot", "eom"] {
        let key = format!("tokenizer.ggml.{key}_token_id");
        list.add_some(&key, others.next().copied());
    }
    for &id in others {
        let text = reader.tokenizer().decode_all(&[id])?;
        if !KNOWN_ENDS.contains(&&*text) {
            notes.push(format!(
                "llama.cpp does not end a generation at token {id}, {text:?}: GGUF files name three end tokens"
            ));
        }
    }
    if let Some(template) = template(reader)? {
        list.add("tokenizer.chat_template", template.default);
        if let Some(with_tools) = template.with_tools {
            let names = vec!["tool_use".to_string()];
            list.add("tokenizer.chat_templates", names);
            list.add("tokenizer.chat_template.tool_use", with_tools);
        }
    }
    Ok(())
}

/// Returns the texts of the model's chat templates, if it has any.
///
/// # Errors
///
/// [`Error::ChatTemplate`] for damaged files.
pub(super) fn template(reader: &TextReader) -> Result<Option<TemplateText>> {
    let template = companion(reader, CHAT_TEMPLATE);
    let config = companion(reader, TOKENIZER_CONFIG);
    TemplateText::read(template, config, &reader.files().folder)
}

/// Returns the padding token, if a file names one.
fn padding(reader: &TextReader) -> Option<u32> {
    for file in [TOKENIZER_CONFIG, SPECIAL_TOKENS_MAP] {
        let json = companion(reader, file)
            .and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok())
            .unwrap_or_default();
        let token = &json["pad_token"];
        let text = token.as_str().or_else(|| token["content"].as_str());
        if let Some(id) = text.and_then(|text| reader.tokenizer().token_id(text)) {
            return Some(id);
        }
    }
    let id = reader.config().json.get("pad_token_id")?.as_u64()?;
    u32::try_from(id).ok()
}

fn companion<'a>(reader: &'a TextReader, name: &str) -> Option<&'a [u8]> {
    let mut companions = reader.companions().into_iter();
    let found = companions.find(|(file, _)| *file == name);
    found.map(|(_, bytes)| bytes)
}

/// Returns the tokens that are put before and after a text.
fn around(reader: &TextReader) -> Result<(Vec<u32>, Vec<u32>)> {
    let bare = reader.tokenizer().tokens(SAMPLE, false)?;
    let whole = reader.tokenizer().encode(SAMPLE)?;
    let text: Vec<u32> = bare.iter().map(|token| token.id).collect();
    let places = 0..=whole.len().saturating_sub(text.len());
    let place = places
        .into_iter()
        .find(|&place| whole[place..].starts_with(&text));
    let place = place.unwrap_or(0);
    let end = (place + text.len()).min(whole.len());
    Ok((whole[..place].to_vec(), whole[end..].to_vec()))
}
