//! The architecture of a decoder-only transformer.

use std::path::Path;

use super::fields::MAX_SIZE;
pub use super::mixer::{AttentionConfig, GatedDeltaConfig, KeysAndValues, Mixer, ShortConvConfig};
use super::names::Family;
use super::ops::Activation;
use super::rope_scaling::RopeScaling;
use super::rotary::Rotary;
use crate::error::{Error, Result};

/// The architecture of a decoder-only transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderConfig {
    /// Model family of the file.
    pub family: Family,
    /// Vocabulary size.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Maximum sequence length in tokens.
    pub max_length: usize,
    /// Layers, in order.
    pub layers: Vec<LayerConfig>,
    /// Normalization of the hidden states.
    pub norm: Norm,
    /// Arrangement of attention and feed-forward block.
    pub block: Block,
    /// Feed-forward block.
    pub feed_forward: FeedForward,
    /// Linear layers of queries, keys and values.
    pub query_key_value: QueryKeyValue,
    /// Normalization of queries and keys, if they have one.
    pub qk_norm: Option<QkNorm>,
    /// Whether the values of each head are normalized, without weights.
    pub value_norm: bool,
    /// Growth of the queries with their positions, if they grow.
    pub query_scaling: Option<QueryScaling>,
    /// Whether the file stores the weights of linear layers as \[in, out\].
    pub transposed_weights: bool,
    /// Whether learned position embeddings are added to the token embeddings.
    pub learned_positions: bool,
    /// Factor of the token embeddings.
    pub embedding_scale: f32,
    /// Factor of the outputs of attention and feed-forward block, which are added to the hidden states.
    pub residual_scale: f32,
    /// Inputs of the layers beside the hidden states, if they have any.
    pub per_layer_inputs: Option<PerLayerInputs>,
    /// Whether the file has a constant factor of each layer's output.
    pub layer_scales: bool,
    /// Factor of the logits.
    pub logits_scale: f32,
    /// Soft cap of the logits, if they have one: cap · tanh(logit / cap).
    pub logits_soft_cap: Option<f32>,
    /// Soft cap of the attention scores, if they have one.
    pub attention_soft_cap: Option<f32>,
    /// Which linear layers have biases.
    pub biases: Biases,
    /// Token whose embedding gets no gradient where it is an input, as PyTorch's `padding_idx`.
    pub padding_token: Option<u32>,
    /// Whether the head shares the weights of the token embedding.
    pub tie_word_embeddings: bool,
    /// `bos_token_id` of `config.json`; see [`TextReader::begin_token`](super::TextReader::begin_token).
    pub begin_token: Option<u32>,
    /// `eos_token_id` of `config.json`; see [`TextReader::end_tokens`](super::TextReader::end_tokens).
    pub end_tokens: Vec<u32>,
}

/// The part of the architecture that can differ between layers.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerConfig {
    /// The block that mixes the positions of a text.
    pub mixer: Mixer,
    /// Inner width of the feed-forward block.
    pub intermediate_size: usize,
}

/// Inputs of the layers beside the hidden states, from the tokens and their embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerLayerInputs {
    /// Rows of their embedding; at least the vocabulary size.
    pub vocab_size: usize,
    /// Width of the input of one layer.
    pub size: usize,
}

/// Normalization of hidden states.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// Formula.
    pub kind: NormKind,
    /// Added to the mean square or the variance before the square root.
    pub epsilon: f32,
}

/// Formula of a norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// x / rms(x) · w (Zhang and Sennrich, arXiv:1910.07467).
    RootMeanSquare,
    /// x / rms(x) · (1 + w), as in Gemma.
    RootMeanSquareFromOne,
    /// (x − mean) / deviation · w + b (Ba et al., arXiv:1607.06450).
    Layer,
}

/// Arrangement of attention and feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Each adds its output for the normalized hidden states (pre-norm).
    Sequential,
    /// Pre-norm, with the outputs normalized before they are added.
    Sandwiched,
    /// Both take the same normalized hidden states, and both outputs are added.
    Parallel,
    /// Both take the same hidden states, each with a norm of its own, and both outputs are added.
    ParallelNorms,
    /// Each adds its normalized output for the hidden states themselves.
    PostNorm,
}

impl Block {
    /// Returns whether attention and feed-forward block normalize their inputs.
    pub(super) fn normalizes_inputs(self) -> bool {
        self != Self::PostNorm
    }

    /// Returns whether the feed-forward block takes the attention's normalized input.
    pub(super) fn shares_input(self) -> bool {
        self == Self::Parallel
    }

    /// Returns whether the outputs of attention and feed-forward block are normalized.
    pub(super) fn normalizes_outputs(self) -> bool {
        matches!(self, Self::Sandwiched | Self::PostNorm)
    }
}

/// The linear layers of queries, keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryKeyValue {
    /// One layer each.
    Separate,
    /// One layer each, of which that of the queries also computes gates of the attention's output: query and gate of
    /// the first head, then those of the second.
    Gated,
    /// One layer: the queries of all heads, then the keys, then the values.
    Fused,
    /// One layer: query, key and value of the first head, then those of the second.
    FusedByHead,
}

/// Normalization of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QkNorm {
    /// Each head, before the rotary embedding.
    Heads,
    /// Each head, after the rotary embedding.
    RotatedHeads,
    /// All heads of a token together, before the rotary embedding.
    Whole,
}

