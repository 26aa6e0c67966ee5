//! Instructions of Alpaca, with an optional input: a conversation for models with a chat template, otherwise
//! Alpaca's own prompt.

use serde_json::{Value, json};

use super::question;
use super::{Object, take_optional_text, take_system, take_text};
use crate::text::records::{Place, Record, names};

/// The key of the instruction.
const INSTRUCTION: &str = "instruction";
/// Keys of the output.
const OUTPUTS: [&str; 2] = ["output", "response"];
/// Earlier rounds: a list of instructions with their outputs.
const HISTORY: &str = "history";

/// Keys of inputs, which many instructions lack.
const INPUTS: [&str; 2] = ["input", "context"];

/// Keys that are used where they exist.
pub(super) const OPTIONAL: [&str; 3] = [INPUTS[0], INPUTS[1], HISTORY];

/// The keys of this style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::text::records) struct Keys {
    output: &'static str,
}

impl Keys {
    pub(super) fn detect(has: impl Fn(&str) -> bool) -> Option<Self> {
        let output = OUTPUTS.into_iter().find(|key| has(key))?;
        has(INSTRUCTION).then_some(Self { output })
    }

    pub(super) fn list(&self) -> Vec<&str> {
        vec![INSTRUCTION, self.output]
    }

    pub(super) fn record(&self, object: &mut Object, place: Place) -> Result<Record, String> {
        let system = take_system(object)?;
        let history = take_history(object)?;
        let instruction = take_text(object, INSTRUCTION)?;
        let mut input = None;
        for key in INPUTS {
            let given = take_optional_text(object, key)?;
            input = match (input, given) {
                (Some(input), Some(given)) => Some(format!("{input}\n\n{given}")),
                (input, given) => input.or(given),
            };
        }
        let output = take_text(object, self.output)?;
        let question = match &input {
            Some(input) => format!("{instruction}\n\n{input}"),
            None => instruction.clone(),
        };
        let earlier = history.iter().flat_map(|(instruction, output)| {
            [
                json!({"role": "user", "content": instruction}),
                json!({"role": "assistant", "content": output}),
            ]
        });
        let prompt = prompt(system.as_deref(), &history, &instruction, input.as_deref());
        Ok(Record::Question {
            messages: question::messages(system, earlier.collect(), question, &output),
            prompt,
            completion: output,
            place,
        })
    }
}

fn take_history(object: &mut Object) -> Result<Vec<(String, String)>, String> {
    let rounds = match object.remove(HISTORY).unwrap_or_default() {
        Value::Null => Vec::new(),
        Value::Array(rounds) => rounds,
        other => {
            let found = names::kind(&other);
            return Err(format!(
                "\"history\" is {found}: expected [[\"…\", \"…\"], …]"
            ));
        }
    };
    let texts = |round: &Value| match round.as_array().map(Vec::as_slice) {
        Some([Value::String(instruction), Value::String(output)]) => {
            Ok((instruction.clone(), output.clone()))
        }
        _ => Err(
            "\"history\" has a round that is not two strings: expected [\"…\", \"…\"]".to_string(),
        ),
    };
    rounds.iter().map(texts).collect()
}

/// Alpaca's prompt, after the earlier rounds. A system prompt replaces its first sentences.
fn prompt(
    system: Option<&str>,
    history: &[(String, String)],
    instruction: &str,
    input: Option<&str>,
) -> String {
    let task = match (system, input) {
        (Some(system), _) => system,
        (None, Some(_)) => {
            "Below is an instruction that describes a task, paired with an input that provides further \
             context. Write a response that appropriately completes the request."
        }
        (None, None) => {
            "Below is an instruction that describes a task. Write a response that appropriately completes \
             the request."
        }
    };
    let mut text = format!("{task}\n\n");
    for (instruction, output) in history {
        text += &format!("### Instruction:\n{instruction}\n\n### Response:\n{output}\n\n");
    }
    text += &format!("### Instruction:\n{instruction}\n\n");
    if let Some(input) = input {
        text += &format!("### Input:\n{input}\n\n");
    }
    text + "### Response:\n"
}
