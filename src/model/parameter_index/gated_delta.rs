//! The parameters of linear attention with the gated delta rule.

use super::{Builder, LinearIndex, NormIndex};
use crate::model::config::GatedDeltaConfig;
use crate::model::names::ParameterNames;
use crate::model::parameters::LinearRole;

/// Indices of a gated delta rule's parameters.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct GatedDeltaIndex {
    pub config: GatedDeltaConfig,
    pub query_key_value: LinearIndex,
    pub gate: LinearIndex,
    pub beta: LinearIndex,
    pub decay: LinearIndex,
    pub convolution: LinearIndex,
    pub log_rate: usize,
    pub decay_bias: usize,
    pub norm: NormIndex,
    pub output: LinearIndex,
}

impl GatedDeltaIndex {
    /// Returns the linear layers with their roles.
    pub(super) fn roles(&self) -> Vec<(LinearIndex, LinearRole)> {
        let inputs = [self.query_key_value, self.gate, self.beta, self.decay];
        let inputs = inputs.map(|input| (input, LinearRole::MixerInput));
        let output = (self.output, LinearRole::MixerOutput);
        inputs.into_iter().chain([output]).collect()
    }
}

impl Builder<'_> {
    pub(super) fn gated_delta(
        &mut self,
        names: &ParameterNames,
        prefix: &str,
        config: GatedDeltaConfig,
    ) -> GatedDeltaIndex {
        let names = &names.gated_delta;
        let hidden = self.config.hidden_size;
        let [keys, values] = config.widths();
        let name = |part: &str| format!("{prefix}{part}");
        let mut input = |part: &str, width| self.linear(&name(part), width, hidden, false);
        let query_key_value = input(names.query_key_value, 2 * keys + values);
        let gate = input(names.gate, values);
        let beta = input(names.beta, config.heads);
        let decay = input(names.decay, config.heads);
        let channels = 2 * keys + values;
        GatedDeltaIndex {
            config,
            query_key_value,
            gate,
            beta,
            decay,
            convolution: self.convolution(&name(names.convolution), channels, config.taps, false),
            log_rate: self.add(name(names.log_rate), &[config.heads]),
            decay_bias: self.add(name(names.decay_bias), &[config.heads]),
            norm: self.norm(&name(names.norm), config.value_size),
            output: self.linear(&name(names.output), hidden, values, false),
        }
    }
}
