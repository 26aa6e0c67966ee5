//! The activations that the layers of a decoder keep for the backward pass.

use crate::model::ops::Activation;
use crate::model::{
    AttentionConfig, Block, DecoderConfig, FeedForwardKind, GatedDeltaConfig, KeysAndValues,
    LayerConfig, Mixer, NormKind, QueryKeyValue,
};

/// Returns the number of values that a layer of [`crate::model`] keeps for its backward pass; `composed` says that its
/// attention has no kernel.
pub(super) fn kept_by_layer(
    composed: bool,
    config: &DecoderConfig,
    layer: &LayerConfig,
    [batch, length]: [u64; 2],
) -> u64 {
    let [hidden, inner] = [config.hidden_size, layer.intermediate_size].map(|size| size as u64);
    let norms = match config.block {
        Block::Parallel => 1,
        Block::Sequential | Block::ParallelNorms | Block::PostNorm => 2,
        Block::Sandwiched => 4,
    };
    // A norm keeps its input, and the next layers keep its output; a composed norm also keeps its
    // intermediate results.
    let norm = match config.norm.kind {
        NormKind::Layer => 4,
        NormKind::RootMeanSquare | NormKind::RootMeanSquareFromOne => 2,
    };
    let mixer = match &layer.mixer {
        Mixer::Attention(attention) => kept_by_attention(config, attention),
        // The output of the first linear layer, the input and output of the convolution, and their product.
        Mixer::ShortConv(_) => 6 * hidden,
        Mixer::GatedDelta(delta) => kept_by_gated_delta(delta),
    };
    // The activation's input, intermediate results and output, and the other factor of the gate.
    let feed_forward = match (config.feed_forward.kind, config.feed_forward.activation) {
        (FeedForwardKind::Plain, _) => 4,
        (_, Activation::Silu) => 3,
        (_, _) => 6,
    };
    let whole_gate = match config.feed_forward.kind {
        FeedForwardKind::FusedGated => 2 * inner,
        _ => 0,
    };
    // As a feed-forward block, with the input of its norm.
    let layer_input = config.per_layer_inputs.map_or(0, |inputs| {
        feed_forward * inputs.size as u64 + (1 + norm) * hidden
    });
    let row = norms * norm * hidden + mixer + feed_forward * inner + whole_gate + layer_input;
    // The attention weights and the mask, and with a soft cap the scores' hyperbolic tangents.
    let matrices = if config.attention_soft_cap.is_some() {
        3
    } else {
        2
    };
    let scores = match layer.mixer.attention() {
        Some(attention) if composed => matrices * batch * attention.heads as u64 * length * length,
        _ => 0,
    };
    batch * length * row + scores
}

/// Returns the values that a gated delta rule keeps per position.
fn kept_by_gated_delta(delta: &GatedDeltaConfig) -> u64 {
    let [keys, values] = delta.widths().map(|width| width as u64);
    let mixed = 2 * keys + values;
    // The input and output of the convolution, whose parts are kept as queries, keys and values; the normalized
    // queries and keys; the outputs of the rule and of its norm, the gate, and their product. The gates of the
    // states are of a few operations each.
    2 * mixed + 2 * keys + 4 * values + 12 * delta.heads as u64
}

/// Returns the values that an attention block keeps per position.
fn kept_by_attention(config: &DecoderConfig, attention: &AttentionConfig) -> u64 {
    let [queries, keys] = [attention.heads, attention.num_kv_heads]
        .map(|heads| heads as u64 * attention.head_size as u64);
    // How many projections there are to keys and values.
    let projections = match attention.keys_and_values {
        KeysAndValues::Projected => 2,
        KeysAndValues::Keys => 1,
        KeysAndValues::OfLayer(_) => 0,
    };
    // Those that are not projected are kept once, by the layer that they are from.
    let pair = if projections > 0 { 2 * keys } else { 0 };
    // Queries, keys and values before their norms.
    let unnormalised = match (config.qk_norm, config.value_norm) {
        (Some(_), true) => queries + projections * keys,
        (Some(_), false) => queries + keys,
        (None, _) => 0,
    };
    // The gates, and the output after them.
    let gates = match config.query_key_value {
        QueryKeyValue::Gated => 2 * queries,
        _ => 0,
    };
    unnormalised + queries + pair + queries + gates
}
