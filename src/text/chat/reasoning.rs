//! Reasoning that a chat template drops.

use serde_json::{Map, Value};

use super::conversation::{REASONING, THINKING_END, content};
use super::words::THINKING_START;

/// Counts the assistant messages whose reasoning is not part of the rendered text.
pub(crate) fn without_reasoning(messages: &[Value], rendered: &str) -> usize {
    let is_dropped = |message: &&Value| {
        let reasoning = message.as_object().and_then(reasoning);
        let answer = message["role"] == "assistant";
        answer && reasoning.is_some_and(|reasoning| !rendered.contains(&reasoning))
    };
    messages.iter().filter(is_dropped).count()
}

/// The reasoning of a message, from its own key or from the start of the content.
fn reasoning(message: &Map<String, Value>) -> Option<String> {
    let given = REASONING
        .iter()
        .find_map(|&name| message.get(name)?.as_str());
    let reasoning = match given {
        Some(reasoning) => reasoning.to_string(),
        None => {
            let content = content(message);
            let (before, _) = content.split_once(THINKING_END)?;
            before.replace(THINKING_START, "")
        }
    };
    let reasoning = reasoning.trim();
    (!reasoning.is_empty()).then(|| reasoning.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dropped_reasoning_is_counted() {
        let messages = [
            json!({"role": "user", "content": "q"}),
            json!({"role": "assistant", "content": "<think>\nfirst\n</think>\n\na"}),
            json!({"role": "assistant", "content": "b", "reasoning_content": "second"}),
            json!({"role": "assistant", "content": "<think>\n\n</think>\n\nc"}),
        ];
        assert_eq!(without_reasoning(&messages, "q a b c"), 2);
        assert_eq!(
            without_reasoning(&messages, "q a <think>second</think> b c"),
            1
        );
        assert_eq!(without_reasoning(&messages, "first second"), 0);
    }
}
