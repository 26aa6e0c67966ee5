//! Conversations as templates get them.

use serde_json::{Map, Value};

/// Names that reasoning is given under, the one that templates read first.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// What is between a message's reasoning and its answer, where both are in its content.
pub(super) const THINKING_END: &str = "</think>";

/// A conversation that is ready for a template.
#[derive(Debug)]
pub(super) struct Conversation<'a> {
    /// What is in each message, as transformers puts it before a template.
    pub messages: Vec<Map<String, Value>>,
    /// What the assistant may call.
    pub tools: Option<&'a Value>,
    /// Bytes of text in all of it, about.
    pub bytes: usize,
}

impl<'a> Conversation<'a> {
    /// Fails with the index of a message that is not an object.
    pub fn new(messages: &[Value], tools: Option<&'a Value>) -> Result<Self, usize> {
        let tools = tools.filter(|tools| !tools.is_null());
        let bytes = messages.iter().chain(tools).map(size).sum::<usize>();
        let messages = messages.iter().enumerate();
        let messages = messages.map(|(index, message)| match message {
            Value::Object(message) => Ok(prepared(message)),
            _ => Err(index),
        });
        Ok(Self {
            messages: messages.collect::<Result<_, _>>()?,
            tools,
            bytes,
        })
    }
}

/// Leaves out what is null, and has reasoning under the names that templates read.
fn prepared(message: &Map<String, Value>) -> Map<String, Value> {
    let given = message.iter().filter(|(_, value)| !value.is_null());
    let given: Map<_, _> = given
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let reasoning = REASONING.iter().find_map(|&name| given.get(name)).cloned();
    let Some(reasoning) = reasoning else {
        return given;
    };
    let mut message = Map::new();
    message.insert("thinking".to_string(), reasoning.clone());
    message.extend(given);
    message.insert(REASONING[0].to_string(), reasoning);
    message
}

/// Bytes of a value's strings, and a few for everything that there is.
fn size(value: &Value) -> usize {
    const EACH: usize = 8;
    EACH + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| key.len() + size(value))
            .sum(),
        _ => 0,
    }
}

/// What a message says, its parts one after the other.
pub(super) fn content(message: &Map<String, Value>) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_is_left_out_and_reasoning_has_its_names() {
        let message =
            json!({"role": "assistant", "tool_calls": null, "reasoning": "r", "content": "c"});
        let conversation = Conversation::new(&[message], None).unwrap();
        let text = serde_json::to_string(&conversation.messages[0]).unwrap();
        assert_eq!(
            text,
            r#"{"thinking":"r","role":"assistant","reasoning":"r","content":"c","reasoning_content":"r"}"#
        );
    }

    #[test]
    fn a_message_is_an_object() {
        let messages = [json!({"role": "user", "content": ""}), json!("hi")];
        assert_eq!(Conversation::new(&messages, None).unwrap_err(), 1);
    }
}
