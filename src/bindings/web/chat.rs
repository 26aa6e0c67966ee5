//! Conversations and continued texts for JavaScript, one token at a time.

use wasm_bindgen::prelude::wasm_bindgen;

use super::model::Model;
use super::{Thrown, thrown};
use crate::error::{Error, Result};
use crate::model::{Answer, CausalLm, Chat, Context, Generation, Sampling};

/// A conversation with a model through its chat template; without one, texts that the model continues.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Conversation {
    voice: Voice,
}

#[derive(Debug)]
enum Voice {
    Chat {
        chat: Chat,
        answer: Option<Answer>,
    },
    Continuation {
        model: CausalLm,
        context: Context,
        generation: Option<Generation>,
    },
}

#[wasm_bindgen]
impl Conversation {
    /// Begins a conversation; throws for an invalid chat template.
    #[wasm_bindgen(constructor)]
    pub fn new(model: &Model) -> Thrown<Self> {
        let model = model.model.clone();
        let has_template = model.reader().chat_template().map_err(thrown)?.is_some();
        let voice = if has_template {
            let chat = Chat::new(model).map_err(thrown)?;
            Voice::Chat { chat, answer: None }
        } else {
            Voice::Continuation {
                model,
                context: Context::default(),
                generation: None,
            }
        };
        Ok(Self { voice })
    }

    /// Continues with another model of the same tokenizer, such as one at another strength. A text in progress is
    /// dropped.
    #[wasm_bindgen(js_name = setModel)]
    pub fn set_model(&mut self, other: &Model) {
        match &mut self.voice {
            Voice::Chat { chat, answer } => {
                *answer = None;
                chat.set_model(other.model.clone());
            }
            Voice::Continuation {
                model,
                context,
                generation,
            } => {
                *model = other.model.clone();
                (*context, *generation) = (Context::default(), None);
            }
        }
    }

    /// Begins to answer a question, or to continue a text, by up to `maxNewTokens` tokens. Temperature 0 takes the
    /// most likely token.
    pub fn begin(
        &mut self,
        text: &str,
        #[wasm_bindgen(js_name = maxNewTokens)] max_new_tokens: usize,
        temperature: f32,
        seed: u32,
    ) -> Thrown<()> {
        let sampling = Sampling {
            temperature,
            seed: seed.into(),
            ..Sampling::default()
        };
        self.start(text, max_new_tokens, &sampling).map_err(thrown)
    }

    /// Generates the next token and returns the text that it completes, which may be empty; undefined at the end.
    pub async fn next(&mut self) -> Thrown<Option<String>> {
        let piece = match &mut self.voice {
            Voice::Chat { chat, answer } => match answer {
                Some(answer) => chat.advance(answer).await,
                None => Err(not_begun()),
            },
            Voice::Continuation {
                model,
                context,
                generation,
            } => match generation {
                Some(generation) => generation.advance(model, context).await,
                None => Err(not_begun()),
            },
        };
        piece.map_err(thrown)
    }

    /// Ends the text and returns it. A conversation continues from it.
    pub fn finish(&mut self) -> Thrown<String> {
        let text = match &mut self.voice {
            Voice::Chat { chat, answer } => match answer.take() {
                Some(answer) => chat.finish(answer),
                None => Err(not_begun()),
            },
            Voice::Continuation {
                model, generation, ..
            } => match generation.take() {
                Some(generation) => generation.text(model),
                None => Err(not_begun()),
            },
        };
        text.map_err(thrown)
    }
}

impl Conversation {
    fn start(&mut self, text: &str, max_new_tokens: usize, sampling: &Sampling) -> Result<()> {
        match &mut self.voice {
            Voice::Chat { chat, answer } => {
                *answer = Some(chat.begin(text, max_new_tokens, sampling)?);
            }
            Voice::Continuation {
                model,
                context,
                generation,
            } => {
                let prompt = model.tokenizer().encode(text)?;
                let begun = Generation::new(model, context, &prompt, max_new_tokens, sampling)?;
                *generation = Some(begun);
            }
        }
        Ok(())
    }
}

fn not_begun() -> Error {
    Error::setting("text", "none in progress", "one that `begin` has begun")
}
