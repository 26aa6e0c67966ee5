//! What a model is made of, as its `config.json` says.

use std::path::Path;

use serde_json::{Map, Value};

use super::family::{self, Family};
use super::fields::{Fields, LARGEST};
use super::ops::Activation;
use super::rotary::Rotary;
use crate::error::{Error, Result};

/// The sizes and choices of a decoder-only transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderConfig {
    /// Which family's file described it.
    pub family: Family,
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width of a head.
    pub head_size: usize,
    /// Longest sequence the model was made for, in tokens.
    pub max_length: usize,
    /// Its layers, in order.
    pub layers: Vec<LayerConfig>,
    /// How hidden states are normalised.
    pub norm: Norm,
    /// How attention and feed-forward block follow each other.
    pub block: Block,
    /// What the feed-forward block is.
    pub feed_forward: FeedForward,
    /// Whether one linear layer makes queries, keys and values.
    pub fused_attention: bool,
    /// Whether queries and keys of each head are normalised before they turn.
    pub norms_of_heads: bool,
    /// Whether the file has linear layers' weights as \[in, out\].
    pub transposed_weights: bool,
    /// Whether positions are learned vectors that are added to the embedding.
    pub learned_positions: bool,
    /// What the embedding is multiplied by.
    pub embedding_scale: f32,
    /// Which linear layers have biases.
    pub biases: Biases,
    /// Whether the head is the embedding.
    pub tied_head: bool,
    /// Token that begins a text, if the model has one.
    pub begin_token: Option<u32>,
    /// Tokens that end a text.
    pub end_tokens: Vec<u32>,
}

/// What can differ from layer to layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerConfig {
    /// Attention heads.
    pub heads: usize,
    /// Heads of keys and values; divides `heads`.
    pub key_heads: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Positions that a query sees, its own and those before it; `usize::MAX` for all of them.
    pub window: usize,
    /// How queries and keys turn with their position, if they do.
    pub rotary: Option<Rotary>,
    /// What the products of queries and keys are multiplied by.
    pub attention_scale: f32,
}

/// How hidden states are normalised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// By which formula.
    pub kind: NormKind,
    /// Added to the mean square, or to the variance, before the root.
    pub epsilon: f32,
}

/// The formula of a norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// x / rms(x) · w (Zhang and Sennrich, arXiv:1910.07467).
    RootMeanSquare,
    /// x / rms(x) · (1 + w), as in Gemma.
    RootMeanSquareFromOne,
    /// (x − mean) / deviation · w + b (Ba et al., arXiv:1607.06450).
    Layer,
}

/// How attention and feed-forward block follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Each adds to the hidden states what it makes of their norm.
    Sequential,
    /// The same, and what each makes is normalised again before it is added.
    Sandwiched,
    /// Both make something of the same norm, and both are added.
    Parallel,
}

/// What the feed-forward block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedForward {
    /// Its first layers.
    pub kind: FeedForwardKind,
    /// The function between its layers.
    pub activation: Activation,
}

/// The first layers of a feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedForwardKind {
    /// One layer.
    Plain,
    /// One makes a gate and one what is gated (Shazeer, arXiv:2002.05202).
    Gated,
    /// The same two as one layer, the gate first.
    FusedGated,
}

/// Which linear layers have biases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Biases {
    /// Those that make queries, keys and values.
    pub attention: bool,
    /// The one that mixes heads.
    pub attention_output: bool,
    /// Those of the feed-forward block.
    pub feed_forward: bool,
    /// The head.
    pub head: bool,
}

/// `config.json`, the parsed fields beside the whole text.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// What the decoder is built from.
    pub decoder: DecoderConfig,
    /// The file as it was, for writing it again.
    pub json: Map<String, Value>,
}

impl ModelConfig {
    /// Reads `config.json`; `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for text that is not such a file or for sizes that do not fit together,
    /// [`Error::UnsupportedArchitecture`] for another kind of model.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let json: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|error| Error::Config {
                path: path.to_path_buf(),
                message: format!("not a JSON object: {error}"),
            })?;
        let decoder = family::describe(&Fields::of_file(&json, path))?;
        decoder.check(path)?;
        Ok(Self { decoder, json })
    }

    /// The file for weights stored as float32.
    pub fn to_json(&self) -> Value {
        let mut json = self.json.clone();
        let key = if json.contains_key("torch_dtype") {
            "torch_dtype"
        } else {
            "dtype"
        };
        json.insert(key.to_string(), "float32".into());
        Value::Object(json)
    }
}

impl DecoderConfig {
    /// Whether sizes fit together that were each in range.
    fn check(&self, path: &Path) -> Result<()> {
        let fault = |message: String| {
            Err(Error::Config {
                path: path.to_path_buf(),
                message,
            })
        };
        for (number, layer) in self.layers.iter().enumerate() {
            if !layer.heads.is_multiple_of(layer.key_heads) {
                return fault(format!(
                    "layer {number} has {} attention heads, which is not a multiple of its {} heads of \
                     keys and values",
                    layer.heads, layer.key_heads
                ));
            }
            let width = layer.heads.saturating_mul(self.head_size);
            if width > LARGEST {
                return fault(format!(
                    "layer {number} has {} attention heads of size {}: expected {LARGEST} at most in all",
                    layer.heads, self.head_size
                ));
            }
            if layer.window == 0 {
                return fault("sliding_window is 0: expected 1 or more, or null".to_string());
            }
            if let Some(rotary) = layer.rotary {
                rotary.check(self.head_size).or_else(fault)?;
            }
        }
        for (name, value) in [
            ("epsilon of its norms", self.norm.epsilon),
            ("scale of its embedding", self.embedding_scale),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return fault(format!("the {name} is {value}: expected 0 or more"));
            }
        }
        let begin = self.begin_token.iter().map(|id| ("bos_token_id", id));
        let end = self.end_tokens.iter().map(|id| ("eos_token_id", id));
        for (name, &id) in begin.chain(end) {
            if id as usize >= self.vocabulary {
                return fault(format!(
                    "{name} is {id}, but the vocabulary has {} tokens (0 to {})",
                    self.vocabulary,
                    self.vocabulary - 1
                ));
            }
        }
        Ok(())
    }
}
