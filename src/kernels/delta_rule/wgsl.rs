//! The gated delta rule on devices that run WGSL.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};
use burn::tensor::{Shape, Slice};

use super::DeltaRuleBackend;
use crate::kernels::launch::{
    Bound, Kernel, Specialized, Wgsl, empty, launch, owned, reads, shared_struct, updates, wgsl,
    writes,
};
use crate::kernels::wgsl_size;

const SWEEP: Wgsl = wgsl!("delta_rule/sweep");
const TILE_OF_KEYS: Wgsl = wgsl!("delta_rule/tile_of_keys");
const TILE_OF_VALUES: Wgsl = wgsl!("delta_rule/tile_of_values");

static FORWARD: Kernel = Kernel {
    file: wgsl!("delta_rule/forward"),
    pieces: &[&SWEEP, &TILE_OF_KEYS],
    layouts: &[Parameters::LAYOUT],
};
static VALUE_GRADIENT: Kernel = Kernel {
    file: wgsl!("delta_rule/value_gradient"),
    pieces: &[&SWEEP, &TILE_OF_KEYS],
    layouts: &[Parameters::LAYOUT],
};
static QUERY_GRADIENT: Kernel = Kernel {
    file: wgsl!("delta_rule/query_gradient"),
    pieces: &[&SWEEP, &TILE_OF_VALUES],
    layouts: &[Parameters::LAYOUT],
};
static KEY_GRADIENT: Kernel = Kernel {
    file: wgsl!("delta_rule/key_gradient"),
    pieces: &[&SWEEP, &TILE_OF_VALUES],
    layouts: &[Parameters::LAYOUT],
};
static GATE_GRADIENT: Kernel = Kernel {
    file: wgsl!("delta_rule/gate_gradient"),
    pieces: &[&SWEEP],
    layouts: &[Parameters::LAYOUT],
};

/// Returns the kernels of the delta rule for the smallest head, a common one and the largest.
pub(crate) fn kernels() -> Vec<Specialized> {
    let sweeps = [&FORWARD, &VALUE_GRADIENT, &QUERY_GRADIENT, &KEY_GRADIENT];
    let sizes = [4, 128, super::LARGEST_HEAD];
    sweeps
        .into_iter()
        .flat_map(|kernel| sizes.map(|size| for_head(kernel, size)))
        .chain([for_head(&GATE_GRADIENT, 4)])
        .collect()
}

/// Returns a kernel specialized for a size of the columns or rows that its invocations hold.
fn for_head(kernel: &'static Kernel, held_size: usize) -> Specialized {
    let quads = held_size.div_ceil(4 * PARTS).next_power_of_two();
    kernel.specialized(("HELD_QUADS", wgsl_size(quads)), &[])
}

/// Invocations per workgroup; the value of `INVOCATIONS` in the shaders.
const INVOCATIONS: u32 = 256;
/// Tokens between stored states; the value of `CHUNK` in the shaders.
const CHUNK: usize = 128;
/// Columns or rows per workgroup; the value of `OWN` in the shaders.
const OWN: u32 = 32;
/// Invocations per column or row.
const PARTS: usize = (INVOCATIONS / OWN) as usize;

shared_struct! {
    struct Parameters as "Parameters" {
        length: u32,
        heads: u32,
        key_heads: u32,
        key_size: u32,
        value_size: u32,
    }
}

/// The inputs of a delta rule, and its sizes.
struct Rule {
    query: CubeTensor,
    key: CubeTensor,
    value: CubeTensor,
    gates: CubeTensor,
    batch: u32,
    parameters: Parameters,
}

impl Rule {
    fn new(inputs: [CubeTensor; 4]) -> Self {
        let [query, key, value, gates] = inputs.map(into_contiguous);
        let [batch, length, key_heads, key_size] = key.shape().dims();
        let [_, _, heads, value_size] = value.shape().dims();
        Self {
            query,
            key,
            value,
            gates,
            batch: wgsl_size(batch),
            parameters: Parameters {
                length: wgsl_size(length),
                heads: wgsl_size(heads),
                key_heads: wgsl_size(key_heads),
                key_size: wgsl_size(key_size),
                value_size: wgsl_size(value_size),
            },
        }
    }

