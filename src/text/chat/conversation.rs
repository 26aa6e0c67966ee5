//! Conversations in the form that templates receive.

use serde_json::{Map, Value};

use super::arguments;

/// Keys for reasoning; templates read the first.
pub(super) const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// Separates reasoning from the answer in a message's content.
pub(super) const THINKING_END: &str = "</think>";

/// A conversation that is prepared for a template.
#[derive(Debug)]
pub(super) struct Conversation<'a> {
    /// The messages, preprocessed like in transformers.
    pub messages: Vec<Map<String, Value>>,
    /// The tools that the assistant may call.
    pub tools: Option<&'a Value>,
    /// Approximate size in bytes.
    pub bytes: usize,
}

impl<'a> Conversation<'a> {
    /// Prepares a conversation. Fails with the index of a message that is not an object.
    pub(super) fn new(messages: &[Value], tools: Option<&'a Value>) -> Result<Self, usize> {
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

    /// The conversation with the arguments of all tool calls as JSON text, which some templates concatenate.
    /// `None` if it has no others.
    pub(super) fn with_arguments_as_text(&self) -> Option<Self> {
        let mut messages = self.messages.clone();
        let calls = messages
            .iter_mut()
            .filter_map(|message| message.get_mut("tool_calls"));
        let changed = calls
            .map(arguments::write)
            .filter(|&changed| changed)
            .count();
        (changed > 0).then_some(Self {
            messages,
            tools: self.tools,
            bytes: self.bytes,
        })
    }
}

/// Drops nulls, and adds reasoning under the keys that templates read.
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

/// Approximate size of a value: the bytes of its strings, and a few for each value.
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

/// The text of a message, with its parts concatenated.
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
    fn nulls_are_dropped_and_reasoning_has_all_its_keys() {
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
    fn arguments_are_written_like_python_writes_them() {
        let call = json!({"function": {"name": "f", "arguments": {"a": [1, "é"], "b": null}}});
        let message = json!({"role": "assistant", "tool_calls": [call]});
        let conversation = Conversation::new(&[message], None).unwrap();
        let changed = conversation.with_arguments_as_text().unwrap();
        let arguments = &changed.messages[0]["tool_calls"][0]["function"]["arguments"];
        assert_eq!(arguments, r#"{"a": [1, "é"], "b": null}"#);
        assert!(changed.with_arguments_as_text().is_none());
    }

    #[test]
    fn messages_must_be_objects() {
        let messages = [json!({"role": "user", "content": ""}), json!("hi")];
        assert_eq!(Conversation::new(&messages, None).unwrap_err(), 1);
    }
}
