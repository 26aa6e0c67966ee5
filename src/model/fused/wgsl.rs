//! Devices that run WGSL: the decoder's kernels of `shaders/`.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};
use burn::tensor::{DType, Shape};
use bytemuck::{Pod, Zeroable};

use super::backend::FusedBackend;
use crate::model::visible::Visible;
use crate::shader::{
    Bound, Kernel, WORKGROUP_SIZE, empty, launch, launch_rows, over_elements, reads, uploaded,
    writes,
};

/// Rows of a workgroup of the norms; the value of `ROWS` in the shaders.
const ROWS_OF_WORKGROUP: u32 = 4;
/// Rows that make one row of partial sums; the value of `TURNS` in the shaders.
const ROWS_OF_PARTIAL_SUM: u32 = 8;
/// Queries or keys of a workgroup; the value of `INVOCATIONS` in the shaders.
const INVOCATIONS: u32 = 32;

/// `struct Parameters` of the norms' shaders.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct NormParameters {
    rows: u32,
    width: u32,
    epsilon: f32,
}

/// `struct Parameters` of the gated unit's shaders.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct ElementParameters {
    elements: u32,
}

/// `struct Parameters` of `shaders/rotate.wgsl`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct RotateParameters {
    pairs: u32,
    length: u32,
    heads: u32,
    half_size: u32,
    direction: f32,
}

/// `struct Parameters` of `shaders/attention_shape.wgsl`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct AttentionParameters {
    length: u32,
    key_length: u32,
    heads: u32,
    key_heads: u32,
    window: u32,
    packed: u32,
    scale: f32,
}

fn size(n: usize) -> u32 {
    u32::try_from(n).expect("a tensor of a batch has fewer than 2^32 elements")
}

fn norm_parameters(x: &CubeTensor, epsilon: f32) -> NormParameters {
    let [rows, width] = x.shape().dims();
    NormParameters {
        rows: size(rows),
        width: size(width),
        epsilon,
    }
}

fn elements(tensor: &CubeTensor) -> ElementParameters {
    ElementParameters {
        elements: size(tensor.shape().num_elements()),
    }
}

/// An attention's sizes, and what its kernels bind for beginnings.
struct Attention {
    batch: u32,
    head_size: usize,
    parameters: AttentionParameters,
    beginnings: CubeTensor,
}

impl Attention {
    fn new(query: &CubeTensor, key: &CubeTensor, scale: f32, visible: &Visible) -> Self {
        let [batch, length, heads, head_size] = query.shape().dims();
        let [_, key_length, key_heads, _] = key.shape().dims();
        let beginnings = match &visible.beginnings {
            // Every binding needs a buffer.
            None => empty(query, Shape::new([1])),
            Some(beginnings) => {
                let beginnings: Vec<i32> = beginnings.iter().map(|&first| first as i32).collect();
                uploaded(query, &beginnings, DType::I32)
            }
        };
        Self {
            batch: size(batch),
            head_size,
            parameters: AttentionParameters {
                length: size(length),
                key_length: size(key_length),
                heads: size(heads),
                key_heads: size(key_heads),
                window: u32::try_from(visible.window).unwrap_or(u32::MAX),
                packed: u32::from(visible.beginnings.is_some()),
                scale,
            },
            beginnings,
        }
    }

    /// Heads of queries that a head of keys serves.
    fn heads_of_key(&self) -> f64 {
        f64::from(self.parameters.heads / self.parameters.key_heads)
    }

    /// How often a key is read by workgroups of queries that all see what is before them.
    fn key_reads(&self) -> f64 {
        let workgroups = f64::from(self.parameters.length.div_ceil(INVOCATIONS));
        self.heads_of_key() * 0.5 * (workgroups + 1.0)
    }

    /// How often a query is read by workgroups of keys that all are seen by what is after them.
    fn query_reads(&self) -> f64 {
        let workgroups = f64::from(self.parameters.key_length.div_ceil(INVOCATIONS));
        0.5 * (workgroups + 1.0)
    }

    /// Runs a kernel with an invocation for each of `positions` of `heads` of every sample.
    fn launch(&self, name: &'static str, [positions, heads]: [u32; 2], tensors: &[Bound<'_>]) {
        let workgroups = [positions.div_ceil(INVOCATIONS), heads, self.batch];
        let kernel = Kernel::of_heads(name, self.head_size);
        launch(kernel, INVOCATIONS, workgroups, tensors, &self.parameters);
    }
}

impl FusedBackend for CubeBackend {
    fn rms_norm(x: CubeTensor, weight: CubeTensor, epsilon: f32) -> CubeTensor {
        let (x, weight) = (into_contiguous(x), into_contiguous(weight));
        let out = empty(&x, x.shape());
        let parameters = norm_parameters(&x, epsilon);
        launch_rows(
            Kernel::new("rms_norm"),
            WORKGROUP_SIZE,
            parameters.rows.div_ceil(ROWS_OF_WORKGROUP),
            &[reads(&x).times(2.0), reads(&weight), writes(&out)],
            &parameters,
        );
        out
    }

