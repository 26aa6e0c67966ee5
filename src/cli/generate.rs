//! `minift generate`: continues a prompt, or answers it; so do other commands before and after training.

use std::ops::ControlFlow;

use serde_json::json;

use super::Ended;
use super::args::GenerateArguments;
use super::models;
use super::output::{Output, stderr};
use crate::device::{Device, DeviceChoice};
use crate::error::Result;
use crate::model::{CausalLm, Chat, Sampling};
use crate::train::report::Continuation;

/// Number of tokens of the continuations shown after a run.
const CONTINUATION_TOKENS: usize = 40;

pub(super) async fn run(
    arguments: &GenerateArguments,
    device: DeviceChoice,
    output: &Output,
) -> Result<Ended> {
    let device = Device::open(device).await?;
    let adapter = arguments.adapter_dir.as_deref();
    let say = |note: String| stderr(note);
    let named = arguments.model.model().or_base_of(adapter, &say)?;
    let model = models::adapted(named.load(&device, output, &say)?, adapter, &say)?;
    let (prompt, most) = (&arguments.prompt, arguments.max_new_tokens);
    let sampling = arguments.sampling.sampling();
    let text = if arguments.chat {
        let mut chat = Chat::new(model)?;
        chat.answer(prompt, most, &sampling, |piece| {
            output.piece(piece);
            ControlFlow::Continue(())
        })
        .await?
    } else {
        output.piece(prompt);
        model
            .generate(prompt, most, &sampling, |piece| output.piece(piece))
            .await?
    };
    output.piece("\n");
    output.object(&json!({ "prompt": arguments.prompt, "text": text }));
    Ok(Ended::Success)
}

/// Continues prompts with greedy decoding, or answers them if the model has a chat template.
pub(super) async fn continuations(model: &CausalLm, prompts: &[&str]) -> Result<Vec<Continuation>> {
    let mut continuations = Vec::new();
    for &prompt in prompts {
        let sampling = Sampling::default();
        let text = if model.reader().chat_template()?.is_some() {
            Chat::new(model.clone())?
                .answer(prompt, CONTINUATION_TOKENS, &sampling, |_| {
                    ControlFlow::Continue(())
                })
                .await?
        } else {
            model
                .generate(prompt, CONTINUATION_TOKENS, &sampling, |_| ())
                .await?
        };
        continuations.push(Continuation {
            prompt: prompt.to_string(),
            text,
        });
    }
    Ok(continuations)
}
