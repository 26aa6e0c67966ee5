//! The fields of `config.json` of Gemma 4.

use serde_json::{Map, Value, json};

use super::{DEFAULT_THETA, Description, object, shortest};
use crate::error::Result;

/// Factors of frequencies from which on nothing is rotated; llama.cpp's converter writes 1e30.
const UNROTATED: f32 = 1e20;

impl Description<'_> {
    pub(super) fn gemma4(&self) -> Result<Map<String, Value>> {
        let shared = self.size_or("attention.shared_kv_layers", 0)?;
        let local_size = self.size_or("attention.key_length_swa", self.head_size)?;
        let local_theta = self.metadata.float(&self.key("rope.freq_base_swa"))?;
        for (name, expected) in [
            ("attention.value_length_swa", local_size),
            ("rope.dimension_count_swa", local_size),
            ("rope.dimension_count", self.head_size),
        ] {
            if self.size_or(name, expected)? != expected {
                return Err(self.metadata.fault(format!(
                    "metadata {} is another size than that of the heads, {expected}: unsupported",
                    self.key(name)
                )));
            }
        }
        let pattern = self.key("attention.sliding_window_pattern");
        let sliding = self.metadata.flags(&pattern, self.layers)?;
        let sliding = sliding.ok_or_else(|| {
            let message = format!("metadata {pattern} is missing: expected an array of bools");
            self.metadata.fault(message)
        })?;
        let kind = |sliding: &bool| match sliding {
            true => "sliding_attention",
            false => "full_attention",
        };
        let (width, is_wide) = self.widths(shared)?;
        let [local_heads, global_heads] = [true, false].map(|kind| self.kv_heads(sliding, kind));
        let (local_heads, global_heads) = (local_heads?, global_heads?);
        // Keys are values where a global layer with its own keys has no values.
        let keys_are_values = (0..self.layers.saturating_sub(shared))
            .any(|layer| !sliding[layer] && !self.has(&format!("blk.{layer}.attn_v.weight")));
        if !keys_are_values && local_heads != global_heads {
            return Err(self.metadata.fault(format!(
                "metadata {} differs between layers with values of their own: unsupported",
                self.key("attention.head_count_kv")
            )));
        }
        let input_size = self.size_or("embedding_length_per_layer_input", 0)?;
        let input_rows = match input_size {
            0 => self.vocab_size()?,
            _ => self.rows("per_layer_token_embd.weight")?,
        };
        let cap = self.metadata.float(&self.key("final_logit_softcapping"))?;
        let (proportion, factor) = self.rotated()?;
        Ok(object(json!({
            "hidden_size": self.hidden_size,
            "intermediate_size": width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.of_all("attention.head_count", &self.heads)?,
            "num_key_value_heads": local_heads,
            "num_global_key_value_heads": global_heads,
            "head_dim": local_size,
            "global_head_dim": self.head_size,
            "max_position_embeddings": self.max_length()?,
            "rms_norm_eps": self.epsilon("attention.layer_norm_rms_epsilon")?,
            "hidden_activation": "gelu_pytorch_tanh",
            "layer_types": sliding.iter().map(kind).collect::<Vec<_>>(),
            "sliding_window": self.window()?,
            "attention_bias": false,
            "attention_k_eq_v": keys_are_values,
            "num_kv_shared_layers": shared,
            "use_double_wide_mlp": is_wide,
            "enable_moe_block": false,
            "hidden_size_per_layer_input": input_size,
            "vocab_size_per_layer_input": input_rows,
            "final_logit_softcapping": cap.filter(|cap| *cap != 0.0).map(shortest),
            "rope_parameters": {
                "full_attention": {
                    "rope_type": "proportional",
                    "rope_theta": shortest(self.theta()?),
                    "partial_rotary_factor": proportion,
                    "factor": factor,
                },
                "sliding_attention": {
                    "rope_type": "default",
                    "rope_theta": shortest(local_theta.unwrap_or(DEFAULT_THETA)),
                },
            },
            "use_cache": true,
        })))
    }

    fn size_or(&self, name: &str, default: usize) -> Result<usize> {
        let size = self.metadata.size(&self.key(name))?;
        Ok(size.unwrap_or(default))
    }

    /// Returns the width of the feed-forward blocks, and whether those of the last `shared` layers are twice as
    /// wide.
    fn widths(&self, shared: usize) -> Result<(usize, bool)> {
        let key = self.key("feed_forward_length");
        let widths = self.metadata.sizes(&key, self.layers)?.unwrap_or_default();
        let first = self.layers.saturating_sub(shared);
        let (own, last) = widths.split_at(first.min(widths.len()));
        let (Some(&width), wide) = (own.first(), last.first()) else {
            let message = format!("metadata {key} is missing: expected a size");
            return Err(self.metadata.fault(message));
        };
        let is_wide = wide.is_some_and(|wide| *wide != width);
        let expected = if is_wide { 2 * width } else { width };
        if own.iter().any(|size| *size != width) || last.iter().any(|size| *size != expected) {
            return Err(self.metadata.fault(format!(
                "metadata {key} differs between layers: expected one size, and the double in layers that \
                 share keys and values"
            )));
        }
        Ok((width, is_wide))
    }

    /// Returns the number of key and value heads of the local or of the global layers.
    fn kv_heads(&self, sliding: &[bool], kind: bool) -> Result<usize> {
        let pairs = self.num_kv_heads.iter().zip(sliding);
        let heads: Vec<usize> = pairs
            .filter(|(_, sliding)| **sliding == kind)
            .map(|(heads, _)| *heads)
            .collect();
        match heads.is_empty() {
            true => self.of_all("attention.head_count_kv", &self.num_kv_heads),
            false => self.of_all("attention.head_count_kv", &heads),
        }
    }

    /// Returns which part of the heads of global layers is rotated, and the divisor of its frequencies: those of
    /// the others are divided by so much that they are 0.
    fn rotated(&self) -> Result<(f64, Value)> {
        let Some(factors) = &self.factors else {
            return Ok((1.0, 1.0.into()));
        };
        let rotated = factors.iter().take_while(|factor| **factor < UNROTATED);
        let rotated: Vec<f32> = rotated.copied().collect();
        let factor = rotated.first().copied().unwrap_or(1.0);
        let rest = &factors[rotated.len()..];
        let is_valid = rotated.iter().all(|other| *other == factor)
            && rest.iter().all(|factor| *factor >= UNROTATED)
            && factors.len() == self.head_size / 2
            && !rotated.is_empty();
        if !is_valid {
            return Err(self.metadata.fault(format!(
                "rope_freqs.weight has {} factors: expected {} equal ones, and above {UNROTATED:e} for what is not \
                 rotated",
                factors.len(),
                self.head_size / 2
            )));
        }
        let proportion = rotated.len() as f64 / factors.len() as f64;
        Ok((proportion, shortest(f64::from(factor))))
    }
}