    fn rms_norm_backward(
        x: CubeTensor,
        weight: CubeTensor,
        epsilon: f32,
        upstream: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        let [x, weight, upstream] = [x, weight, upstream].map(into_contiguous);
        let parameters = norm_parameters(&x, epsilon);
        let groups = parameters.rows.div_ceil(ROWS_OF_PARTIAL_SUM);
        let workgroups = groups.div_ceil(ROWS_OF_WORKGROUP);
        let [_, width] = x.shape().dims();
        let of_x = empty(&x, x.shape());
        // Groups past the last row have sums of nothing.
        let partial = empty(
            &x,
            Shape::new([(workgroups * ROWS_OF_WORKGROUP) as usize, width]),
        );
        launch_rows(
            Kernel::new("rms_norm_backward"),
            WORKGROUP_SIZE,
            workgroups,
            &[
                reads(&x).times(2.0),
                reads(&weight),
                reads(&upstream).times(2.0),
                writes(&of_x),
                writes(&partial),
            ],
            &parameters,
        );
        let of_weight = Self::float_reshape(Self::float_sum_dim(partial, 0), weight.shape());
        (of_x, of_weight)
    }

    fn rotate(x: CubeTensor, cosine: CubeTensor, sine: CubeTensor, direction: f32) -> CubeTensor {
        let [x, cosine, sine] = [x, cosine, sine].map(into_contiguous);
        let [_, length, heads, head_size] = x.shape().dims();
        let out = empty(&x, x.shape());
        let parameters = RotateParameters {
            pairs: size(x.shape().num_elements() / 2),
            length: size(length),
            heads: size(heads),
            half_size: size(head_size / 2),
            direction,
        };
        over_elements(
            Kernel::new("rotate"),
            parameters.pairs,
            &[reads(&x), reads(&cosine), reads(&sine), writes(&out)],
            &parameters,
        );
        out
    }

    fn silu_multiply(gate: CubeTensor, up: CubeTensor) -> CubeTensor {
        let [gate, up] = [gate, up].map(into_contiguous);
        let out = empty(&gate, gate.shape());
        let parameters = elements(&gate);
        over_elements(
            Kernel::new("silu_multiply"),
            parameters.elements,
            &[reads(&gate), reads(&up), writes(&out)],
            &parameters,
        );
        out
    }

    fn silu_multiply_backward(
        gate: CubeTensor,
        up: CubeTensor,
        upstream: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        let [gate, up, upstream] = [gate, up, upstream].map(into_contiguous);
        let of_gate = empty(&gate, gate.shape());
        let of_up = empty(&gate, gate.shape());
        let parameters = elements(&gate);
        over_elements(
            Kernel::new("silu_multiply_backward"),
            parameters.elements,
            &[
                reads(&gate),
                reads(&up),
                reads(&upstream),
                writes(&of_gate),
                writes(&of_up),
            ],
            &parameters,
        );
        (of_gate, of_up)
    }

    fn causal_attention(
        query: CubeTensor,
        key: CubeTensor,
        value: CubeTensor,
        scale: f32,
        visible: Visible,
    ) -> CubeTensor {
        let [query, key, value] = [query, key, value].map(into_contiguous);
        let attention = Attention::new(&query, &key, scale, &visible);
        let out = empty(&query, query.shape());
        let AttentionParameters { length, heads, .. } = attention.parameters;
        attention.launch(
            "attention",
            [length, heads],
            &[
                reads(&query),
                reads(&key).times(attention.key_reads()),
                reads(&value).times(attention.key_reads()),
                reads(&attention.beginnings),
                writes(&out),
            ],
        );
        out
    }

    fn causal_attention_backward(
        query: CubeTensor,
        key: CubeTensor,
        value: CubeTensor,
        scale: f32,
        visible: Visible,
        upstream: CubeTensor,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let [query, key, value, upstream] = [query, key, value, upstream].map(into_contiguous);
        let attention = Attention::new(&query, &key, scale, &visible);
        let [batch, length, heads_of_query, _] = query.shape().dims();
        let of_query = empty(&query, query.shape());
        let known_of_query = empty(&query, Shape::new([batch, heads_of_query, length, 4]));
        let AttentionParameters {
            length,
            key_length,
            heads,
            ..
        } = attention.parameters;
        attention.launch(
            "attention_query_gradient",
            [length, heads],
            // All keys and values once for the softmax and once for the gradient.
            &[
                reads(&query),
                reads(&key).times(2.0 * attention.key_reads()),
                reads(&value).times(2.0 * attention.key_reads()),
                reads(&attention.beginnings),
                reads(&upstream),
                writes(&of_query),
                writes(&known_of_query),
            ],
        );
        // Of each head that a key serves by itself.
        let [_, keys, served, head_size] = key.shape().dims();
        let of_heads = Shape::new([batch, keys, heads_of_query, head_size]);
        let of_keys = empty(&key, of_heads.clone());
        let of_values = empty(&value, of_heads);
        attention.launch(
            "attention_key_gradient",
            [key_length, heads],
            &[
                reads(&query).times(attention.query_reads()),
                reads(&key).times(attention.heads_of_key()),
                reads(&value).times(attention.heads_of_key()),
                reads(&upstream).times(attention.query_reads()),
                reads(&known_of_query).times(attention.query_reads()),
                writes(&of_keys),
                writes(&of_values),
            ],
        );
        let over_heads = |of_heads: CubeTensor| {
            let group = heads_of_query / served;
            if group == 1 {
                return of_heads;
            }
            let apart = Shape::new([batch * keys * served, group, head_size]);
            let sum = Self::float_sum_dim(Self::float_reshape(of_heads, apart), 1);
            Self::float_reshape(sum, key.shape())
        };
        let (of_key, of_value) = (over_heads(of_keys), over_heads(of_values));
        (of_query, of_key, of_value)
    }
}
