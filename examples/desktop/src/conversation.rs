//! What a person says to a model: questions where it has a chat template, texts to continue otherwise.

use std::ops::ControlFlow;

use minift::Result;
use minift::model::{CausalLm, Chat, Sampling};

/// Maximum number of tokens of a continuation.
const CONTINUATION_TOKENS: usize = 48;
/// Maximum number of tokens of an answer.
const ANSWER_TOKENS: usize = 256;

/// A conversation with one model.
#[derive(Debug)]
pub enum Conversation {
    /// Questions and answers in the chat template of the model.
    Chat(Box<Chat>),
    /// Texts, each continued on its own.
    Continuation(Box<CausalLm>),
}

impl Conversation {
    /// Begins a conversation.
    ///
    /// # Errors
    ///
    /// [`minift::Error::ChatTemplate`] for an invalid chat template.
    pub fn new(model: CausalLm) -> Result<Self> {
        Ok(if model.reader().chat_template()?.is_some() {
            Self::Chat(Box::new(Chat::new(model)?))
        } else {
            Self::Continuation(Box::new(model))
        })
    }

    /// Continues with another model of the same tokenizer, such as one at another strength.
    pub fn set_model(&mut self, model: CausalLm) {
        match self {
            Self::Chat(chat) => chat.set_model(model),
            Self::Continuation(current) => **current = model,
        }
    }

    /// Answers a question, or continues a text. `on_text` is called with each new piece, and may end the text.
    ///
    /// # Errors
    ///
    /// The errors of [`Chat::answer`] and [`CausalLm::generate_while`].
    pub fn answer(
        &mut self,
        prompt: &str,
        on_text: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<String> {
        let sampling = Sampling::default();
        match self {
            Self::Chat(chat) => {
                let answer = chat.answer(prompt, ANSWER_TOKENS, &sampling, on_text);
                pollster::block_on(answer)
            }
            Self::Continuation(model) => {
                let text = model.generate_while(prompt, CONTINUATION_TOKENS, &sampling, on_text);
                pollster::block_on(text)
            }
        }
    }
}
