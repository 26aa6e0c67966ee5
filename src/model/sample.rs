//! Texts that a model writes by itself: what it knows, as samples to train on.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::causal_lm::CausalLm;
use super::decoder::KeyValueCache;
use super::generate::{Sampling, choose};
use crate::data::Sample;
use crate::error::{Error, Result};

/// Texts that are written at the same time.
const AT_ONCE: usize = 32;

impl CausalLm {
    /// `count` samples of up to `max_length` tokens that the model writes from the beginning of a
    /// text on, each token drawn from its distribution. `on_progress` gets how many are done.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a model without a token that begins or ends a text, and the
    /// errors of tokenizer and device.
    pub async fn sample_texts(
        &self,
        count: usize,
        max_length: usize,
        seed: u64,
        mut on_progress: impl FnMut(usize),
    ) -> Result<Vec<Sample>> {
        let beginning = self.beginning()?;
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut samples = Vec::with_capacity(count);
        // A model that ends a text at once has said nothing; that happens, but not for ever.
        let mut attempts = 4 * count.div_ceil(AT_ONCE);
        while samples.len() < count && attempts > 0 {
            attempts -= 1;
            let wanted = AT_ONCE.min(count - samples.len());
            let texts = self
                .write_texts(&beginning, wanted, max_length, &mut random)
                .await?;
            samples.extend(texts.into_iter().filter(|text| text.len() >= 2));
            on_progress(samples.len());
        }
        match samples.len() {
            0 => Err(Error::NoSamples {
                origin: "what the model writes by itself".to_string(),
                skipped: count,
            }),
            _ => Ok(samples),
        }
    }

    /// The tokens that begin a text: those that the tokenizer puts before one, else the token that the
    /// configuration names, else the one that ends the text before.
    fn beginning(&self) -> Result<Vec<u32>> {
        let empty = self.tokenizer().encode("")?;
        let config = self.decoder().config();
        let usual = config.begin_token.or(config.end_tokens.first().copied());
        match usual {
            _ if !empty.is_empty() => Ok(empty),
            Some(token) => Ok(vec![token]),
            None => Err(Error::setting(
                "replay",
                "self",
                "a file of general text: this model has no token that begins a text, so it cannot \
                 write one by itself",
            )),
        }
    }

    /// So many texts at once, each until the model ends it or it is as long as it may be.
    async fn write_texts(
        &self,
        beginning: &[u32],
        count: usize,
        max_length: usize,
        random: &mut ChaCha8Rng,
    ) -> Result<Vec<Sample>> {
        let sampling = Sampling {
            temperature: 1.0,
            ..Sampling::default()
        };
        let config = self.decoder().config();
        let weights = self.weights(None);
        let mut cache = KeyValueCache::default();
        let mut texts = vec![beginning.to_vec(); count];
        let mut ended = vec![false; count];
        let mut next: Vec<i32> = texts.concat().into_iter().map(|id| id as i32).collect();
        for _ in beginning.len()..max_length.min(config.max_length) {
            let tokens = std::mem::take(&mut next);
            let logits = self
                .next_logits(&weights, tokens, count, &mut cache)
                .await?;
            for (row, logits) in logits.chunks(config.vocabulary).enumerate() {
                let token = choose(logits, &sampling, random);
                if !ended[row] {
                    texts[row].push(token);
                }
                ended[row] |= config.end_tokens.contains(&token);
                next.push(token as i32);
            }
            if ended.iter().all(|&ended| ended) {
                break;
            }
        }
        Ok(texts.into_iter().map(Sample::new).collect())
    }
}
