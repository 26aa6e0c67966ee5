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
    /// Width of a head.
    pub head_size: usize,
    /// Where keys and values come from.
    pub keys_and_values: KeysAndValues,
    /// Size of the attention window, the query's own position included; `usize::MAX` for no window.
    pub window: usize,
    /// Rotary embedding, if the layer has one.
    pub rotary: Option<Rotary>,
    /// Factor of the products of queries and keys.
    pub scale: f32,
}

/// Where the keys and values of an attention block come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysAndValues {
    /// Projections of its own.
    Projected,
    /// A projection of its own to the keys, which are the values as well, before norm and rotary embedding.
    Keys,
    /// The keys and values of an earlier layer, which has projections.
    OfLayer(usize),
}

impl KeysAndValues {
    /// Returns whether there is a projection to keys.
    pub(super) fn has_keys(self) -> bool {
        matches!(self, Self::Projected | Self::Keys)
    }

    /// Returns whether there is a projection to values.
    pub(super) fn has_values(self) -> bool {
        self == Self::Projected
    }
}

impl AttentionConfig {
    /// Checks that the sizes are consistent, for a layer of that number; `of` is the attention block of a layer.
    pub(super) fn check<'a>(
        &self,
        number: usize,
        of: impl Fn(usize) -> Option<&'a Self>,
    ) -> Result<(), String> {
        let Self {
            heads,
            num_kv_heads,
            head_size,
            ..
        } = *self;
        if head_size == 0 {
            return Err("the size of attention heads is 0: expected at least 1".to_string());
        }
        if !heads.is_multiple_of(num_kv_heads) {
            return Err(format!(
                "layer {number} has {heads} attention heads: expected a multiple of its {num_kv_heads} key and \
                 value heads"
            ));
        }
        if heads.saturating_mul(head_size) > MAX_SIZE {
            return Err(format!(
                "layer {number} has {heads} attention heads of size {head_size}: expected a product of at most \
                 {MAX_SIZE}"
            ));
        }
        if let KeysAndValues::OfLayer(other) = self.keys_and_values {
            let sizes = |attention: &Self| (attention.num_kv_heads, attention.head_size);
            let found = of(other).map(sizes);
            if found != Some(sizes(self)) {
                let (heads, size) = found.unwrap_or_default();
                return Err(format!(
                    "layer {number} has {num_kv_heads} key and value heads of size {head_size}, but those of layer \
                     {other}, which it shares, are {heads} of size {size}"
                ));
            }
        }
        if self.window == 0 {
            return Err("sliding_window is 0: expected at least 1, or null".to_string());
        }
        if !self.scale.is_finite() {
            return Err(format!(
                "the attention scale is {}: expected a finite number",
                self.scale
            ));
        }
        match &self.rotary {
            Some(rotary) => rotary.check(head_size),
            None => Ok(()),
        }
    }
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
