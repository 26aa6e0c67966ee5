//! The fields of `config.json` of the families that differ from Llama in few of them.

use serde_json::{Map, Value, json};

use super::{Description, object, shortest};
use crate::error::Result;

/// SmolLM3 has no rotary embedding in each fourth layer, and OLMo 3 full attention.
const PATTERN: usize = 4;

impl Description<'_> {
    pub(super) fn smollm3(&self) -> Result<Map<String, Value>> {
        self.llama_with(json!({
            "no_rope_layer_interval": PATTERN,
            "attention_bias": false,
            "mlp_bias": false,
        }))
    }

    pub(super) fn granite(&self) -> Result<Map<String, Value>> {
        let scale = |name: &str, default: f64| -> Result<Value> {
            let found = self.metadata.float(&self.key(name))?;
            // 0 stands for the default, as in llama.cpp.
            Ok(shortest(
                found.filter(|&scale| scale != 0.0).unwrap_or(default),
            ))
        };
        let attention_scale = 1.0 / (self.head_size as f64).sqrt();
        self.llama_with(json!({
            "attention_multiplier": scale("attention.scale", attention_scale)?,
            "embedding_multiplier": scale("embedding_scale", 1.0)?,
            "residual_multiplier": scale("residual_scale", 1.0)?,
            "logits_scaling": scale("logit_scale", 1.0)?,
            "attention_bias": self.has("blk.0.attn_q.bias"),
            "mlp_bias": self.has("blk.0.ffn_up.bias"),
        }))
    }

    pub(super) fn phi3(&self) -> Result<Map<String, Value>> {
        let mut fields = self.like_llama()?;
        fields.append(&mut object(json!({
            "partial_rotary_factor": self.rotary_factor()?,
            "original_max_position_embeddings": self.max_length()?,
            "sliding_window": self.window()?,
        })));
        Ok(fields)
    }

    pub(super) fn olmo2(&self) -> Result<Map<String, Value>> {
        let mut fields = self.llama_with(json!({ "attention_bias": false }))?;
        if let Some(window) = self.window()? {
            let kind = |layer: usize| match layer % PATTERN {
                last if last + 1 == PATTERN => "full_attention",
                _ => "sliding_attention",
            };
            fields.append(&mut object(json!({
                "architecture": "Olmo3ForCausalLM",
                "sliding_window": window,
                "layer_types": (0..self.layers).map(kind).collect::<Vec<_>>(),
            })));
        }
        Ok(fields)
    }

    pub(super) fn ernie4_5(&self) -> Result<Map<String, Value>> {
        self.llama_with(json!({ "use_bias": false }))
    }

    pub(super) fn hunyuan(&self) -> Result<Map<String, Value>> {
        self.llama_with(json!({
            "attention_bias": false,
            "use_qk_norm": self.has("blk.0.attn_q_norm.weight"),
        }))
    }

    pub(super) fn gpt_neox(&self) -> Result<Map<String, Value>> {
        let key = self.key("use_parallel_residual");
        let theta = shortest(self.theta()?);
        Ok(object(json!({
            "hidden_size": self.hidden_size,
            "intermediate_size": self.rows("blk.0.ffn_up.weight")?,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.of_all("attention.head_count", &self.heads)?,
            "max_position_embeddings": self.max_length()?,
            "layer_norm_eps": self.epsilon("attention.layer_norm_epsilon")?,
            "rotary_pct": self.rotary_factor()?,
            "rotary_emb_base": theta.clone(),
            "rope_theta": theta,
            "use_parallel_residual": self.metadata.flag(&key)?.unwrap_or(true),
            "attention_bias": self.has("blk.0.attn_qkv.bias"),
            "hidden_act": "gelu",
            "use_cache": true,
        })))
    }

    /// Returns the fields of Llama, and these.
    pub(super) fn llama_with(&self, fields: Value) -> Result<Map<String, Value>> {
        let mut all = self.llama()?;
        all.append(&mut object(fields));
        Ok(all)
    }
}
