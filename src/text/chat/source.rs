//! Finds a model's chat template and special tokens in its files.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{Error, Result};

const TEMPLATE_FILE: &str = "chat_template.jinja";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// Fields that name a special token, in the order in which transformers adds them and passes them to
/// templates.
pub(in crate::text) const SPECIAL_TOKENS: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// A model's chat template as stored in its files.
#[derive(Debug)]
pub(super) struct Source {
    /// The file that contains it.
    pub path: PathBuf,
    /// The default template.
    pub default: String,
    /// The template for conversations with tools, if there is a separate one.
    pub with_tools: Option<String>,
    /// Name and text of the model's special tokens.
    pub special_tokens: Vec<(&'static str, String)>,
}

/// The texts of a model's chat templates.
#[cfg(any(feature = "cli", feature = "web"))]
#[derive(Debug)]
pub(crate) struct TemplateText {
    /// The default template.
    pub default: String,
    /// The template for conversations with tools, if there is a separate one.
    pub with_tools: Option<String>,
}

#[cfg(any(feature = "cli", feature = "web"))]
impl TemplateText {
    /// Reads the templates from the bytes of `chat_template.jinja` if given, else from those of
    /// `tokenizer_config.json`. Returns `None` if the model has none; `folder` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::ChatTemplate`] for damaged files.
    pub(crate) fn read(
        template_file: Option<&[u8]>,
        tokenizer_config: Option<&[u8]>,
        folder: &Path,
    ) -> Result<Option<Self>> {
        let source = read(template_file, tokenizer_config, folder)?;
        Ok(source.map(|source| Self {
            default: source.default,
            with_tools: source.with_tools,
        }))
    }
}

/// Reads the template from `chat_template.jinja` if it exists, else from `tokenizer_config.json`.
pub(super) fn read(
    template_file: Option<&[u8]>,
    tokenizer_config: Option<&[u8]>,
    folder: &Path,
) -> Result<Option<Source>> {
    let config_path = folder.join(TOKENIZER_CONFIG);
    let config = match tokenizer_config {
        Some(bytes) => parse_config(bytes, &config_path)?,
        None => Map::new(),
    };
    let special_tokens = special_tokens(&config, &config_path)?;
    let (path, default, with_tools) = if let Some(bytes) = template_file {
        let path = folder.join(TEMPLATE_FILE);
        let text = String::from_utf8(bytes.to_vec())
            .map_err(|error| fault(&path, format!("not UTF-8: {error}")))?;
        (path, text, None)
    } else {
        match config.get("chat_template") {
            None | Some(Value::Null) => return Ok(None),
            Some(found) => {
                let (default, with_tools) = named(found, &config_path)?;
                (config_path, default, with_tools)
            }
        }
    };
    Ok(Some(Source {
        path,
        default: with_newlines(&default),
        with_tools: with_tools.as_deref().map(with_newlines),
        special_tokens,
    }))
}

fn parse_config(bytes: &[u8], path: &Path) -> Result<Map<String, Value>> {
    serde_json::from_slice(bytes)
        .map_err(|error| fault(path, format!("expected a JSON object: {error}")))
}

/// The default template and the one for tools, from a `chat_template` that is a string or a list.
fn named(found: &Value, path: &Path) -> Result<(String, Option<String>)> {
    let list = match found {
        Value::String(text) => return Ok((text.clone(), None)),
        Value::Array(list) => list,
        _ => {
            return Err(fault(
                path,
                "\"chat_template\" is neither a string nor a list of {\"name\", \"template\"}",
            ));
        }
    };
    let by_name = |name: &str| {
        let mut entries = list.iter().rev(); // The last one of a name wins.
        let entry = entries.find(|entry| entry["name"] == name);
        entry.and_then(|entry| entry["template"].as_str())
    };
    let default = by_name("default").ok_or_else(|| {
        let names = list.iter().filter_map(|entry| entry["name"].as_str());
        let names = names.collect::<Vec<_>>().join(", ");
        fault(
            path,
            format!(
                "\"chat_template\" is a list without a template named \"default\" (found: {names}): \
                 save the template to use as {TEMPLATE_FILE}"
            ),
        )
    })?;
    Ok((default.to_string(), by_name("tool_use").map(str::to_string)))
}

/// Reads the special tokens. Each is a string, or an object with the string as its `content`.
fn special_tokens(config: &Map<String, Value>, path: &Path) -> Result<Vec<(&'static str, String)>> {
    let mut tokens = Vec::new();
    for name in SPECIAL_TOKENS {
        let Some(token) = config.get(name).filter(|token| !token.is_null()) else {
            continue;
        };
        let text = token.as_str().or_else(|| token["content"].as_str());
        let text = text.ok_or_else(|| {
            fault(
                path,
                format!("\"{name}\" is neither a string nor an object with a \"content\""),
            )
        })?;
        tokens.push((name, text.to_string()));
    }
    Ok(tokens)
}

/// Normalizes line endings like Jinja.
fn with_newlines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

fn fault(path: &Path, message: impl Into<String>) -> Error {
    Error::ChatTemplate {
        path: path.to_path_buf(),
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_config(config: &str) -> Result<Option<Source>> {
        read(None, Some(config.as_bytes()), Path::new("model"))
    }

    #[test]
    fn the_template_file_takes_precedence() {
        let config = br#"{"chat_template": "config", "eos_token": "</s>"}"#;
        let source = read(Some(b"fi\r\nle\r"), Some(config), Path::new("model"));
        let source = source.unwrap().unwrap();
        assert_eq!(source.default, "fi\nle\n");
        assert_eq!(source.path, Path::new("model").join("chat_template.jinja"));
        assert_eq!(source.special_tokens, [("eos_token", "</s>".to_string())]);
    }

    #[test]
    fn a_list_has_a_default_and_a_template_for_tools() {
        let source = read_config(
            r#"{"chat_template": [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}],
                "bos_token": {"content": "<s>", "lstrip": false}, "unk_token": null}"#,
        );
        let source = source.unwrap().unwrap();
        assert_eq!(source.default, "a");
        assert_eq!(source.with_tools.as_deref(), Some("b"));
        assert_eq!(source.special_tokens, [("bos_token", "<s>".to_string())]);
        assert_eq!(
            source.path,
            Path::new("model").join("tokenizer_config.json")
        );
    }

    #[test]
    fn the_template_is_optional() {
        assert!(read_config(r#"{"chat_template": null}"#).unwrap().is_none());
        assert!(read_config("{}").unwrap().is_none());
        assert!(read(None, None, Path::new("model")).unwrap().is_none());
    }

    #[test]
    fn errors_name_the_file() {
        for (config, expected) in [
            ("[1]", "tokenizer_config.json: expected a JSON object"),
            (r#"{"chat_template": 3}"#, "neither a string nor a list"),
            (
                r#"{"chat_template": [{"name": "rag", "template": ""}]}"#,
                "without a template named \"default\" (found: rag)",
            ),
            (
                r#"{"chat_template": "", "bos_token": 1}"#,
                "\"bos_token\" is neither",
            ),
        ] {
            let message = read_config(config).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let message = read(Some(b"\xff"), None, Path::new("model")).unwrap_err();
        assert!(
            message
                .to_string()
                .contains("chat_template.jinja: not UTF-8")
        );
    }
}
