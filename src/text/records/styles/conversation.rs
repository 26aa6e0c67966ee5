//! Conversations: lists of messages, in the words of the model's chat template or in those of ShareGPT.

use serde_json::{Value, json};

use super::{Object, take_system};
use crate::text::records::{Place, Record, message, tools};

/// Converts an object whose `key` has the messages. `share_gpt` says that its roles are those of ShareGPT.
pub(super) fn record(
    object: &mut Object,
    key: &str,
    share_gpt: bool,
    place: Place,
) -> Result<Record, String> {
    let mut messages = message::checked(object.remove(key).unwrap_or_default(), key, share_gpt)?;
    let system = take_system(object)?;
    // A system prompt among the messages takes precedence.
    if let Some(system) = system
        && messages[0]["role"] != "system"
    {
        messages.insert(0, json!({"role": "system", "content": system}));
    }
    Ok(Record::Conversation {
        messages,
        tools: tools::checked(object.remove("tools").unwrap_or_default())?,
        place,
    })
}

/// Whether a value looks like a message of a conversation.
pub(in crate::text::records) fn is_message(value: &Value) -> bool {
    let has = |key| value.get(key).is_some();
    (has("role") && (has("content") || has("tool_calls"))) || (has("from") && has("value"))
}

/// Whether a value is a list of messages, or one as a JSON string.
pub(super) fn is_list(value: &Value) -> bool {
    match value {
        Value::Array(_) => true,
        Value::String(text) if text.trim_start().starts_with('[') => {
            let list = serde_json::from_str::<Vec<Value>>(text);
            list.is_ok_and(|list| !list.is_empty() && list.iter().all(is_message))
        }
        _ => false,
    }
}
