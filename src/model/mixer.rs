//! The blocks of a decoder's layers that mix the positions of a text.

use super::fields::MAX_SIZE;
use super::rotary::Rotary;

/// The block of a layer that mixes the positions of a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Mixer {
    /// Causal grouped-query attention.
    Attention(AttentionConfig),
    /// A gated short convolution.
    ShortConv(ShortConvConfig),
    /// Linear attention with the gated delta rule.
    GatedDelta(GatedDeltaConfig),
}

/// An attention block.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionConfig {
    /// Number of attention heads.
    pub heads: usize,
    /// Number of key and value heads; divides `heads`.
    pub num_kv_heads: usize,
    /// Size of the attention window, the query's own position included; `usize::MAX` for no window.
    pub window: usize,
    /// Rotary embedding, if the layer has one.
    pub rotary: Option<Rotary>,
    /// Factor of the products of queries and keys.
    pub scale: f32,
}

/// A gated short convolution, as in LFM2 (Liquid AI, arXiv:2511.23404): one linear layer computes b, c and x, each
/// as wide as the hidden states, and another takes c ⊙ convolution(b ⊙ x).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortConvConfig {
    /// Number of positions of the convolution, the own position included.
    pub taps: usize,
    /// Whether the convolution and both linear layers have biases.
    pub biases: bool,
}

/// Linear attention with the gated delta rule (Yang et al., arXiv:2412.06464), as in Qwen3-Next and Qwen3.5: linear
/// layers and a short convolution compute queries, keys and values, whose outputs are normalized and gated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatedDeltaConfig {
    /// Number of value heads, each with a state.
    pub heads: usize,
    /// Number of query and key heads; divides `heads`.
    pub key_heads: usize,
    /// Width of a query or key head.
    pub key_size: usize,
    /// Width of a value head.
    pub value_size: usize,
    /// Number of positions of the convolution, the own position included.
    pub taps: usize,
}

impl GatedDeltaConfig {
    /// Returns the width of all queries or keys, and that of all values.
    pub(crate) fn widths(&self) -> [usize; 2] {
        [self.key_heads * self.key_size, self.heads * self.value_size]
    }

    /// Checks that the sizes are consistent, for a layer of that number.
    pub(super) fn check(&self, number: usize) -> Result<(), String> {
        let Self {
            heads, key_heads, ..
        } = *self;
        if !heads.is_multiple_of(key_heads) {
            return Err(format!(
                "layer {number} has {heads} value heads: expected a multiple of its {key_heads} key heads"
            ));
        }
        for (kind, heads, size) in [
            ("key", key_heads, self.key_size),
            ("value", heads, self.value_size),
        ] {
            if heads.saturating_mul(size) > MAX_SIZE / 4 {
                return Err(format!(
                    "layer {number} has {heads} {kind} heads of size {size}: expected a product of at most {}",
                    MAX_SIZE / 4
                ));
            }
        }
        Ok(())
    }
}

impl Mixer {
    /// Returns the attention block, if it is one.
    pub fn attention(&self) -> Option<&AttentionConfig> {
        match self {
            Self::Attention(attention) => Some(attention),
            Self::ShortConv(_) | Self::GatedDelta(_) => None,
        }
    }

    /// Returns the same, to be changed.
    pub(super) fn attention_mut(&mut self) -> Option<&mut AttentionConfig> {
        match self {
            Self::Attention(attention) => Some(attention),
            Self::ShortConv(_) | Self::GatedDelta(_) => None,
        }
    }
}
