//! Gemma 3, text only (Gemma Team, arXiv:2503.19786): scaled embeddings, norms around each block whose
//! weights count from 1, normalised heads, and layers with windows and a short wavelength among layers
//! with neither.

use super::{Family, activation, llama, rope, windows};
use crate::error::Result;
use crate::model::config::{Block, DecoderConfig, FeedForward, FeedForwardKind, Norm, NormKind};
use crate::model::fields::Fields;
use crate::model::parameters::ParameterNames;
use crate::model::rotary::{RopeScaling, Rotary};

pub(super) const NAMES: ParameterNames = ParameterNames {
    attention_output_norm: "post_attention_layernorm",
    feed_forward_norm: "pre_feedforward_layernorm",
    feed_forward_output_norm: "post_feedforward_layernorm",
    ..llama::NAMES
};

/// What files without the fields mean.
const DEFAULT_HEAD_SIZE: usize = 256;
const DEFAULT_QUERY_SCALE: f32 = 256.0;
const DEFAULT_WINDOW: usize = 4096;
const DEFAULT_PATTERN: usize = 6;
const DEFAULT_LENGTH: usize = 131_072;
const DEFAULT_THETA: f64 = 1_000_000.0;
const DEFAULT_LOCAL_THETA: f64 = 10_000.0;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    fields.refuse("attn_logit_softcapping")?;
    fields.refuse("final_logit_softcapping")?;
    if fields.or("use_bidirectional_attention", false)? {
        let message = "use_bidirectional_attention is true: only models that see what came before \
                       are supported";
        return Err(fields.fault(message.to_string()));
    }
    let head_size = fields
        .optional_size("head_dim")?
        .unwrap_or(DEFAULT_HEAD_SIZE);
    let mut config = llama::with_head_size(fields, head_size)?;
    config.family = Family::Gemma3;
    config.max_length = fields
        .optional_size("max_position_embeddings")?
        .unwrap_or(DEFAULT_LENGTH);
    config.norm = Norm {
        kind: NormKind::RootMeanSquareFromOne,
        ..config.norm
    };
    config.block = Block::Sandwiched;
    config.norms_of_heads = true;
    config.embedding_scale = (config.hidden_size as f32).sqrt();
    config.feed_forward = FeedForward {
        kind: FeedForwardKind::Gated,
        activation: activation(fields, "hidden_activation", "gelu_pytorch_tanh")?,
    };
    config.tied_head = fields.or("tie_word_embeddings", true)?;

    let layers = config.layers.len();
    let pattern = fields
        .optional_size("sliding_window_pattern")?
        .unwrap_or(DEFAULT_PATTERN);
    let sliding = windows::sliding(fields, layers, |layer| !(layer + 1).is_multiple_of(pattern))?;
    let window = fields.or("sliding_window", DEFAULT_WINDOW)?;
    windows::set(&mut config.layers, &sliding, window);
    let [global, local] = rotaries(fields, head_size, config.max_length)?;
    let scale = fields.or("query_pre_attn_scalar", DEFAULT_QUERY_SCALE)?;
    if !(scale.is_finite() && scale > 0.0) {
        return Err(fields.fault(format!(
            "query_pre_attn_scalar is {scale}: expected more than 0"
        )));
    }
    for (layer, sliding) in config.layers.iter_mut().zip(sliding) {
        layer.rotary = Some(if sliding { local } else { global });
        layer.attention_scale = 1.0 / scale.sqrt();
    }
    Ok(config)
}

/// How layers without and with windows turn.
fn rotaries(fields: &Fields<'_>, head_size: usize, max_length: usize) -> Result<[Rotary; 2]> {
    let rotary = |theta, scaling| Rotary {
        size: head_size,
        theta,
        scaling,
    };
    // One object for each kind of layer, or fields beside each other, whose scaling is the global
    // layers' alone.
    let parameters = fields.object("rope_parameters")?;
    if let Some(parameters) = parameters.filter(|object| object.has("full_attention")) {
        let read = |name: &str, usual: f64| -> Result<Rotary> {
            let Some(fields) = parameters.object(name)? else {
                return Ok(rotary(usual, RopeScaling::None));
            };
            let theta = fields.or("rope_theta", usual)?;
            Ok(rotary(theta, rope::scaling(&fields, max_length)?))
        };
        return Ok([
            read("full_attention", DEFAULT_THETA)?,
            read("sliding_attention", DEFAULT_LOCAL_THETA)?,
        ]);
    }
    let mut global = rope::rotary(fields, head_size, max_length)?;
    if !fields.has("rope_theta") && !fields.has("rope_parameters") {
        global.theta = DEFAULT_THETA;
    }
    let local = fields.or("rope_local_base_freq", DEFAULT_LOCAL_THETA)?;
    Ok([global, rotary(local, RopeScaling::None)])
}
