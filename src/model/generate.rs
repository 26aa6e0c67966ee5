//! Text generation, token by token with a KV cache.

use std::ops::ControlFlow;

use burn::tensor::{Int, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::cache::DecoderCache;
use super::causal_lm::CausalLm;
use super::inputs::Weights;
use super::text_stream::TextStream;
use crate::device;
use crate::error::{Error, Result, counted};
use crate::kernels::distillation::LanguageHead;

/// How the next token is sampled from the model's distribution.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Divides the logits; 0 selects the most likely token.
    pub temperature: f32,
    /// Samples from the k most likely tokens; 0 for all.
    pub top_k: usize,
    /// Samples from the most likely tokens whose probabilities sum to this, in (0, 1\].
    pub top_p: f32,
    /// Seed of the random choices.
    pub seed: u64,
}

impl Default for Sampling {
    /// Greedy decoding.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            seed: 0,
        }
    }
}

impl Sampling {
    /// Checks that every setting is in range.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`].
    pub fn validate(&self) -> Result<()> {
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return Err(Error::setting(
                "temperature",
                self.temperature,
                "a finite number of at least 0",
            ));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(Error::setting(
                "top_p",
                self.top_p,
                "a number above 0 and at most 1",
            ));
        }
        Ok(())
    }
}

impl CausalLm {
    /// Continues a prompt by up to `max_new_tokens` tokens, until the model ends the text or reaches its
    /// maximum length. `on_text` is called with each new piece of text.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a setting out of range, an empty prompt or one as long as the maximum
    /// length, and the errors of tokenizer and device.
    pub async fn generate(
        &self,
        prompt: &str,
        max_new_tokens: usize,
        sampling: &Sampling,
        mut on_text: impl FnMut(&str),
    ) -> Result<String> {
        let on_text = |piece: &str| {
            on_text(piece);
            ControlFlow::Continue(())
        };
        self.generate_while(prompt, max_new_tokens, sampling, on_text)
            .await
    }

    /// Continues a prompt as [`Self::generate`]. `on_text` may end the text.
    ///
    /// # Errors
    ///
    /// As [`Self::generate`].
    pub async fn generate_while(
        &self,
        prompt: &str,
        max_new_tokens: usize,
        sampling: &Sampling,
        on_text: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<String> {
        let prompt = self.tokenizer().encode(prompt)?;
        let mut context = Context::default();
        self.continue_tokens(&mut context, &prompt, max_new_tokens, sampling, on_text)
            .await
    }

    /// Continues the tokens of a prompt as [`Self::generate`]. What `context` has of them is not computed
    /// again. `on_text` may end the text.
    pub(super) async fn continue_tokens(
        &self,
        context: &mut Context,
        prompt: &[u32],
        max_new_tokens: usize,
        sampling: &Sampling,
        mut on_text: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<String> {
        let mut generation = Generation::new(self, context, prompt, max_new_tokens, sampling)?;
        while let Some(piece) = generation.advance(self, context).await? {
            if !piece.is_empty() && on_text(&piece).is_break() {
                break;
            }
        }
        generation.text(self)
    }
}

/// A text in progress, which its caller advances by one token at a time: not doing so pauses or ends it.
#[derive(Debug)]
pub(crate) struct Generation {
    /// Tokens that follow those of the context.
    next: Vec<u32>,
    stream: TextStream,
    sampling: Sampling,
    random: ChaCha8Rng,
    /// Number of tokens that may follow.
    left: usize,
}

impl Generation {
    /// Starts to continue the tokens of a prompt by up to `max_new_tokens`. What `context` has of them is not
    /// computed again.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a setting out of range, an empty prompt or one as long as the maximum length.
    pub(crate) fn new(
        model: &CausalLm,
        context: &mut Context,
        prompt: &[u32],
        max_new_tokens: usize,
        sampling: &Sampling,
    ) -> Result<Self> {
        sampling.validate()?;
        let max_length = model.decoder().config().max_length;
        if prompt.is_empty() || prompt.len() >= max_length {
            return Err(Error::setting(
                "prompt",
                counted(prompt.len(), "token"),
                format!("1 to {} tokens for this model", max_length - 1),
            ));
        }
        Ok(Self {
            next: context.begin(prompt).to_vec(),
            stream: TextStream::default(),
            sampling: sampling.clone(),
            random: ChaCha8Rng::seed_from_u64(sampling.seed),
            left: max_new_tokens.min(max_length - prompt.len()),
        })
    }

    /// Generates the next token and returns the text that it completes, which may be empty; `None` at the end.
    ///
    /// # Errors
    ///
    /// The errors of tokenizer and device.
    pub(crate) async fn advance(
        &mut self,
        model: &CausalLm,
        context: &mut Context,
    ) -> Result<Option<String>> {
        if self.left == 0 {
            return Ok(None);
        }
        let weights = model.weights(None);
        let head = model.decoder().head(&weights);
        let ids = self.next.iter().map(|&id| id as i32).collect();
        let logits = model
            .next_logits(&weights, &head, ids, 1, &mut context.cache)
            .await?;
        context.tokens.append(&mut self.next);
        let token = choose(&logits, &self.sampling, &mut self.random);
        if model.reader().end_tokens().contains(&token) {
            self.left = 0;
            return Ok(None);
        }
        self.left -= 1;
        self.next.push(token);
        let decode = |ids: &[u32]| model.tokenizer().decode(ids);
        Ok(Some(self.stream.push(token, decode)?.unwrap_or_default()))
    }

    /// Returns the text so far.
    ///
    /// # Errors
    ///
    /// The tokenizer's errors.
    pub(crate) fn text(&self, model: &CausalLm) -> Result<String> {
        model.tokenizer().decode(self.stream.tokens())
    }
}

/// Tokens and what the decoder caches of them.
#[derive(Debug, Default)]
pub(crate) struct Context {
    tokens: Vec<u32>,
    cache: DecoderCache,
}

impl Context {
    /// Keeps the part that a prompt begins with, and returns the rest of the prompt, which is not empty.
    fn begin<'a>(&mut self, prompt: &'a [u32]) -> &'a [u32] {
        // A step that failed may have filled the cache in part.
        let known = self.tokens.iter().zip(prompt);
        let known = known.take_while(|(known, given)| known == given).count();
        let kept = known.min(prompt.len() - 1).min(self.cache.length());
        let kept = self.cache.truncate(kept);
        self.tokens.truncate(kept);
        &prompt[kept..]
    }
}

