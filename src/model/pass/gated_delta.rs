//! Linear attention with the gated delta rule.

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

use super::Pass;
use crate::kernels::delta_rule::{DeltaRuleInputs, delta_rule};
use crate::kernels::rms_norm::rms_norm;
use crate::kernels::silu_gate::silu_gate;
use crate::model::cache::LayerCache;
use crate::model::ops::softplus;
use crate::model::parameter_index::GatedDeltaIndex;

/// Added to the sum of squares of a query or key before the square root.
const EPSILON: f32 = 1e-6;

impl Pass<'_> {
    /// Returns the output of a gated delta rule for x \[rows, width\].
    pub(super) fn gated_delta(
        &self,
        index: &GatedDeltaIndex,
        input: Tensor<2>,
        mut cache: Option<&mut LayerCache>,
    ) -> Tensor<2> {
        let config = &index.config;
        let (batch, length) = (self.batch, self.length);
        let [keys, values] = config.widths();
        let mixed = self.linear(input.clone(), index.query_key_value);
        let mixed = mixed.reshape([batch, length, 2 * keys + values]);
        let mixed = self.convolution(index.convolution, mixed, true, cache.as_deref_mut());
        let part = |first, width| self.apart(mixed.clone().narrow(2, first, width));
        // A query is divided by the square root of its size, too.
        let size = config.key_size as f32;
        let key_shape = [batch, length, config.key_heads, config.key_size];
        let query = self.unit(part(0, keys).reshape(key_shape), 1.0 / size);
        let key = self.unit(part(keys, keys).reshape(key_shape), 1.0 / size.sqrt());
        let value = part(2 * keys, values);

        let gates = [batch, length, config.heads];
        let beta = sigmoid(self.linear(input.clone(), index.beta));
        let decay = self.linear(input.clone(), index.decay) + self.parameter(index.decay_bias);
        let decay = softplus(decay) * self.parameter(index.log_rate).exp().neg();
        let inputs = DeltaRuleInputs {
            query,
            key,
            value: value.reshape([batch, length, config.heads, config.value_size]),
            decay: decay.reshape(gates),
            beta: beta.reshape(gates),
        };
        let state = cache.as_mut().and_then(|cache| cache.state.take());
        let segment_starts = self.segment_starts.as_ref();
        let (out, state) = delta_rule(self.implementation, inputs, state, segment_starts);
        if let Some(cache) = cache {
            cache.state = Some(state);
        }

        let heads = [batch * length * config.heads, config.value_size];
        let weight = self.parameter(index.norm.weight);
        let epsilon = self.config.norm.epsilon;
        let out = rms_norm(self.implementation, out.reshape(heads), weight, epsilon);
        let gate = self.linear(input, index.gate).reshape(heads);
        let out = silu_gate(self.implementation, gate, out).reshape([batch * length, values]);
        self.linear(out, index.output)
    }

    /// Returns heads \[batch, length, heads, size\] divided by their norms, times √size · `factor`.
    fn unit(&self, heads: Tensor<4>, factor: f32) -> Tensor<4> {
        let shape @ [batch, length, number, size] = heads.dims();
        let rows = heads.reshape([batch * length * number, size]);
        let weight = Tensor::full([1, size], factor, &rows.device().inner());
        let epsilon = EPSILON / size as f32;
        rms_norm(self.implementation, rows, weight, epsilon).reshape(shape)
    }
}
