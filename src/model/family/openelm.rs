//! OpenELM (Mehta et al., arXiv:2404.14619): Llama with heads and widths that vary by layer, QK norm, a
//! fused query, key and value projection, and a fused gate and up projection.

use super::description::{Description, activation};
use crate::error::Result;
use crate::model::config::{
    AttentionConfig, Biases, Block, DecoderConfig, FeedForward, FeedForwardKind, KeysAndValues,
    LayerConfig, Mixer, Norm, NormKind, QkNorm, QueryKeyValue,
};
use crate::model::fields::Fields;
use crate::model::names::{Family, ParameterNames};
use crate::model::rope_scaling::RopeScaling;
use crate::model::rotary::Rotary;

pub(super) const DESCRIPTION: Description = Description {
    architecture: "OpenELMForCausalLM",
    model_type: "openelm",
    parse: describe,
};

const FAMILY: Family = Family {
    name: "OpenELM",
    tensors: &NAMES,
};

pub(super) const NAMES: ParameterNames = ParameterNames {
    embedding: "transformer.token_embeddings",
    layer: "transformer.layers",
    attention_norm: "attn_norm",
    query_key_value: "attn.qkv_proj",
    query_norm: "attn.q_norm",
    key_norm: "attn.k_norm",
    attention_output: "attn.out_proj",
    feed_forward_norm: "ffn_norm",
    up: "ffn.proj_1",
    gate_and_up: "ffn.proj_1",
    down: "ffn.proj_2",
    norm: "transformer.norm",
    head: "lm_head",
    tie: "share_input_output_layers",
    // Tables that exports may contain, and an unused head.
    ignored: &[".pos_embedding.inv_freq", "transformer.classifier.weight"],
    ..ParameterNames::NONE
};

/// Epsilon of the norms, which the files do not contain.
const NORM_EPSILON: f32 = 1e-6;
/// Default of `ffn_dim_divisor`.
const DEFAULT_DIVISOR: usize = 256;

pub(super) fn describe(fields: &Fields<'_>) -> Result<DecoderConfig> {
    let norm: String = fields.or("normalization_layer_name", "rms_norm".to_string())?;
    if norm != "rms_norm" {
        return Err(fields.fault(format!(
            "normalization_layer_name is {norm}: expected rms_norm"
        )));
    }
    let hidden_size = fields.size("model_dim")?;
    let head_size = fields.size("head_dim")?;
    let count = fields.layers("num_transformer_layers")?;
    let of_layers = |name: &str| fields.for_layers(name, fields.sizes(name)?, count);
    let heads = of_layers("num_query_heads")?;
    let num_kv_heads = of_layers("num_kv_heads")?;
    let widths = widths(fields, hidden_size, count)?;
    let rotary = Rotary {
        size: head_size,
        theta: fields.or("rope_freq_constant", 10_000.0)?,
        scaling: RopeScaling::None,
        interleaved: false,
    };
    let layers = heads.into_iter().zip(num_kv_heads).zip(widths);
    let layers = layers.map(|((heads, num_kv_heads), intermediate_size)| LayerConfig {
        mixer: Mixer::Attention(AttentionConfig {
            heads,
            num_kv_heads,
            head_size,
            keys_and_values: KeysAndValues::Projected,
            window: usize::MAX,
            rotary: Some(rotary.clone()),
            scale: 1.0 / (head_size as f32).sqrt(),
        }),
        intermediate_size,
    });
    let gated = fields.or("ffn_with_glu", true)?;
    let normalized: bool = fields.or("normalize_qk_projections", true)?;
    Ok(DecoderConfig {
        family: FAMILY,
        vocab_size: fields.at_least_two("vocab_size")?,
        hidden_size,
        max_length: fields.optional_size("max_context_length")?.unwrap_or(2048),
        layers: layers.collect(),
        norm: Norm {
            kind: NormKind::RootMeanSquare,
            epsilon: NORM_EPSILON,
        },
        block: Block::Sequential,
        feed_forward: FeedForward {
            kind: if gated {
                FeedForwardKind::FusedGated
            } else {
                FeedForwardKind::Plain
            },
            activation: activation(fields, "activation_fn_name", "swish")?,
        },
        query_key_value: QueryKeyValue::Fused,
        qk_norm: normalized.then_some(QkNorm::Heads),
        value_norm: false,
        query_scaling: None,
        transposed_weights: false,
        learned_positions: false,
        embedding_scale: 1.0,
        residual_scale: 1.0,
        per_layer_inputs: None,
        layer_scales: false,
        logits_scale: 1.0,
        logits_soft_cap: None,
        attention_soft_cap: None,
        biases: Biases::default(),
        padding_token: None,
        tie_word_embeddings: fields.or(NAMES.tie, true)?,
        begin_token: fields.token_ids("bos_token_id")?.first().copied(),
        end_tokens: fields.token_ids("eos_token_id")?,
    })
}

/// Returns the inner width of each layer's feed-forward block: a multiple of the hidden size, rounded to
/// the divisor as in MobileNet.
fn widths(fields: &Fields<'_>, hidden_size: usize, layers: usize) -> Result<Vec<usize>> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Multipliers {
        One(f64),
        Each(Vec<f64>),
    }
    let multipliers = match fields.required("ffn_multipliers")? {
        Multipliers::One(multiplier) => vec![multiplier; layers],
        Multipliers::Each(ends) if ends.len() == 2 && layers > 2 => interpolated(&ends, layers),
        Multipliers::Each(list) => fields.for_layers("ffn_multipliers", list, layers)?,
    };
    let divisor = fields
        .optional_size("ffn_dim_divisor")?
        .unwrap_or(DEFAULT_DIVISOR);
    let width = |multiplier: f64| {
        let width = multiplier * hidden_size as f64;
        if !(1.0..=1e7).contains(&width) {
            return Err(fields.fault(format!(
                "ffn_multipliers has {multiplier}: expected a width from 1 to 10,000,000"
            )));
        }
        let nearest = (width as usize + divisor / 2) / divisor * divisor;
        let nearest = nearest.max(divisor);
        // Rounding must not reduce the width by more than 10 %.
        Ok(if (nearest as f64) < 0.9 * width {
            nearest + divisor
        } else {
            nearest
        })
    };
    multipliers.into_iter().map(width).collect()
}

/// Interpolates linearly from the first layer's multiplier to the last's, rounded to two decimals.
fn interpolated(ends: &[f64], layers: usize) -> Vec<f64> {
    let step = (ends[1] - ends[0]) / (layers - 1) as f64;
    (0..layers)
        .map(|layer| ((ends[0] + step * layer as f64) * 100.0).round() / 100.0)
        .collect()
}
