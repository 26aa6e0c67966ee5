//! The turns of ShareGPT: `from` and `value` instead of `role` and `content`, with other names of the roles.

use serde_json::{Value, json};

use super::Object;
use crate::text::records::names;

/// Keys of a conversation.
pub(in crate::text::records) const KEYS: [&str; 2] = ["conversations", "conversation"];

/// The roles of ShareGPT, in lower case, and those of chat templates.
const ROLES: [(&str, &[&str]); 4] = [
    ("user", &["user", "human", "prompter", "instruction"]),
    (
        "assistant",
        &[
            "assistant",
            "gpt",
            "model",
            "bing",
            "chatgpt",
            "bard",
            "claude",
            "ai",
            "bot",
            "chatbot",
            "output",
        ],
    ),
    ("system", &["system", "system_prompt"]),
    (
        "tool",
        &[
            "tool",
            "function",
            "observation",
            "function_response",
            "tool_response",
            "function-response",
        ],
    ),
];
/// Roles of a turn in which the assistant calls tools, as JSON.
const CALLS: [&str; 4] = ["function_call", "function-call", "tool_call", "tool_calls"];

/// Renames the keys and roles of a turn as chat templates have them, keeping all other keys. Fails with a
/// description of an unknown role.
pub(in crate::text::records) fn renamed(turn: Object) -> Result<Object, String> {
    let (role, content) = (
        if turn.contains_key("role") {
            "role"
        } else {
            "from"
        },
        if turn.contains_key("content") {
            "content"
        } else {
            "value"
        },
    );
    let mut message = Object::new();
    let mut is_call = false;
    for (key, value) in turn {
        if key == role {
            let value = match value {
                Value::String(name) => {
                    let known = chat_role(&name, role)?;
                    is_call = known.1;
                    known.0.into()
                }
                other => other,
            };
            message.insert("role".to_string(), value);
        } else if key == content {
            message.insert("content".to_string(), value);
        } else {
            message.insert(key, value);
        }
    }
    if is_call {
        with_calls(&mut message);
    }
    Ok(message)
}

/// The turns of a round with `input` and `output`, or a turn as it is.
pub(in crate::text::records) fn turns_of_round(turn: Value) -> Vec<Value> {
    match (turn.get("input"), turn.get("output")) {
        (Some(input), Some(output)) => vec![
            json!({"role": "user", "content": input}),
            json!({"role": "assistant", "content": output}),
        ],
        _ => vec![turn],
    }
}

/// The role of chat templates, and whether the turn calls tools.
fn chat_role(name: &str, key: &str) -> Result<(&'static str, bool), String> {
    let lower = name.to_lowercase();
    if CALLS.contains(&lower.as_str()) {
        return Ok(("assistant", true));
    }
    let known = ROLES
        .iter()
        .find(|(_, names)| names.contains(&lower.as_str()));
    known.map(|(role, _)| (*role, false)).ok_or_else(|| {
        format!(
            "{} is {}: expected human, gpt, system or tool",
            names::quote(key),
            names::quote(name)
        )
    })
}

/// Moves the calls of a turn's content to `tool_calls`. Content that is no call remains.
fn with_calls(message: &mut Object) {
    let calls = match message.get("content") {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        Some(other) => other.clone(),
        None => return,
    };
    let calls = match calls {
        Value::Array(calls) => calls,
        call => vec![call],
    };
    if calls.is_empty() || !calls.iter().all(|call| call["name"].is_string()) {
        return;
    }
    let calls = calls
        .into_iter()
        .map(|call| json!({"type": "function", "function": call}));
    message.insert("tool_calls".to_string(), calls.collect());
    message.insert("content".to_string(), Value::Null);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(from: &str, value: &str) -> Result<Value, String> {
        let Value::Object(turn) = json!({"from": from, "value": value, "weight": 0}) else {
            unreachable!()
        };
        renamed(turn).map(Value::Object)
    }

    #[test]
    fn roles_are_those_of_chat_templates() {
        for (from, role) in [
            ("human", "user"),
            ("user", "user"),
            ("GPT", "assistant"),
            ("bing", "assistant"),
            ("chatgpt", "assistant"),
            ("system", "system"),
            ("observation", "tool"),
            ("function_response", "tool"),
        ] {
            let expected = json!({"role": role, "content": "hi", "weight": 0});
            assert_eq!(turn(from, "hi").unwrap(), expected, "{from}");
        }
        let fault = turn("narrator", "hi").unwrap_err();
        assert!(
            fault.contains("\"from\" is \"narrator\": expected human"),
            "{fault}"
        );
    }

    #[test]
    fn calls_are_read_from_the_text() {
        let call = "{\"name\": \"go\", \"arguments\": {\"place\": \"park\"}}";
        let found = turn("function_call", call).unwrap();
        assert_eq!(found["role"], "assistant");
        assert_eq!(found["content"], Value::Null);
        assert_eq!(
            found["tool_calls"][0]["function"]["arguments"]["place"],
            "park"
        );
        let found = turn("function_call", &format!("[{call}, {call}]")).unwrap();
        assert_eq!(found["tool_calls"].as_array().unwrap().len(), 2);
        let found = turn("function_call", "go").unwrap();
        assert_eq!(
            (&found["content"], found.get("tool_calls")),
            (&json!("go"), None)
        );
    }
}
