//! Text from a model, a token at a time, with keys and values kept.

use burn::tensor::{Int, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::causal_lm::CausalLm;
use super::decoder::{KeyValueCache, Weights};
use crate::device;
use crate::error::{Error, Result};
use crate::matrix_product::matrix_product;

/// How the next token is chosen from the model's distribution.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Divides the logits; 0 always takes the most likely token.
    pub temperature: f32,
    /// Only the k most likely tokens; 0 for all.
    pub top_k: usize,
    /// Only the most likely tokens that together reach this probability, in (0, 1\].
    pub top_p: f32,
    /// Fixes the choices.
    pub seed: u64,
}

impl Default for Sampling {
    /// Greedy.
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
    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`].
    pub fn validate(&self) -> Result<()> {
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return Err(Error::setting(
                "temperature",
                self.temperature,
                "a finite number from 0",
            ));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(Error::setting(
                "top-p",
                self.top_p,
                "a number above 0, up to 1",
            ));
        }
        Ok(())
    }
}

impl CausalLm {
    /// Continues a prompt by up to `max_new_tokens` tokens, until the model ends the text or its
    /// greatest length is reached. `on_text` gets each new piece of text as it comes.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a setting out of range or a prompt that leaves no room, and the
    /// errors of tokenizer and device.
    pub async fn generate(
        &self,
        prompt: &str,
        max_new_tokens: usize,
        sampling: &Sampling,
        mut on_text: impl FnMut(&str),
    ) -> Result<String> {
        sampling.validate()?;
        let config = self.decoder().config();
        let prompt_tokens = self.tokenizer().encode(prompt)?;
        if prompt_tokens.is_empty() || prompt_tokens.len() >= config.max_length {
            return Err(Error::setting(
                "prompt",
                format!("a text of {} tokens", prompt_tokens.len()),
                format!("1 to {} tokens for this model", config.max_length - 1),
            ));
        }
        let room = config.max_length - prompt_tokens.len();
        let weights = self.weights(None);
        let mut random = ChaCha8Rng::seed_from_u64(sampling.seed);
        let mut cache = KeyValueCache::default();
        let mut next = prompt_tokens;
        let mut generated = Vec::new();
        let mut text = String::new();
        for _ in 0..max_new_tokens.min(room) {
            let ids = next.iter().map(|&id| id as i32).collect();
            let logits = self.next_logits(&weights, ids, 1, &mut cache).await?;
            let token = choose(&logits, sampling, &mut random);
            if config.end_tokens.contains(&token) {
                break;
            }
            generated.push(token);
            next = vec![token];
            // A character can take several tokens: text is passed on when it is whole.
            let whole = self.tokenizer().decode(&generated)?;
            if !whole.ends_with('\u{fffd}')
                && let Some(new) = whole.strip_prefix(text.as_str())
            {
                on_text(new);
                text = whole;
            }
        }
        self.tokenizer().decode(&generated)
    }
}

impl CausalLm {
    /// Logits \[texts, vocabulary\] of the token that follows each of so many texts, whose tokens since
    /// what the cache holds are in `tokens`, as many of each.
    pub(super) async fn next_logits(
        &self,
        weights: &Weights<'_>,
        tokens: Vec<i32>,
        texts: usize,
        cache: &mut KeyValueCache,
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
        let head = decoder.head(self.parameters());
        let logits = device::read(matrix_product(last, head.transpose())).await?;
        self.device().check()?;
        Ok(logits)
    }
}

/// The next token by the sampling's rules. NaN logits are never chosen while there are others.
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
    // Without limits the order does not matter, and sorting a vocabulary takes its time.
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
    fn greedy_takes_the_most_likely() {
        assert_eq!(counts(&Sampling::default()), [0, 4000, 0, 0]);
    }

    #[test]
    fn sampling_follows_the_distribution_and_its_limits() {
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
