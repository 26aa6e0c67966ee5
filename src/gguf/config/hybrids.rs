//! The fields of `config.json` of the families whose layers are not all attention.

use serde_json::{Map, Value, json};

use super::{Description, object};
use crate::error::Result;
use crate::gguf::value_heads::{HeadSizes, ValueHeads};

/// Qwen3.5 has attention in each fourth layer by default.
const INTERVAL: usize = 4;

impl Description<'_> {
    /// Returns the sizes of the heads.
    pub(in crate::gguf) fn head_sizes(&self) -> Result<HeadSizes> {
        let values = match self.architecture.gguf {
            "qwen35" => self.value_heads()?,
            _ => ValueHeads::NONE,
        };
        Ok(HeadSizes {
            attention: self.head_size,
            values,
        })
    }

    fn value_heads(&self) -> Result<ValueHeads> {
        let size = |name: &str| self.metadata.required_size(&self.key(name));
        let (heads, key_heads) = (size("ssm.time_step_rank")?, size("ssm.group_count")?);
        let inner = size("ssm.inner_size")?;
        if key_heads == 0 || heads == 0 || !heads.is_multiple_of(key_heads) {
            return Err(self.metadata.fault(format!(
                "metadata {} is {heads}: expected a multiple of {}, which is {key_heads}",
                self.key("ssm.time_step_rank"),
                self.key("ssm.group_count")
            )));
        }
        if inner == 0 || !inner.is_multiple_of(heads) {
            return Err(self.metadata.fault(format!(
                "metadata {} is {inner}: expected a multiple of {}, which is {heads}",
                self.key("ssm.inner_size"),
                self.key("ssm.time_step_rank")
            )));
        }
        Ok(ValueHeads {
            heads,
            key_heads,
            size: inner / heads,
        })
    }

    pub(super) fn qwen3_5(&mut self) -> Result<Map<String, Value>> {
        self.fill_heads();
        let ValueHeads {
            heads,
            key_heads,
            size,
        } = self.value_heads()?;
        let interval = self.metadata.size(&self.key("full_attention_interval"))?;
        let required = |name: &str| self.metadata.required_size(&self.key(name));
        let mut fields = self.like_llama()?;
        fields.append(&mut object(json!({
            "partial_rotary_factor": self.rotary_factor()?,
            "attention_bias": false,
            "full_attention_interval": interval.unwrap_or(INTERVAL),
            "linear_num_value_heads": heads,
            "linear_num_key_heads": key_heads,
            "linear_value_head_dim": size,
            "linear_key_head_dim": required("ssm.state_size")?,
            "linear_conv_kernel_dim": required("ssm.conv_kernel")?,
        })));
        Ok(fields)
    }

    /// Sets the heads of layers without attention to those of the others.
    fn fill_heads(&mut self) {
        for heads in [&mut self.heads, &mut self.num_kv_heads] {
            let of_attention = heads.iter().copied().find(|&heads| heads > 0);
            let without = heads.iter_mut().filter(|heads| **heads == 0);
            without.for_each(|heads| *heads = of_attention.unwrap_or(1));
        }
    }

    /// Layers with short convolutions have no key and value heads.
    pub(super) fn lfm2(&mut self) -> Result<Map<String, Value>> {
        let kind = |&heads: &usize| match heads {
            0 => "conv",
            _ => "full_attention",
        };
        let kinds: Vec<&str> = self.num_kv_heads.iter().map(kind).collect();
        self.fill_heads();
        let taps = self
            .metadata
            .required_size(&self.key("shortconv.l_cache"))?;
        let mut fields = self.llama_with(json!({
            "norm_eps": self.epsilon("attention.layer_norm_rms_epsilon")?,
            "conv_L_cache": taps,
            "conv_bias": false,
            // The width is that of the weights.
            "block_auto_adjust_ff_dim": false,
            "layer_types": kinds,
        }))?;
        fields.retain(|field, _| !matches!(field.as_str(), "rms_norm_eps" | "hidden_act"));
        Ok(fields)
    }
}
