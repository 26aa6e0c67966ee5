//! What a model is made of, as its `config.json` says.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::family::{self, Family};
use super::rotary::RopeScaling;
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
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Heads of keys and values; divides `heads`.
    pub key_heads: usize,
    /// Width of a head; even.
    pub head_size: usize,
    /// Longest sequence the model was made for, in tokens.
    pub max_length: usize,
    /// Added to the mean square before the root.
    pub norm_epsilon: f32,
    /// Base of the rotary embedding's wavelengths.
    pub rope_theta: f64,
    /// How they are stretched.
    pub rope_scaling: RopeScaling,
    /// Positions that a query sees, its own and those before it.
    pub window: usize,
    /// Which linear layers have biases.
    pub biases: Biases,
    /// Whether queries and keys of each head are normalised before they turn.
    pub norms_of_heads: bool,
    /// Whether the head is the embedding.
    pub tied_head: bool,
    /// Token that begins a text, if the model has one.
    pub begin_token: Option<u32>,
    /// Tokens that end a text.
    pub end_tokens: Vec<u32>,
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
        let decoder = family::describe(&Fields { json: &json, path })?;
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
    fn check(&self, path: &Path) -> Result<()> {
        let fault = |message: String| {
            Err(Error::Config {
                path: path.to_path_buf(),
                message,
            })
        };
        // Far beyond any model, far below where products of sizes overflow.
        const LARGEST: usize = 1 << 24;
        let sizes = [
            ("vocab_size", self.vocabulary, 2),
            ("hidden_size", self.hidden_size, 1),
            ("intermediate_size", self.intermediate_size, 1),
            ("num_hidden_layers", self.layers, 1),
            ("num_attention_heads", self.heads, 1),
            ("num_key_value_heads", self.key_heads, 1),
            ("head_dim", self.head_size, 2),
            ("max_position_embeddings", self.max_length, 2),
        ];
        for (name, size, least) in sizes {
            if !(least..=LARGEST).contains(&size) {
                return fault(format!("{name} is {size}: expected {least} to {LARGEST}"));
            }
        }
        if !self.heads.is_multiple_of(self.key_heads) {
            return fault(format!(
                "num_attention_heads ({}) is not a multiple of num_key_value_heads ({})",
                self.heads, self.key_heads
            ));
        }
        if !self.head_size.is_multiple_of(2) {
            return fault(format!(
                "head_dim is {}: rotary embeddings need an even one",
                self.head_size
            ));
        }
        if !(self.norm_epsilon.is_finite() && self.norm_epsilon >= 0.0) {
            return fault(format!(
                "rms_norm_eps is {}: expected 0 or more",
                self.norm_epsilon
            ));
        }
        if !(self.rope_theta.is_finite() && self.rope_theta > 0.0) {
            return fault(format!(
                "rope_theta is {}: expected more than 0",
                self.rope_theta
            ));
        }
        if self.window == 0 {
            return fault("sliding_window is 0: expected 1 or more, or null".to_string());
        }
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let scaling = match self.rope_scaling {
            RopeScaling::None => true,
            RopeScaling::Linear { factor } => positive(factor),
            RopeScaling::Llama3 {
                factor,
                low_frequency,
                high_frequency,
                original_length,
            } => {
                [factor, low_frequency, original_length]
                    .into_iter()
                    .all(positive)
                    && high_frequency.is_finite()
                    && high_frequency > low_frequency
            }
        };
        if !scaling {
            return fault(format!(
                "the RoPE scaling {:?} is not valid: expected numbers above 0, and a high frequency \
                 factor above the low one",
                self.rope_scaling
            ));
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

/// The fields of a `config.json`, with messages that name field and file.
pub(super) struct Fields<'a> {
    pub json: &'a Map<String, Value>,
    pub path: &'a Path,
}

impl Fields<'_> {
    /// A field that must be there.
    pub fn required<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<T> {
        self.optional(name)?
            .ok_or_else(|| self.fault(format!("{name} is missing")))
    }

    /// A field that may be absent or null.
    pub fn optional<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>> {
        self.parse(name, self.json.get(name))
    }

    /// A field of an object that is itself a field; all three may be absent or null.
    pub fn nested<T: for<'de> Deserialize<'de>>(
        &self,
        object: &str,
        name: &str,
    ) -> Result<Option<T>> {
        let value = self.json.get(object).and_then(|object| object.get(name));
        self.parse(&format!("{object}.{name}"), value)
    }

    fn parse<T: for<'de> Deserialize<'de>>(
        &self,
        name: &str,
        value: Option<&Value>,
    ) -> Result<Option<T>> {
        match value {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value)
                .map(Some)
                .map_err(|error| self.fault(format!("{name} is {value}: {error}"))),
        }
    }

    pub fn fault(&self, message: String) -> Error {
        Error::Config {
            path: self.path.to_path_buf(),
            message,
        }
    }
}
