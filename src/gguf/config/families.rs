//! The fields of `config.json` that differ between families.

use serde_json::{Map, Value, json};

use super::{Description, greatest_common_divisor, object, shortest};
use crate::error::Result;

impl Description<'_> {
    /// Returns the fields of Llama and of the families that follow it.
    pub(super) fn llama(&self) -> Result<Map<String, Value>> {
        self.check_rotary()?;
        self.like_llama()
    }

    /// Returns the same fields for any rotary embedding.
    pub(super) fn like_llama(&self) -> Result<Map<String, Value>> {
        let widths = self
            .metadata
            .sizes(&self.key("feed_forward_length"), self.layers)?;
        let widths = widths.ok_or_else(|| {
            let key = self.key("feed_forward_length");
            self.metadata
                .fault(format!("metadata {key} is missing: expected a size"))
        })?;
        let mut fields = object(json!({
            "hidden_size": self.hidden_size,
            "intermediate_size": self.of_all("feed_forward_length", &widths)?,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.of_all("attention.head_count", &self.heads)?,
            "num_key_value_heads": self.of_all("attention.head_count_kv", &self.num_kv_heads)?,
            "head_dim": self.head_size,
            "max_position_embeddings": self.max_length()?,
            "rms_norm_eps": self.epsilon("attention.layer_norm_rms_epsilon")?,
            "rope_theta": shortest(self.theta()?),
            "hidden_act": "silu",
            "use_cache": true,
        }));
        let mut set = |field: &str, value: Value| fields.insert(field.to_string(), value);
        let window = self.metadata.size(&self.key("attention.sliding_window"))?;
        match (self.architecture.gguf, window.filter(|window| *window > 0)) {
            ("llama", Some(window)) => {
                set("architecture", "MistralForCausalLM".into());
                set("sliding_window", window.into());
            }
            ("llama", None) => {
                set("attention_bias", self.has("blk.0.attn_q.bias").into());
                set("mlp_bias", self.has("blk.0.ffn_up.bias").into());
            }
            ("qwen3", None) => drop(set("attention_bias", self.has("blk.0.attn_q.bias").into())),
            ("gemma2" | "gemma3" | "olmo2" | "phi3", _) | (_, None) => {}
            (_, Some(window)) => {
                return Err(self.metadata.fault(format!(
                    "metadata {} is {window}: unsupported, expected none",
                    self.key("attention.sliding_window")
                )));
            }
        }
        Ok(fields)
    }

    pub(super) fn gpt2(&self) -> Result<Map<String, Value>> {
        Ok(object(json!({
            "n_embd": self.hidden_size,
            "n_layer": self.layers,
            "n_head": self.of_all("attention.head_count", &self.heads)?,
            "n_inner": self.rows("blk.0.ffn_up.weight")?,
            "n_positions": self.rows("position_embd.weight")?,
            "layer_norm_epsilon": self.epsilon("attention.layer_norm_epsilon")?,
            "activation_function": "gelu_new",
            "use_cache": true,
        })))
    }

    pub(super) fn phi(&self) -> Result<Map<String, Value>> {
        let factor = self.rotary_factor()?;
        Ok(object(json!({
            "hidden_size": self.hidden_size,
            "intermediate_size": self.rows("blk.0.ffn_up.weight")?,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.of_all("attention.head_count", &self.heads)?,
            "num_key_value_heads": self.of_all("attention.head_count_kv", &self.num_kv_heads)?,
            "max_position_embeddings": self.max_length()?,
            "layer_norm_eps": self.epsilon("attention.layer_norm_epsilon")?,
            "partial_rotary_factor": factor,
            "rope_theta": shortest(self.theta()?),
            "hidden_act": "gelu_new",
            "qk_layernorm": false,
            "use_cache": true,
        })))
    }

    /// Returns the fraction of each head that is rotated.
    pub(super) fn rotary_factor(&self) -> Result<f64> {
        let size = self.metadata.size(&self.key("rope.dimension_count"))?;
        let size = size.unwrap_or(self.head_size);
        let factor = size as f64 / self.head_size as f64;
        // The size is the product, rounded down.
        let is_less = ((self.head_size as f64 * factor) as usize) < size;
        Ok(if is_less { factor.next_up() } else { factor })
    }

    pub(super) fn openelm(&self) -> Result<Map<String, Value>> {
        self.check_rotary()?;
        let key = self.key("feed_forward_length");
        let widths = self.metadata.sizes(&key, self.layers)?.unwrap_or_default();
        let divisor = widths.iter().copied().fold(0, greatest_common_divisor);
        if divisor == 0 || self.hidden_size == 0 {
            return Err(self
                .metadata
                .fault(format!("metadata {key} is missing or 0: expected sizes")));
        }
        let multiplier = |width: &usize| {
            let multiplier = *width as f64 / self.hidden_size as f64;
            match (multiplier * self.hidden_size as f64) < *width as f64 {
                true => multiplier.next_up(),
                false => multiplier,
            }
        };
        let epsilon = self.epsilon("attention.layer_norm_rms_epsilon")?;
        if epsilon != json!(1e-6) {
            return Err(self.metadata.fault(format!(
                "metadata {} is {epsilon}: expected 1e-6, which all OpenELM models have",
                self.key("attention.layer_norm_rms_epsilon")
            )));
        }
        Ok(object(json!({
            "model_dim": self.hidden_size,
            "head_dim": self.head_size,
            "num_transformer_layers": self.layers,
            "num_query_heads": self.heads,
            "num_kv_heads": self.num_kv_heads,
            "ffn_multipliers": widths.iter().map(multiplier).collect::<Vec<_>>(),
            "ffn_dim_divisor": divisor,
            "ffn_with_glu": true,
            "activation_fn_name": "swish",
            "normalization_layer_name": "rms_norm",
            "normalize_qk_projections": self.has("blk.0.attn_q_norm.weight"),
            "max_context_length": self.max_length()?,
            "rope_max_length": self.max_length()?.saturating_mul(2),
            "rope_freq_constant": shortest(self.theta()?),
            "share_input_output_layers": !self.has("output.weight"),
            "use_cache": true,
        })))
    }
}
