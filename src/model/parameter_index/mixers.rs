//! The parameters of the mixers.

use super::{Builder, GatedDeltaIndex, LinearIndex, NormIndex};
use crate::model::config::{AttentionConfig, Mixer, QkNorm, QueryKeyValue, ShortConvConfig};
use crate::model::names::ParameterNames;
use crate::model::parameters::LinearRole;

/// Indices of the parameters of a layer's mixer.
#[derive(Clone, Debug)]
pub(in crate::model) enum MixerIndex {
    Attention(AttentionIndex),
    ShortConv(ShortConvIndex),
    GatedDelta(GatedDeltaIndex),
}

/// Indices of an attention block's parameters.
#[derive(Clone, Debug)]
pub(in crate::model) struct AttentionIndex {
    pub config: AttentionConfig,
    pub projections: ProjectionIndex,
    pub query_norm: Option<NormIndex>,
    pub key_norm: Option<NormIndex>,
    pub output: LinearIndex,
}

/// Indices of the query, key and value projections.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) enum ProjectionIndex {
    /// Without keys and values if those of another layer are taken, and without values if keys are values.
    Separate {
        query: LinearIndex,
        key: Option<LinearIndex>,
        value: Option<LinearIndex>,
    },
    /// The first computes queries and gates.
    Gated {
        query: LinearIndex,
        key: LinearIndex,
        value: LinearIndex,
    },
    Fused(LinearIndex),
    FusedByHead(LinearIndex),
}

/// Indices of a gated short convolution's parameters.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct ShortConvIndex {
    pub input: LinearIndex,
    pub convolution: LinearIndex,
    pub output: LinearIndex,
}

impl MixerIndex {
    /// Returns the linear layers with their roles.
    pub(super) fn roles(&self) -> Vec<(LinearIndex, LinearRole)> {
        match self {
            Self::Attention(attention) => {
                let mut roles = match attention.projections {
                    ProjectionIndex::Separate { query, key, value } => [
                        Some((query, LinearRole::Query)),
                        key.map(|key| (key, LinearRole::Key)),
                        value.map(|value| (value, LinearRole::Value)),
                    ]
                    .into_iter()
                    .flatten()
                    .collect(),
                    ProjectionIndex::Gated { query, key, value } => vec![
                        (query, LinearRole::Query),
                        (key, LinearRole::Key),
                        (value, LinearRole::Value),
                    ],
                    ProjectionIndex::Fused(fused) | ProjectionIndex::FusedByHead(fused) => {
                        vec![(fused, LinearRole::QueryKeyValue)]
                    }
                };
                roles.push((attention.output, LinearRole::AttentionOutput));
                roles
            }
            Self::ShortConv(conv) => vec![
                (conv.input, LinearRole::MixerInput),
                (conv.output, LinearRole::MixerOutput),
            ],
            Self::GatedDelta(delta) => delta.roles(),
        }
    }
}

impl Builder<'_> {
    /// Adds the parameters of a mixer; `prefix` is that of the layer's names.
    pub(super) fn mixer(
        &mut self,
        names: &ParameterNames,
        prefix: &str,
        mixer: &Mixer,
    ) -> MixerIndex {
        match mixer {
            Mixer::Attention(attention) => {
                MixerIndex::Attention(self.attention(names, prefix, attention))
            }
            Mixer::ShortConv(conv) => MixerIndex::ShortConv(self.short_conv(names, prefix, *conv)),
            Mixer::GatedDelta(delta) => {
                MixerIndex::GatedDelta(self.gated_delta(names, prefix, *delta))
            }
        }
    }

    fn attention(
        &mut self,
        names: &ParameterNames,
        prefix: &str,
        attention: &AttentionConfig,
    ) -> AttentionIndex {
        let config = self.config;
        let (hidden, size, biases) = (config.hidden_size, attention.head_size, config.biases);
        let source = attention.keys_and_values;
        let [heads, keys] = [attention.heads, attention.num_kv_heads].map(|heads| heads * size);
        let name = |part: &str| format!("{prefix}{part}");
        let mut project = |part, width| self.linear(&name(part), width, hidden, biases.attention);
        let projections = match config.query_key_value {
            QueryKeyValue::Separate => ProjectionIndex::Separate {
                query: project(names.query, heads),
                key: source.has_keys().then(|| project(names.key, keys)),
                value: source.has_values().then(|| project(names.value, keys)),
            },
            QueryKeyValue::Gated => ProjectionIndex::Gated {
                query: project(names.query, 2 * heads),
                key: project(names.key, keys),
                value: project(names.value, keys),
            },
            QueryKeyValue::Fused => {
                ProjectionIndex::Fused(project(names.query_key_value, heads + 2 * keys))
            }
            QueryKeyValue::FusedByHead => {
                ProjectionIndex::FusedByHead(project(names.query_key_value, heads + 2 * keys))
            }
        };
        let [of_query, of_key] = match config.qk_norm {
            Some(QkNorm::Whole) => [heads, keys],
            _ => [size, size],
        };
        let mut norm = |part: &str, width, present: bool| {
            let present = present && config.qk_norm.is_some();
            present.then(|| self.norm(&name(part), width))
        };
        let query_norm = norm(names.query_norm, of_query, true);
        let key_norm = norm(names.key_norm, of_key, source.has_keys());
        let output = &name(names.attention_output);
        AttentionIndex {
            config: attention.clone(),
            projections,
            query_norm,
            key_norm,
            output: self.linear(output, hidden, heads, biases.attention_output),
        }
    }

    fn short_conv(
        &mut self,
        names: &ParameterNames,
        prefix: &str,
        conv: ShortConvConfig,
    ) -> ShortConvIndex {
        let hidden = self.config.hidden_size;
        let ShortConvConfig { taps, biases } = conv;
        let name = |part: &str| format!("{prefix}{part}");
        ShortConvIndex {
            input: self.linear(&name(names.short_conv_input), 3 * hidden, hidden, biases),
            convolution: self.convolution(&name(names.short_conv), hidden, taps, biases),
            output: self.linear(&name(names.short_conv_output), hidden, hidden, biases),
        }
    }

    /// Adds a depthwise convolution.
    pub(super) fn convolution(
        &mut self,
        name: &str,
        channels: usize,
        taps: usize,
        biased: bool,
    ) -> LinearIndex {
        LinearIndex {
            weight: self.add(format!("{name}.weight"), &[channels, 1, taps]),
            bias: biased.then(|| self.add(format!("{name}.bias"), &[channels])),
        }
    }
}
