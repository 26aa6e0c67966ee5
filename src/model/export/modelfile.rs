//! The `Modelfile` with which Ollama imports an exported model.

use std::fmt::Write;

use super::tokens;
use crate::error::Result;
use crate::model::TextReader;
use turns::Turns;

mod turns;

/// Context length from which Ollama takes much memory; users raise it as they need.
const MAX_CONTEXT: usize = 8192;

/// Returns the `Modelfile` of a model in the file `from`, a name in the same folder.
///
/// # Errors
///
/// [`crate::Error::ChatTemplate`] for an invalid chat template.
pub(crate) fn modelfile(reader: &TextReader, from: &str) -> Result<String> {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(
        "# Written by minift {version}. To import the model: ollama create NAME -f Modelfile\nFROM ./{from}\n"
    );
    let mut add = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    let begin = begin_text(reader)?;
    let turns = match (reader.chat_template()?, tokens::template(reader)?) {
        (Some(template), Some(_)) => match Turns::of(&template, &begin) {
            Some(turns) => Some(turns),
            None => {
                add(
                    "# No TEMPLATE: the model's chat template cannot be written as one of Ollama's. Ollama takes",
                );
                add(
                    "# the one of its own that is like the chat template in the GGUF file, if it has one.",
                );
                None
            }
        },
        _ => {
            add("# The model has no chat template: it continues texts.");
            add(&format!("TEMPLATE {}", quoted("{{ .Prompt }}")));
            None
        }
    };
    if let Some(turns) = &turns {
        add(&format!("TEMPLATE {}", quoted(&turns.go_template())));
        if let Some(system) = turns
            .default_system
            .as_ref()
            .filter(|text| !text.is_empty())
        {
            add(&format!("SYSTEM {}", quoted(system)));
        }
    }
    for &id in reader.end_tokens() {
        let token = reader.tokenizer().decode_all(&[id])?;
        add(&format!("PARAMETER stop {token:?}"));
    }
    let length = reader.config().decoder.max_length;
    if length > MAX_CONTEXT {
        add(&format!("# The model reads up to {length} tokens."));
    }
    let _ = writeln!(text, "PARAMETER num_ctx {}", length.min(MAX_CONTEXT));
    Ok(text)
}

/// Returns the text of the token that llama.cpp puts before a prompt, and a template therefore does not.
fn begin_text(reader: &TextReader) -> Result<String> {
    let tokens = reader.tokenizer().encode("a")?;
    match reader.begin_token() {
        Some(begin) if tokens.first() == Some(&begin) => reader.tokenizer().decode_all(&[begin]),
        _ => Ok(String::new()),
    }
}

/// Quotes a text of several lines.
fn quoted(text: &str) -> String {
    format!("\"\"\"{text}\"\"\"")
}
