//! Attention on devices that run WGSL.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};
use burn::tensor::{DType, Shape};

use super::shape::AttentionShape;
use super::{AttentionBackend, AttentionMask, Scores};
use crate::kernels::launch::{
    Bound, Kernel, SOFT_CAP, Specialized, Wgsl, empty, launch, reads, shared_struct, uploaded,
    wgsl, writes,
};
use crate::kernels::profile::{self, Operation};
use crate::kernels::wgsl_size;

const SHAPE: Wgsl = wgsl!("attention/shape");
const KEYS: Wgsl = wgsl!("attention/keys");
const WHOLE_HEADS: Wgsl = wgsl!("attention/whole_heads");
const HEADS_IN_PARTS: Wgsl = wgsl!("attention/heads_in_parts");
const NO_SOFT_CAP: Wgsl = wgsl!("attention/no_soft_cap");
const SCORE_SOFT_CAP: Wgsl = wgsl!("attention/soft_cap");

static FORWARD: Kernel = Kernel {
    file: wgsl!("attention/forward"),
    pieces: &[&SHAPE, &KEYS],
    layouts: &[Parameters::LAYOUT],
};
static QUERY_GRADIENT: Kernel = Kernel {
    file: wgsl!("attention/query_gradient"),
    pieces: &[&SHAPE, &KEYS],
    layouts: &[Parameters::LAYOUT],
};
static KEY_GRADIENT: Kernel = Kernel {
    file: wgsl!("attention/key_gradient"),
    pieces: &[&SHAPE],
    layouts: &[Parameters::LAYOUT],
};

/// Returns the attention kernels for the smallest head, common ones and the largest, without a soft cap and with one.
pub(crate) fn kernels() -> Vec<Specialized> {
    let kernels = [&FORWARD, &QUERY_GRADIENT, &KEY_GRADIENT];
    let sizes = [4, 64, super::LARGEST_PART, 256, super::LARGEST_HEAD];
    kernels
        .into_iter()
        .flat_map(|kernel| sizes.map(|size| (kernel, size)))
        .flat_map(|(kernel, size)| [false, true].map(|capped| for_head(kernel, size, capped)))
        .collect()
}

/// Returns a kernel specialized for a head size, a multiple of 4 per part, and for scores with a soft cap or without.
fn for_head(kernel: &'static Kernel, head_size: usize, capped: bool) -> Specialized {
    let pieces: &[&Wgsl] = match (parts_of(head_size) > 1, capped) {
        (false, false) => &[&WHOLE_HEADS, &NO_SOFT_CAP],
        (false, true) => &[&WHOLE_HEADS, &SOFT_CAP, &SCORE_SOFT_CAP],
        (true, false) => &[&HEADS_IN_PARTS, &NO_SOFT_CAP],
        (true, true) => &[&HEADS_IN_PARTS, &SOFT_CAP, &SCORE_SOFT_CAP],
    };
    kernel.specialized(("HEAD_QUADS", wgsl_size(head_size / 4)), pieces)
}

/// Returns the invocations per query or key; the value of `PARTS` in the shaders.
fn parts_of(head_size: usize) -> usize {
    head_size.div_ceil(super::LARGEST_PART)
}

/// Queries or keys per workgroup; the value of `OWN` in the shaders.
const OWN: u32 = 32;

shared_struct! {
    struct Parameters as "Parameters" {
        length: u32,
        key_length: u32,
        heads: u32,
        num_kv_heads: u32,
        window: u32,
        packed: u32,
        scale: f32,
        soft_cap: f32,
    }
}

/// Sizes of an attention, and the segment starts that its kernels bind.
struct Attention {
    batch: u32,
    head_size: usize,
    /// Whether scores have a soft cap.
    capped: bool,
    parameters: Parameters,
    segment_starts: CubeTensor,
}

impl Attention {
    fn new(query: &CubeTensor, key: &CubeTensor, scores: Scores, mask: &AttentionMask) -> Self {
        let [batch, length, heads, head_size] = query.shape().dims();
        let [_, key_length, num_kv_heads, _] = key.shape().dims();
        let segment_starts = match &mask.segment_starts {
            // Every binding needs a buffer.
            None => empty(query, Shape::new([1])),
            Some(segment_starts) => {
                let segment_starts: Vec<i32> =
                    segment_starts.iter().map(|&first| first as i32).collect();
                uploaded(query, &segment_starts, DType::I32)
            }
        };
        Self {
            batch: wgsl_size(batch),
            head_size,
            capped: scores.soft_cap.is_some(),
            parameters: Parameters {
                length: wgsl_size(length),
                key_length: wgsl_size(key_length),
                heads: wgsl_size(heads),
                num_kv_heads: wgsl_size(num_kv_heads),
                window: u32::try_from(mask.window).unwrap_or(u32::MAX),
                packed: u32::from(mask.segment_starts.is_some()),
                scale: scores.scale,
                soft_cap: scores.soft_cap.unwrap_or(1.0),
            },
            segment_starts,
        }
    }

