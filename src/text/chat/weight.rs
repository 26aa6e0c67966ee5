//! Messages of weight 0, which are not trained.

use std::ops::Range;

use serde_json::{Map, Value};

use super::Rendered;

/// Whether a message is trained: unless its `weight` is 0 or its `train` is false.
pub(super) fn is_trained(message: &Map<String, Value>) -> bool {
    ["weight", "train"]
        .iter()
        .all(|&key| match message.get(key) {
            Some(Value::Bool(is_trained)) => *is_trained,
            Some(Value::Number(weight)) => weight.as_f64() != Some(0.0),
            _ => true,
        })
}

/// Indices of the assistant's messages.
pub(super) fn assistant(messages: &[Map<String, Value>]) -> Vec<usize> {
    let is_assistant = |message: &Map<String, Value>| {
        message.get("role").and_then(Value::as_str) == Some("assistant")
    };
    (0..messages.len())
        .filter(|&index| is_assistant(&messages[index]))
        .collect()
}

/// Removes what belongs to untrained messages from the parts that a template marks. `spans` are the
/// positions of the assistant's messages, each with its index.
pub(super) fn without_untrained(
    rendered: Rendered,
    spans: &[(usize, Range<usize>)],
    is_trained: impl Fn(usize) -> bool,
) -> Rendered {
    let untrained: Vec<_> = spans
        .iter()
        .filter(|(message, _)| !is_trained(*message))
        .collect();
    let mut assistant = Vec::new();
    for part in rendered.assistant {
        let mut rest = part;
        for (_, span) in &untrained {
            // What is before the untrained message remains, and what is after it.
            if span.start < rest.end && rest.start < span.end {
                if rest.start < span.start {
                    assistant.push(rest.start..span.start);
                }
                rest.start = span.end.min(rest.end);
            }
        }
        if !rest.is_empty() {
            assistant.push(rest);
        }
    }
    Rendered {
        assistant,
        ..rendered
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn weights_are_numbers_or_booleans() {
        for (message, expected) in [
            (json!({}), true),
            (json!({"weight": 1}), true),
            (json!({"weight": 0}), false),
            (json!({"weight": 0.0}), false),
            (json!({"weight": false}), false),
            (json!({"train": false}), false),
            (json!({"weight": 1.0, "train": true}), true),
        ] {
            assert_eq!(
                is_trained(message.as_object().unwrap()),
                expected,
                "{message}"
            );
        }
    }

    #[test]
    fn parts_of_untrained_messages_are_removed() {
        let rendered = Rendered {
            text: "x".repeat(40),
            assistant: vec![0..5, 10..30, 35..40],
        };
        let spans = [(1, 0..6), (3, 12..20), (5, 25..28), (7, 35..40)];
        let found = without_untrained(rendered, &spans, |message| message == 7);
        assert_eq!(found.assistant, [10..12, 20..25, 28..30, 35..40]);
    }
}
