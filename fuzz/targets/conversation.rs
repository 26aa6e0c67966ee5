//! Chat templates.

use std::path::Path;

use minift::text::chat::ChatTemplate;
use serde_json::{Value, json};

use super::check_error;

fn messages() -> Vec<Value> {
    vec![
        json!({"role": "system", "content": "Be brief."}),
        json!({"role": "user", "content": [{"type": "text", "text": "What is it?"}]}),
        json!({"role": "assistant", "content": "<think>\nHm.\n</think>\n\nIt is.", "tool_calls": [
            {"function": {"name": "look", "arguments": {"é": [1.5, null, true]}}}]}),
        json!({"role": "tool", "content": "yes"}),
        json!({"role": "assistant", "content": "It is."}),
    ]
}

/// Reads `chat_template.jinja`, and `tokenizer_config.json`. An accepted template terminates, and
/// the spans of the assistant lie within its output.
pub fn template(data: &[u8]) -> bool {
    let special = br#"{"bos_token": "<s>", "eos_token": "</s>"}"#;
    let folder = Path::new("model");
    let jinja = check(ChatTemplate::parse(Some(data), Some(special), folder), data);
    let config = check(ChatTemplate::parse(None, Some(data), folder), data);
    jinja || config
}

fn check(template: minift::Result<Option<ChatTemplate>>, data: &[u8]) -> bool {
    let template = match template {
        Ok(Some(template)) => template,
        Ok(None) => return false,
        Err(error) => {
            check_error(&error, data.len());
            return false;
        }
    };
    let (messages, tools) = (
        messages(),
        json!([{"type": "function", "function": {"name": "look"}}]),
    );
    if let Err(error) = template.render(&messages, Some(&tools), true) {
        check_error(&error, data.len());
    }
    let text = template.render(&messages, None, false);
    if let Ok(rendered) = template.render_marked(&messages, None) {
        // The output of `strftime_now` changes with time.
        if !data.windows(8).any(|part| part == b"strftime") {
            assert_eq!(rendered.text, text.unwrap());
        }
        let mut last = 0;
        for part in rendered.assistant {
            assert!(last <= part.start && part.start < part.end);
            assert!(rendered.text.get(part.clone()).is_some());
            last = part.end;
        }
    }
    true
}