    /// Query heads per key head.
    fn heads_per_key(&self) -> f64 {
        f64::from(self.parameters.heads / self.parameters.num_kv_heads)
    }

    /// How often each key is read by workgroups of queries, without a window.
    fn key_reads(&self) -> f64 {
        let workgroups = f64::from(self.parameters.length.div_ceil(OWN));
        self.heads_per_key() * 0.5 * (workgroups + 1.0)
    }

    /// How often each query is read by workgroups of keys, without a window.
    fn query_reads(&self) -> f64 {
        let workgroups = f64::from(self.parameters.key_length.div_ceil(OWN));
        0.5 * (workgroups + 1.0)
    }

    /// Launches a kernel with the invocations of each position, head and sample.
    fn launch(&self, kernel: &'static Kernel, [positions, heads]: [u32; 2], tensors: &[Bound<'_>]) {
        let workgroups = [positions.div_ceil(OWN), heads, self.batch];
        let invocations = OWN * wgsl_size(parts_of(self.head_size));
        let kernel = for_head(kernel, self.head_size, self.capped);
        launch(kernel, invocations, workgroups, tensors, &self.parameters);
    }
}

impl AttentionBackend for CubeBackend {
    fn causal_attention(
        query: CubeTensor,
        key: CubeTensor,
        value: CubeTensor,
        scores: Scores,
        mask: AttentionMask,
    ) -> CubeTensor {
        let [query, key, value] = [query, key, value].map(into_contiguous);
        let attention = Attention::new(&query, &key, scores, &mask);
        let out = empty(&query, query.shape());
        let shape = || AttentionShape::new(&query, &key, mask.clone());
        let _span = profile::operation(Operation::Attention, || shape().forward_work());
        let Parameters { length, heads, .. } = attention.parameters;
        attention.launch(
            &FORWARD,
            [length, heads],
            &[
                reads(&query),
                reads(&key).times(attention.key_reads()),
                reads(&value).times(attention.key_reads()),
                reads(&attention.segment_starts),
                writes(&out),
            ],
        );
        out
    }

    fn causal_attention_backward(
        query: CubeTensor,
        key: CubeTensor,
        value: CubeTensor,
        scores: Scores,
        mask: AttentionMask,
        upstream: CubeTensor,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let [query, key, value, upstream] = [query, key, value, upstream].map(into_contiguous);
        let attention = Attention::new(&query, &key, scores, &mask);
        let [batch, length, heads_of_query, _] = query.shape().dims();
        let grad_query = empty(&query, query.shape());
        let query_stats = empty(&query, Shape::new([batch, heads_of_query, length, 4]));
        let shape = || AttentionShape::new(&query, &key, mask.clone());
        let span = profile::operation(Operation::Attention, || shape().backward_work());
        let Parameters {
            length,
            key_length,
            heads,
            ..
        } = attention.parameters;
        attention.launch(
            &QUERY_GRADIENT,
            [length, heads],
            // Keys and values are read once for the softmax and once for the gradient.
            &[
                reads(&query),
                reads(&key).times(2.0 * attention.key_reads()),
                reads(&value).times(2.0 * attention.key_reads()),
                reads(&attention.segment_starts),
                reads(&upstream),
                writes(&grad_query),
                writes(&query_stats),
            ],
        );
        // One gradient per query head; those that share a key head are summed below.
        let [_, keys, served, head_size] = key.shape().dims();
        let per_head = Shape::new([batch, keys, heads_of_query, head_size]);
        let grad_keys = empty(&key, per_head.clone());
        let grad_values = empty(&value, per_head);
        attention.launch(
            &KEY_GRADIENT,
            [key_length, heads],
            &[
                reads(&query).times(attention.query_reads()),
                reads(&key).times(attention.heads_per_key()),
                reads(&value).times(attention.heads_per_key()),
                reads(&upstream).times(attention.query_reads()),
                reads(&query_stats).times(attention.query_reads()),
                writes(&grad_keys),
                writes(&grad_values),
            ],
        );
        drop(span);
        let sum_over_group = |gradient: CubeTensor| {
            let group = heads_of_query / served;
            if group == 1 {
                return gradient;
            }
            let grouped = Shape::new([batch * keys * served, group, head_size]);
            let sum = Self::float_sum_dim(Self::float_reshape(gradient, grouped), 1);
            Self::float_reshape(sum, key.shape())
        };
        let (grad_key, grad_value) = (sum_over_group(grad_keys), sum_over_group(grad_values));
        (grad_query, grad_key, grad_value)
    }
}