impl CausalLm {
    /// Returns the logits \[texts, vocab_size\] of the next token of each text. `tokens` are those that
    /// follow the cache, equally many of each text.
    pub(crate) async fn next_logits(
        &self,
        weights: &Weights<'_>,
        head: &LanguageHead,
        tokens: Vec<i32>,
        texts: usize,
        cache: &mut DecoderCache,
    ) -> Result<Vec<f32>> {
        let decoder = self.decoder();
        let length = tokens.len() / texts;
        let tokens = TensorData::new(tokens, [texts, length]);
        let tokens = Tensor::<2, Int>::from_data(tokens, &self.tensor_device());
        let hidden = decoder.continue_hidden_states(weights, tokens, cache);
        let [_, width] = hidden.dims();
        let last = hidden
            .reshape([texts, length, width])
            .narrow(1, length - 1, 1)
            .reshape([texts, width]);
        let logits = device::read(head.logits(last)).await?;
        self.device().check()?;
        Ok(logits)
    }
}

/// Samples the next token. NaN logits are only chosen if all are NaN.
pub(super) fn choose(logits: &[f32], sampling: &Sampling, random: &mut ChaCha8Rng) -> u32 {
    let mut tokens: Vec<usize> = (0..logits.len()).collect();
    let order = |&a: &usize, &b: &usize| logits[b].total_cmp(&logits[a]).then(a.cmp(&b));
    let most_likely = |tokens: &[usize]| {
        tokens
            .iter()
            .copied()
            .filter(|&token| !logits[token].is_nan())
            .min_by(order)
            .unwrap_or(0)
    };
    if sampling.temperature == 0.0 {
        return most_likely(&tokens) as u32;
    }
    tokens.retain(|&token| !logits[token].is_nan());
    let first = most_likely(&tokens);
    let weight =
        |token: usize| f64::from((logits[token] - logits[first]) / sampling.temperature).exp();
    // Sorting a vocabulary is slow, and without top-k and top-p the order does not matter.
    if sampling.top_k > 0 || sampling.top_p < 1.0 {
        tokens.sort_unstable_by(order);
        if sampling.top_k > 0 {
            tokens.truncate(sampling.top_k);
        }
        let total: f64 = tokens.iter().map(|&token| weight(token)).sum();
        let mut sum = 0.0;
        let kept = tokens
            .iter()
            .position(|&token| {
                sum += weight(token);
                sum >= f64::from(sampling.top_p) * total
            })
            .map_or(tokens.len(), |last| last + 1);
        tokens.truncate(kept);
    }
    let total: f64 = tokens.iter().map(|&token| weight(token)).sum();
    let mut target = random.random::<f64>() * total;
    for &token in &tokens {
        target -= weight(token);
        if target < 0.0 {
            return token as u32;
        }
    }
    first as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(sampling: &Sampling) -> [usize; 4] {
        let logits = [1.0, 3.0, f32::NAN, 2.0];
        let mut random = ChaCha8Rng::seed_from_u64(sampling.seed);
        let mut counts = [0; 4];
        for _ in 0..4000 {
            counts[choose(&logits, sampling, &mut random) as usize] += 1;
        }
        counts
    }

    #[test]
    fn greedy_decoding_selects_the_most_likely_token() {
        assert_eq!(counts(&Sampling::default()), [0, 4000, 0, 0]);
    }

    #[test]
    fn sampling_follows_the_distribution_and_respects_top_k_and_top_p() {
        let free = Sampling {
            temperature: 1.0,
            ..Sampling::default()
        };
        let [a, b, none, c] = counts(&free);
        assert_eq!(none, 0);
        // softmax(1, 3, 2) = 0.090, 0.665, 0.245
        assert!((300..420).contains(&a) && (2560..2760).contains(&b) && (900..1060).contains(&c));
        assert_eq!(
            counts(&Sampling {
                top_k: 1,
                ..free.clone()
            }),
            [0, 4000, 0, 0]
        );
        let [a, _, _, c] = counts(&Sampling { top_p: 0.7, ..free });
        assert!(a == 0 && c > 900);
    }
}
