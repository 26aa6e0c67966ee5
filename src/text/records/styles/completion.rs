//! A prompt and its completion: two texts, which are continued as they are, or two lists of messages, as TRL
//! has them.

use serde_json::Value;

use super::conversation;
use super::{Object, take_text};
use crate::text::records::{Place, ReadOptions, Record, message, tools};

/// The keys of this style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::text::records) struct Keys {
    prompt: String,
    completion: String,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            prompt: "prompt".to_string(),
            completion: "completion".to_string(),
        }
    }
}

impl Keys {
    /// The keys that the options name, if they name any.
    pub(super) fn requested(options: &ReadOptions) -> Option<Self> {
        let (prompt, completion) = (&options.prompt_column, &options.completion_column);
        let known = Self::default();
        (prompt.is_some() || completion.is_some()).then(|| Self {
            prompt: prompt.clone().unwrap_or(known.prompt),
            completion: completion.clone().unwrap_or(known.completion),
        })
    }

    pub(super) fn list(&self) -> Vec<&str> {
        vec![&self.prompt, &self.completion]
    }

    /// Converts an object: of two lists of messages, only those of the completion are trained.
    pub(super) fn record(&self, object: &mut Object, place: Place) -> Result<Record, String> {
        let are_lists = [&self.prompt, &self.completion]
            .map(|key| object.get(key).is_some_and(conversation::is_list));
        if are_lists != [true, true] {
            return Ok(Record::Completion {
                prompt: take_text(object, &self.prompt)?,
                completion: take_text(object, &self.completion)?,
            });
        }
        let take = |object: &mut Object, key: &str| {
            message::checked(object.remove(key).unwrap_or_default(), key, false)
        };
        let mut messages = take(object, &self.prompt)?;
        for message in messages.iter_mut().filter_map(Value::as_object_mut) {
            if message.get("role").and_then(Value::as_str) == Some("assistant") {
                message.insert("weight".to_string(), 0.into());
            }
        }
        messages.extend(take(object, &self.completion)?);
        Ok(Record::Conversation {
            messages,
            tools: tools::checked(object.remove("tools").unwrap_or_default())?,
            place,
        })
    }
}
