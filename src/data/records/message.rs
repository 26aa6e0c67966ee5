//! Conversations: checked here, and otherwise left as they are for the model's chat template.

use serde_json::{Map, Value};

use super::names;
use super::style::kind;

const EXPECTED: &str = "expected [{\"role\": \"…\", \"content\": \"…\"}, …]";

/// The messages of a conversation. Fails with what is wrong with them.
pub(super) fn checked(messages: Value) -> Result<Vec<Value>, String> {
    let Value::Array(messages) = messages else {
        let found = kind(&messages);
        return Err(format!("\"messages\" is {found}: {EXPECTED}"));
    };
    if messages.is_empty() {
        return Err(format!("\"messages\" is empty: {EXPECTED}"));
    }
    for (index, message) in messages.iter().enumerate() {
        check(message).map_err(|fault| format!("message {}: {fault}", index + 1))?;
    }
    Ok(messages)
}

fn check(message: &Value) -> Result<(), String> {
    let Value::Object(message) = message else {
        return Err(format!("it is {}: {EXPECTED}", kind(message)));
    };
    match message.get("role") {
        Some(Value::String(_)) => {}
        Some(other) => return Err(format!("\"role\" is {}: expected a string", kind(other))),
        None => return Err(format!("no \"role\" (found {}): {EXPECTED}", keys(message))),
    }
    match message.get("content") {
        Some(Value::String(_)) => Ok(()),
        Some(Value::Array(parts)) => parts.iter().try_for_each(check_part),
        None | Some(Value::Null) if calls_tools(message) => Ok(()),
        None => Err(format!(
            "no \"content\" (found {}): {EXPECTED}",
            keys(message)
        )),
        Some(Value::Null) => Err(
            "\"content\" is null, which only a message with \"tool_calls\" may have: expected a string"
                .to_string(),
        ),
        Some(other) => Err(format!(
            "\"content\" is {}: expected a string, or a list of {{\"type\": \"text\", \"text\": \"…\"}}",
            kind(other)
        )),
    }
}

fn check_part(part: &Value) -> Result<(), String> {
    let expected = "expected {\"type\": \"text\", \"text\": \"…\"}, a model of text reads no other";
    match part.get("type") {
        Some(Value::String(of)) if of != "text" => {
            let of = names::quote(of);
            Err(format!("\"content\" has a part of type {of}: {expected}"))
        }
        Some(Value::String(_)) if part.get("text").is_some_and(Value::is_string) => Ok(()),
        _ => Err(format!(
            "\"content\" has a part that is no text: {expected}"
        )),
    }
}

fn calls_tools(message: &Map<String, Value>) -> bool {
    let calls = message.get("tool_calls").and_then(Value::as_array);
    calls.is_some_and(|calls| !calls.is_empty())
}

fn keys(message: &Map<String, Value>) -> String {
    names::list(message.keys().map(String::as_str))
}

/// The tools of a conversation: a list, or the same as a string of JSON, which files with columns
/// have. Fails with what is wrong with them.
pub(super) fn checked_tools(tools: Value) -> Result<Option<Value>, String> {
    let tools = match tools {
        Value::Null => return Ok(None),
        Value::String(json) => serde_json::from_str(&json)
            .map_err(|error| format!("\"tools\" is a string that is not JSON: {error}"))?,
        tools => tools,
    };
    match tools {
        Value::Null => Ok(None),
        Value::Array(_) => Ok(Some(tools)),
        other => Err(format!("\"tools\" is {}: expected a list", kind(&other))),
    }
}

/// What a message says, its parts one after the other.
pub(super) fn text(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        _ => String::new(),
    }
}
