//! Validates conversations; the model's chat template does the rest.

use serde_json::{Map, Value};

use super::names;
use super::names::kind;
use super::styles::{renamed, turns_of_round};
use super::tools::{drop_nulls, parse_arguments};
use crate::text::python_json::parse_value;

const EXPECTED: &str = "expected [{\"role\": \"…\", \"content\": \"…\"}, …]";

/// Validates the messages under `key`: a list, or the list as a JSON string, as in tables. Messages with
/// `from` and `value` get `role` and `content`; `share_gpt` says that all roles are those of ShareGPT. Nulls
/// are dropped; content that is null and has no tool calls becomes empty; arguments that are JSON strings are
/// parsed. Fails with a description of the error.
pub(super) fn checked(messages: Value, key: &str, share_gpt: bool) -> Result<Vec<Value>, String> {
    let name = names::quote(key);
    let messages = match messages {
        Value::String(json) => parse_value(&json)
            .map_err(|error| format!("{name} is a string that is not JSON: {error}"))?,
        messages => messages,
    };
    let Value::Array(messages) = messages else {
        return Err(format!("{name} is {}: {EXPECTED}", kind(&messages)));
    };
    let mut messages: Vec<Value> = match share_gpt {
        true => messages.into_iter().flat_map(turns_of_round).collect(),
        false => messages,
    };
    if messages.is_empty() {
        return Err(format!("{name} is empty: {EXPECTED}"));
    }
    for (index, message) in messages.iter_mut().enumerate() {
        prepare(message, share_gpt).map_err(|fault| format!("message {}: {fault}", index + 1))?;
    }
    Ok(messages)
}

fn prepare(message: &mut Value, share_gpt: bool) -> Result<(), String> {
    let Value::Object(message) = message else {
        return Err(format!("is {}: {EXPECTED}", kind(message)));
    };
    if share_gpt || (!message.contains_key("role") && message.contains_key("from")) {
        *message = renamed(std::mem::take(message))?;
    }
    message.retain(|key, value| !value.is_null() || key == "content");
    message.values_mut().for_each(drop_nulls);
    for key in ["tool_calls", "function_call"] {
        if let Some(calls) = message.get_mut(key) {
            parse_arguments(calls);
        }
    }
    if message.get("content").is_some_and(Value::is_null) && !calls_tools(message) {
        message.insert("content".to_string(), "".into());
    }
    check(message)
}

fn check(message: &Map<String, Value>) -> Result<(), String> {
    match message.get("role") {
        Some(Value::String(_)) => {}
        Some(other) => return Err(format!("\"role\" is {}: expected a string", kind(other))),
        None => return Err(format!("no \"role\" (found {}): {EXPECTED}", keys(message))),
    }
    for key in ["weight", "train"] {
        let is_valid = match message.get(key) {
            None | Some(Value::Bool(_)) => true,
            Some(weight) => weight
                .as_f64()
                .is_some_and(|weight| weight == 0.0 || weight == 1.0),
        };
        if !is_valid {
            return Err(format!(
                "{} is {}: expected 0 (not trained) or 1",
                names::quote(key),
                message[key]
            ));
        }
    }
    match message.get("content") {
        Some(Value::String(_)) => Ok(()),
        Some(Value::Array(parts)) => parts.iter().try_for_each(check_part),
        None | Some(Value::Null) if calls_tools(message) => Ok(()),
        None => Err(format!(
            "no \"content\" (found {}): {EXPECTED}",
            keys(message)
        )),
        Some(other) => Err(format!(
            "\"content\" is {}: expected a string, or a list of {{\"type\": \"text\", \"text\": \"…\"}}",
            kind(other)
        )),
    }
}

fn check_part(part: &Value) -> Result<(), String> {
    let expected = "expected {\"type\": \"text\", \"text\": \"…\"}, since only text is supported";
    match part.get("type") {
        Some(Value::String(of)) if of != "text" => {
            let of = names::quote(of);
            Err(format!("\"content\" has a part of type {of}: {expected}"))
        }
        Some(Value::String(_)) if part.get("text").is_some_and(Value::is_string) => Ok(()),
        _ => Err(format!(
            "\"content\" has a part that is not a text: {expected}"
        )),
    }
}

fn calls_tools(message: &Map<String, Value>) -> bool {
    let calls = message.get("tool_calls").and_then(Value::as_array);
    calls.is_some_and(|calls| !calls.is_empty()) || message.contains_key("function_call")
}

fn keys(message: &Map<String, Value>) -> String {
    names::list(message.keys().map(String::as_str))
}

/// The text of a message, with its parts concatenated.
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
