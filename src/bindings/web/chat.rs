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
    Chat(Box<Chat>, Option<Box<Answer>>),
    Continuation(Box<Continuation>),
}

/// A model that continues texts, each on its own.
#[derive(Debug)]
struct Continuation {
    model: CausalLm,
    context: Context,
    generation: Option<Generation>,
}

#[wasm_bindgen]
impl Conversation {
    /// Begins a conversation; throws for an invalid chat template.
    #[wasm_bindgen(constructor)]
    pub fn new(model: &Model) -> Thrown<Self> {
        let model = model.model.clone();
        let has_template = model.reader().chat_template().map_err(thrown)?.is_some();
        let voice = if has_template {
            Voice::Chat(Box::new(Chat::new(model).map_err(thrown)?), None)
        } else {
            Voice::Continuation(Box::new(Continuation::new(model)))
        };
        Ok(Self { voice })
    }

    /// Continues with another model of the same tokenizer, such as one at another strength. A text in progress is
    /// dropped.
    #[wasm_bindgen(js_name = setModel)]
    pub fn set_model(&mut self, other: &Model) {
        match &mut self.voice {
            Voice::Chat(chat, answer) => {
                *answer = None;
                chat.set_model(other.model.clone());
            }
            Voice::Continuation(text) => **text = Continuation::new(other.model.clone()),
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
            Voice::Chat(chat, Some(answer)) => chat.advance(answer).await,
            Voice::Continuation(text) => text.advance().await,
            Voice::Chat(_, None) => Err(not_begun()),
        };
        piece.map_err(thrown)
    }

    /// Ends the text and returns it. A conversation continues from it.
    pub fn finish(&mut self) -> Thrown<String> {
        let text = match &mut self.voice {
            Voice::Chat(chat, answer) => match answer.take() {
                Some(answer) => chat.finish(*answer),
                None => Err(not_begun()),
            },
            Voice::Continuation(text) => text.finish(),
        };
        text.map_err(thrown)
    }
}

impl Conversation {
    fn start(&mut self, text: &str, max_new_tokens: usize, sampling: &Sampling) -> Result<()> {
        match &mut self.voice {
            Voice::Chat(chat, answer) => {
                let begun = chat.begin(text, max_new_tokens, sampling)?;
                *answer = Some(Box::new(begun));
                Ok(())
            }
            Voice::Continuation(found) => found.begin(text, max_new_tokens, sampling),
        }
    }
}

impl Continuation {
    fn new(model: CausalLm) -> Self {
        Self {
            model,
            context: Context::default(),
            generation: None,
        }
    }

    fn begin(&mut self, text: &str, max_new_tokens: usize, sampling: &Sampling) -> Result<()> {
        let prompt = self.model.tokenizer().encode(text)?;
        let (model, context) = (&self.model, &mut self.context);
        let begun = Generation::new(model, context, &prompt, max_new_tokens, sampling)?;
        self.generation = Some(begun);
        Ok(())
    }

    async fn advance(&mut self) -> Result<Option<String>> {
        match &mut self.generation {
            Some(generation) => generation.advance(&self.model, &mut self.context).await,
            None => Err(not_begun()),
        }
    }

    fn finish(&mut self) -> Result<String> {
        let generation = self.generation.take().ok_or_else(not_begun)?;
        generation.text(&self.model)
    }
}

fn not_begun() -> Error {
    Error::setting("text", "none in progress", "one that `begin` has begun")
}
