//! Conversations with a model, through its chat template.

use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::causal_lm::CausalLm;
use super::generate::{Context, Generation, Sampling};
use crate::error::{Error, Result};
use crate::text::chat::ChatTemplate;

/// A conversation with a model. Each answer continues from the cached keys and values of the turns before.
///
/// ```no_run
/// # use minift::model::{CausalLm, Chat, Sampling};
/// # use std::ops::ControlFlow;
/// # async fn talk(model: CausalLm) -> minift::Result<()> {
/// let mut chat = Chat::new(model)?;
/// chat.set_system(Some("Answer in one sentence.".to_string()));
/// let sampling = Sampling::default();
/// chat.answer("What is a teapot?", 64, &sampling, |piece| {
///     print!("{piece}");
///     ControlFlow::Continue(())
/// })
/// .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Chat {
    model: CausalLm,
    template: ChatTemplate,
    messages: Vec<Value>,
    context: Context,
}

impl Chat {
    /// Begins a conversation.
    ///
    /// # Errors
    ///
    /// [`Error::ChatTemplate`] if the model has no chat template, or an invalid one.
    pub fn new(model: CausalLm) -> Result<Self> {
        let template = model.reader().chat_template()?;
        let template = template.ok_or_else(|| Error::ChatTemplate {
            path: model.reader().files().folder.join("tokenizer_config.json"),
            message:
                "the model has no chat template, which conversations require: use a chat model, or \
                      let this one continue a text"
                    .to_string(),
        })?;
        Ok(Self {
            model,
            template,
            messages: Vec::new(),
            context: Context::default(),
        })
    }

    /// Sets, replaces or removes the system message. It takes effect with the next answer.
    pub fn set_system(&mut self, system: Option<String>) {
        self.messages.retain(|message| message["role"] != "system");
        if let Some(content) = system {
            let message = json!({"role": "system", "content": content});
            self.messages.insert(0, message);
        }
    }

    /// Continues the conversation with another model of the same tokenizer and template, such as one at another
    /// strength.
    pub fn set_model(&mut self, model: CausalLm) {
        self.model = model;
        self.context = Context::default();
    }

    /// Removes all messages but the system message.
    pub fn reset(&mut self) {
        self.messages.retain(|message| message["role"] == "system");
    }

    /// Returns the messages, each with `role` and `content`.
    pub fn messages(&self) -> &[Value] {
        &self.messages
    }

    /// Answers a question in at most `max_new_tokens` tokens, and adds both to the messages. `on_text` is
    /// called with each new piece of the answer, and may end it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a setting out of range, or if the conversation exceeds the maximum
    /// length of the model; [`Error::ChatTemplate`] for a conversation that the template rejects; and the
    /// errors of tokenizer and device. The messages are then as before.
    pub async fn answer(
        &mut self,
        question: &str,
        max_new_tokens: usize,
        sampling: &Sampling,
        mut on_text: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<String> {
        let mut answer = self.begin(question, max_new_tokens, sampling)?;
        while let Some(piece) = self.advance(&mut answer).await? {
            if !piece.is_empty() && on_text(&piece).is_break() {
                break;
            }
        }
        self.finish(answer)
    }

    /// Begins the answer to a question, of at most `max_new_tokens` tokens.
    ///
    /// # Errors
    ///
    /// As [`Self::answer`], without those of the device.
    pub(crate) fn begin(
        &mut self,
        question: &str,
        max_new_tokens: usize,
        sampling: &Sampling,
    ) -> Result<Answer> {
        let mut messages = self.messages.clone();
        messages.push(json!({"role": "user", "content": question}));
        let prompt = self.template.render(&messages, None, true)?;
        let tokens = self.model.tokenizer().tokens(&prompt, false)?;
        let tokens: Vec<u32> = tokens.into_iter().map(|token| token.id).collect();
        let max_length = self.model.config().decoder.max_length;
        if tokens.len() >= max_length {
            return Err(Error::setting(
                "conversation",
                format!("{} tokens", tokens.len()),
                format!(
                    "less than {max_length}, the maximum length of this model: begin a new one"
                ),
            ));
        }
        let (model, context) = (&self.model, &mut self.context);
        let generation = Generation::new(model, context, &tokens, max_new_tokens, sampling)?;
        Ok(Answer {
            messages,
            generation,
        })
    }

    /// Generates the next token of an answer and returns the text that it completes, which may be empty; `None` at
    /// the end.
    ///
    /// # Errors
    ///
    /// The errors of tokenizer and device.
    pub(crate) async fn advance(&mut self, answer: &mut Answer) -> Result<Option<String>> {
        let Self { model, context, .. } = self;
        answer.generation.advance(model, context).await
    }

    /// Adds a question and its answer so far to the messages, and returns the answer.
    ///
    /// # Errors
    ///
    /// The tokenizer's errors.
    pub(crate) fn finish(&mut self, answer: Answer) -> Result<String> {
        let text = answer.generation.text(&self.model)?;
        self.messages = answer.messages;
        self.messages
            .push(json!({"role": "assistant", "content": text}));
        Ok(text)
    }
}

/// An answer in progress, with the messages up to its question.
#[derive(Debug)]
pub(crate) struct Answer {
    messages: Vec<Value>,
    generation: Generation,
}