/// Growth of the queries with their positions, as in Llama 4: a query at position p is multiplied by
/// 1 + rate · ln(1 + ⌊p / original length⌋).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueryScaling {
    /// Rate of the growth.
    pub rate: f32,
    /// Context length of the original training, within which queries are unchanged; at least 1.
    pub original_length: usize,
}

/// A feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedForward {
    /// First layers.
    pub kind: FeedForwardKind,
    /// Activation function.
    pub activation: Activation,
}

/// The first layers of a feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedForwardKind {
    /// One layer.
    Plain,
    /// A gate and an up projection (Shazeer, arXiv:2002.05202).
    Gated,
    /// Gate and up projection as one layer, the gate first.
    FusedGated,
}

/// Which linear layers have biases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Biases {
    /// The query, key and value projections.
    pub attention: bool,
    /// The output projection of the attention.
    pub attention_output: bool,
    /// The layers of the feed-forward block.
    pub feed_forward: bool,
    /// The head.
    pub head: bool,
}

impl DecoderConfig {
    /// Returns the attention blocks of the layers that have one.
    pub(crate) fn attentions(&self) -> impl Iterator<Item = &AttentionConfig> + Clone {
        self.layers
            .iter()
            .filter_map(|layer| layer.mixer.attention())
    }

    /// Returns the same, to be changed.
    pub(super) fn attentions_mut(&mut self) -> impl Iterator<Item = &mut AttentionConfig> {
        let layers = self.layers.iter_mut();
        layers.filter_map(|layer| layer.mixer.attention_mut())
    }

    /// Returns the width of the heads of the first layer with attention, or 1 without any.
    pub(super) fn head_size(&self) -> usize {
        let mut attentions = self.attentions();
        attentions.next().map_or(1, |attention| attention.head_size)
    }

    /// Returns whether other layers take the keys and values of this one.
    pub(super) fn is_shared(&self, layer: usize) -> bool {
        self.attentions()
            .any(|attention| attention.keys_and_values == KeysAndValues::OfLayer(layer))
    }

    /// Returns the gated delta rule of the layers that have one.
    #[cfg(any(feature = "cli", feature = "web"))]
    pub(super) fn gated_delta(&self) -> Option<&GatedDeltaConfig> {
        self.layers.iter().find_map(|layer| match &layer.mixer {
            Mixer::GatedDelta(delta) => Some(delta),
            Mixer::Attention(_) | Mixer::ShortConv(_) => None,
        })
    }

    /// Returns the rotary embeddings of the layers that have one.
    pub(super) fn rotaries(&self) -> impl Iterator<Item = &Rotary> {
        self.attentions()
            .filter_map(|attention| attention.rotary.as_ref())
    }

    /// Returns the same, to be changed.
    pub(super) fn rotaries_mut(&mut self) -> impl Iterator<Item = &mut Rotary> {
        self.attentions_mut()
            .filter_map(|attention| attention.rotary.as_mut())
    }

    /// Returns a number that is the same for sequences whose lengths give the same rotary frequencies: one
    /// batch of them computes what each would alone.
    pub(crate) fn rope_variant(&self, sequence: usize) -> usize {
        let variants = self
            .rotaries()
            .map(|rotary| rotary.scaling.variant(sequence));
        variants.max().unwrap_or(0)
    }

    /// Returns whether texts beyond a certain length have other rotary frequencies, so that keys cached
    /// before are of no use. Where each length has its own frequencies, cached keys are kept, as in
    /// `transformers`.
    pub(super) fn switches_frequencies(&self) -> bool {
        self.rotaries()
            .any(|rotary| matches!(rotary.scaling, RopeScaling::LongRope { .. }))
    }

    /// Checks that the sizes, each in range, are consistent.
    pub(super) fn check(&self, path: &Path) -> Result<()> {
        let fault = |message: String| {
            Err(Error::Config {
                path: path.to_path_buf(),
                message,
            })
        };
        for (number, layer) in self.layers.iter().enumerate() {
            if let Mixer::GatedDelta(delta) = &layer.mixer {
                delta.check(number).or_else(fault)?;
            }
            let Some(attention) = layer.mixer.attention() else {
                continue;
            };
            let of = |layer: usize| self.layers.get(layer)?.mixer.attention();
            attention.check(number, of).or_else(fault)?;
        }
        if let Some(inputs) = self.per_layer_inputs {
            let width = inputs.size.saturating_mul(self.layers.len());
            if width > MAX_SIZE {
                return fault(format!(
                    "the inputs of {} layers have size {}: expected a product of at most {MAX_SIZE}",
                    self.layers.len(),
                    inputs.size
                ));
            }
        }
        for (name, cap) in [
            ("attention scores", self.attention_soft_cap),
            ("logits", self.logits_soft_cap),
        ] {
            if let Some(cap) = cap.filter(|cap| !(cap.is_finite() && *cap > 0.0)) {
                return fault(format!(
                    "the soft cap of the {name} is {cap}: expected a finite number above 0, or null"
                ));
            }
        }
        let query_rate = self.query_scaling.map_or(0.0, |scaling| scaling.rate);
        for (name, value) in [
            ("epsilon of the norms", self.norm.epsilon),
            ("embedding scale", self.embedding_scale),
            ("residual scale", self.residual_scale),
            ("logits scale", self.logits_scale),
            ("rate of the query scaling", query_rate),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return fault(format!("the {name} is {value}: expected at least 0"));
            }
        }
        Ok(())
    }
}