    /// Launches a sweep with a column of the state per group of invocations.
    fn sweep_columns(&self, kernel: &'static Kernel, tensors: &[Bound<'_>]) {
        let Parameters {
            key_size,
            value_size,
            ..
        } = self.parameters;
        self.launch(for_head(kernel, key_size as usize), value_size, tensors);
    }

    /// Launches a sweep with a row of the state per group of invocations.
    fn sweep_rows(&self, kernel: &'static Kernel, tensors: &[Bound<'_>]) {
        let Parameters {
            key_size,
            value_size,
            ..
        } = self.parameters;
        self.launch(for_head(kernel, value_size as usize), key_size, tensors);
    }

    fn launch(&self, kernel: Specialized, own: u32, tensors: &[Bound<'_>]) {
        let workgroups = [own.div_ceil(OWN), self.parameters.heads, self.batch];
        launch(kernel, INVOCATIONS, workgroups, tensors, &self.parameters);
    }

    /// Returns room for the states before all chunks, with that before the first, and for the gradients of those after
    /// them: \[batch, 2 chunks, heads, key_size, value_size\].
    fn stored(&self, state: CubeTensor) -> CubeTensor {
        let [batch, heads, key_size, value_size] = state.shape().dims();
        let chunks = (self.parameters.length as usize).div_ceil(CHUNK);
        let shape = |chunks| Shape::new([batch, chunks, heads, key_size, value_size]);
        let states = empty(&state, shape(2 * chunks));
        let first = CubeBackend::float_reshape(state, shape(1));
        let place = [batch, 1, heads, key_size, value_size].map(|end| Slice::from(0..end));
        into_contiguous(CubeBackend::float_slice_assign(states, &place, first))
    }

    /// How often each query and key is read by workgroups of columns.
    fn key_reads(&self) -> f64 {
        let group = self.parameters.heads / self.parameters.key_heads;
        f64::from(group * self.parameters.value_size.div_ceil(OWN))
    }

    /// How often each value is read by workgroups of rows.
    fn value_reads(&self) -> f64 {
        f64::from(self.parameters.key_size.div_ceil(OWN))
    }

    /// Returns outputs, errors and last state.
    fn forward(&self, state: CubeTensor) -> [CubeTensor; 3] {
        let state = owned(state);
        let [out, errors] = [(); 2].map(|()| empty(&self.value, self.value.shape()));
        self.sweep_columns(
            &FORWARD,
            &[
                reads(&self.query).times(self.key_reads()),
                reads(&self.key).times(self.key_reads()),
                reads(&self.value),
                reads(&self.gates),
                updates(&state),
                writes(&out),
                writes(&errors),
            ],
        );
        [out, errors, state]
    }

    /// Returns the sum of a gradient per head over the heads that share a key head.
    fn sum_over_group(&self, gradient: CubeTensor) -> CubeTensor {
        let [batch, length, heads, size] = gradient.shape().dims();
        let [_, _, key_heads, _] = self.key.shape().dims();
        if heads == key_heads {
            return gradient;
        }
        let grouped = Shape::new([batch * length * key_heads, heads / key_heads, size]);
        let gradient = CubeBackend::float_reshape(gradient, grouped);
        CubeBackend::float_reshape(CubeBackend::float_sum_dim(gradient, 1), self.key.shape())
    }
}

impl DeltaRuleBackend for CubeBackend {
    fn delta_rule(
        query: CubeTensor,
        key: CubeTensor,
        value: CubeTensor,
        gates: CubeTensor,
        state: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        let [out, _, state] = Rule::new([query, key, value, gates]).forward(state);
        (out, state)
    }

    fn delta_rule_backward(
        query: CubeTensor,
        key: CubeTensor,
        value: CubeTensor,
        gates: CubeTensor,
        state: CubeTensor,
        upstream: CubeTensor,
    ) -> (CubeTensor, CubeTensor, CubeTensor, CubeTensor) {
        let rule = Rule::new([query, key, value, gates]);
        let (state, upstream) = (into_contiguous(state), into_contiguous(upstream));
        let [_, errors, _] = rule.forward(state.clone());
        let states = rule.stored(state);

        let [grad_delta, grad_value] = [(); 2].map(|()| empty(&rule.value, rule.value.shape()));
        rule.sweep_columns(
            &VALUE_GRADIENT,
            &[
                reads(&rule.query).times(rule.key_reads()),
                reads(&rule.key).times(rule.key_reads()),
                reads(&rule.gates),
                reads(&upstream),
                writes(&grad_delta),
                writes(&grad_value),
            ],
        );

        let [batch, length, heads, _] = rule.value.shape().dims();
        let per_head = Shape::new([batch, length, heads, rule.parameters.key_size as usize]);
        let [grad_query, grad_key] = [(); 2].map(|()| empty(&rule.key, per_head.clone()));
        let group = f64::from(rule.parameters.heads / rule.parameters.key_heads);
        rule.sweep_rows(
            &QUERY_GRADIENT,
            &[
                reads(&rule.key).times(group),
                reads(&rule.gates),
                updates(&states),
                reads(&errors).times(rule.value_reads()),
                reads(&upstream).times(rule.value_reads()),
                reads(&grad_value).times(rule.value_reads()),
                writes(&grad_query),
                writes(&grad_key),
            ],
        );
        rule.sweep_rows(
            &KEY_GRADIENT,
            &[
                reads(&rule.query).times(group),
                reads(&rule.key).times(group),
                reads(&rule.gates),
                reads(&errors).times(rule.value_reads()),
                reads(&upstream).times(rule.value_reads()),
                reads(&grad_value).times(rule.value_reads()),
                updates(&states),
                updates(&grad_key),
            ],
        );

        let grad_gates = empty(&rule.gates, rule.gates.shape());
        let chunks = wgsl_size(length.div_ceil(CHUNK));
        // Each token reads its key, its value and what the gradients have of it for the state, and for earlier tokens.
        let passes = f64::from(rule.parameters.key_size / 4) + length.min(CHUNK) as f64 / 4.0;
        launch(
            for_head(&GATE_GRADIENT, 4),
            wgsl_size(CHUNK),
            [chunks, rule.parameters.heads, rule.batch],
            &[
                reads(&rule.query).times(group * length.min(CHUNK) as f64 / 4.0),
                reads(&rule.key).times(group * length.min(CHUNK) as f64 / 4.0),
                reads(&rule.gates),
                reads(&errors).times(passes),
                reads(&upstream).times(passes),
                reads(&grad_delta).times(passes),
                reads(&states),
                writes(&grad_gates),
            ],
            &rule.parameters,
        );
        (
            rule.sum_over_group(grad_query),
            rule.sum_over_group(grad_key),
            grad_value,
            grad_gates,
        )
    }
}
