//! The fields of `config.json` of Gemma 2 and 3.

use serde_json::{Map, Value, json};

use super::{DEFAULT_THETA, Description, object, shortest};
use crate::error::Result;

/// Layers of the models with 27B parameters of Gemma 2 and 3, whose attention is scaled by another size than that
/// of its heads.
const LAYERS_OF_27B: [usize; 2] = [46, 62];
/// One layer of so many has global attention, in Gemma 2 and 3.
const PATTERNS: [usize; 2] = [2, 6];

/// llama.cpp's defaults for Gemma 2.
const DEFAULT_WINDOW: usize = 4096;
const DEFAULT_ATTENTION_CAP: f64 = 50.0;
const DEFAULT_LOGITS_CAP: f64 = 30.0;

impl Description<'_> {
    pub(super) fn gemma2(&self) -> Result<Map<String, Value>> {
        let cap = |name: &str, default: f64| -> Result<Value> {
            let found = self.metadata.float(&self.key(name))?;
            Ok(shortest(found.unwrap_or(default)))
        };
        let window = self.window()?.unwrap_or(DEFAULT_WINDOW);
        let mut fields = self.gemma(Some(window), PATTERNS[0], LAYERS_OF_27B[0])?;
        fields.append(&mut object(json!({
            "attn_logit_softcapping": cap("attn_logit_softcapping", DEFAULT_ATTENTION_CAP)?,
            "final_logit_softcapping": cap("final_logit_softcapping", DEFAULT_LOGITS_CAP)?,
        })));
        Ok(fields)
    }

    pub(super) fn gemma3(&self) -> Result<Map<String, Value>> {
        let local = self.metadata.float(&self.key("rope.freq_base_swa"))?;
        let mut fields = self.gemma(self.window()?, PATTERNS[1], LAYERS_OF_27B[1])?;
        let local = shortest(local.unwrap_or(DEFAULT_THETA));
        fields.insert("rope_local_base_freq".to_string(), local);
        Ok(fields)
    }

    /// Returns the fields of both. Without a window, all layers are global.
    fn gemma(
        &self,
        window: Option<usize>,
        pattern: usize,
        layers_of_27b: usize,
    ) -> Result<Map<String, Value>> {
        let mut fields = self.llama()?;
        fields.remove("hidden_act");
        let scale = if self.layers == layers_of_27b {
            self.hidden_size / self.heads[0].max(1)
        } else {
            self.head_size
        };
        let kind = |layer: usize| match window {
            Some(_) if !(layer + 1).is_multiple_of(pattern) => "sliding_attention",
            _ => "full_attention",
        };
        fields.append(&mut object(json!({
            "hidden_activation": "gelu_pytorch_tanh",
            "query_pre_attn_scalar": scale,
            "sliding_window": window,
            "layer_types": (0..self.layers).map(kind).collect::<Vec<_>>(),
            "attention_bias": false,
        })));
        Ok(fields)
    }
}
