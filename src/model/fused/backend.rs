//! The fused kernels as operations of burn's backends, with hand-written backward passes.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape};

use super::kernels::{self, Heads};
use crate::model::visible::Visible;

/// Operations of a decoder that run as one kernel each; see [`super::super::ops`] for what
/// they compute. Where shapes are not said they are those of the inputs.
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait FusedBackend: Backend {
    /// Root mean square normalisation of x \[rows, width\] with weight \[1, width\].
    #[fusion(dtype = x, shape = x)]
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f32)
    -> FloatTensor<Self>;

    /// Gradients with respect to x and weight.
    #[fusion(meta = |x, weight, _, _| (x.clone(), weight.clone()))]
    fn rms_norm_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
        upstream: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Rotary embedding of x \[batch, length, heads, size\] by tables \[length, size / 2\];
    /// `direction` -1 turns back.
    #[fusion(dtype = x, shape = x)]
    fn rotate(
        x: FloatTensor<Self>,
        cosine: FloatTensor<Self>,
        sine: FloatTensor<Self>,
        direction: f32,
    ) -> FloatTensor<Self>;

    /// silu(gate) · up.
    #[fusion(dtype = gate, shape = gate)]
    fn silu_multiply(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Gradients with respect to gate and up.
    #[fusion(meta = |gate, up, _| (gate.clone(), up.clone()))]
    fn silu_multiply_backward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Causal attention of query \[batch, length, heads, size\] over key and value
    /// \[batch, key length, key heads, size\]; each query sees what is visible.
    #[fusion(dtype = query, shape = query)]
    fn causal_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        scale: f32,
        visible: Visible,
    ) -> FloatTensor<Self>;

    /// Gradients with respect to query, key and value.
    #[fusion(meta = |query, key, value, _, _, _| (query.clone(), key.clone(), value.clone()))]
    fn causal_attention_backward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        scale: f32,
        visible: Visible,
        upstream: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl FusedBackend for Flex {
    fn rms_norm(x: FlexTensor, weight: FlexTensor, epsilon: f32) -> FlexTensor {
        let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
        let mut out = FlexTensor::empty(x.shape(), DType::F32);
        kernels::rms_norm(x.storage(), weight.storage(), epsilon, out.storage_mut());
        out
    }

    fn rms_norm_backward(
        x: FlexTensor,
        weight: FlexTensor,
        epsilon: f32,
        upstream: FlexTensor,
    ) -> (FlexTensor, FlexTensor) {
        let (x, weight, upstream) = (
            x.to_contiguous(),
            weight.to_contiguous(),
            upstream.to_contiguous(),
        );
        let mut gradient = FlexTensor::empty(x.shape(), DType::F32);
        let of_weight = kernels::rms_norm_backward(
            x.storage(),
            weight.storage(),
            epsilon,
            upstream.storage(),
            gradient.storage_mut(),
        );
        (gradient, tensor(of_weight, weight.shape()))
    }

    fn rotate(x: FlexTensor, cosine: FlexTensor, sine: FlexTensor, direction: f32) -> FlexTensor {
        let (x, cosine, sine) = (
            x.to_contiguous(),
            cosine.to_contiguous(),
            sine.to_contiguous(),
        );
        let [_, length, heads, size] = x.shape().dims();
        let mut out = FlexTensor::empty(x.shape(), DType::F32);
        kernels::rotate(
            x.storage(),
            [length, heads, size],
            cosine.storage(),
            sine.storage(),
            direction,
            out.storage_mut(),
        );
        out
    }

    fn silu_multiply(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        let (gate, up) = (gate.to_contiguous(), up.to_contiguous());
        let mut out = FlexTensor::empty(gate.shape(), DType::F32);
        kernels::silu_multiply(gate.storage(), up.storage(), out.storage_mut());
        out
    }

    fn silu_multiply_backward(
        gate: FlexTensor,
        up: FlexTensor,
        upstream: FlexTensor,
    ) -> (FlexTensor, FlexTensor) {
        let (gate, up, upstream) = (
            gate.to_contiguous(),
            up.to_contiguous(),
            upstream.to_contiguous(),
        );
        let mut of_gate = FlexTensor::empty(gate.shape(), DType::F32);
        let mut of_up = FlexTensor::empty(gate.shape(), DType::F32);
        kernels::silu_multiply_backward(
            gate.storage(),
            up.storage(),
            upstream.storage(),
            of_gate.storage_mut(),
            of_up.storage_mut(),
        );
        (of_gate, of_up)
    }

    fn causal_attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        scale: f32,
        visible: Visible,
    ) -> FlexTensor {
        let heads = heads(&query, &key, visible);
        let shape = query.shape();
        let (query, key, value) = (
            query.to_contiguous(),
            key.to_contiguous(),
            value.to_contiguous(),
        );
        let out = kernels::attention(
            query.storage(),
            key.storage(),
            value.storage(),
            &heads,
            scale,
        );
        tensor(out, shape)
    }

    fn causal_attention_backward(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        scale: f32,
        visible: Visible,
        upstream: FlexTensor,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let heads = heads(&query, &key, visible);
        let (query, key, value, upstream) = (
            query.to_contiguous(),
            key.to_contiguous(),
            value.to_contiguous(),
            upstream.to_contiguous(),
        );
        let [of_query, of_key, of_value] = kernels::attention_backward(
            query.storage(),
            key.storage(),
            value.storage(),
            upstream.storage(),
            &heads,
            scale,
        );
        (
            tensor(of_query, query.shape()),
            tensor(of_key, key.shape()),
            tensor(of_value, value.shape()),
        )
    }
}

fn heads(query: &FlexTensor, key: &FlexTensor, visible: Visible) -> Heads {
    let [batch, length, heads, size] = query.shape().dims();
    let [_, key_length, key_heads, _] = key.shape().dims();
    Heads {
        batch,
        length,
        key_length,
        heads,
        key_heads,
        size,
        visible,
    }
}

fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::from_data(burn::tensor::TensorData::new(values, shape))
}

impl<B: FusedBackend, C: CheckpointStrategy> FusedBackend for Autodiff<B, C> {
    fn rms_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let out = B::rms_norm(x.clone(), weight.clone(), epsilon);
        match RmsNorm
            .prepare::<C>([x_node, weight_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((x, weight, epsilon), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn rms_norm_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
        upstream: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (of_x, of_weight) = B::rms_norm_backward(
            x.into_primitive(),
            weight.into_primitive(),
            epsilon,
            upstream.into_primitive(),
        );
        (constant::<B>(of_x), constant::<B>(of_weight))
    }

    fn rotate(
        x: FloatTensor<Self>,
        cosine: FloatTensor<Self>,
        sine: FloatTensor<Self>,
        direction: f32,
    ) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let (cosine, sine) = (cosine.into_primitive(), sine.into_primitive());
        let out = B::rotate(x, cosine.clone(), sine.clone(), direction);
        match Rotate.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((cosine, sine, direction), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn silu_multiply(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((gate, gate_node), (up, up_node)) = (gate.into_parts(), up.into_parts());
        let out = B::silu_multiply(gate.clone(), up.clone());
        match SiluMultiply
            .prepare::<C>([gate_node, up_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((gate, up), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn silu_multiply_backward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (of_gate, of_up) = B::silu_multiply_backward(
            gate.into_primitive(),
            up.into_primitive(),
            upstream.into_primitive(),
        );
        (constant::<B>(of_gate), constant::<B>(of_up))
    }

    fn causal_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        scale: f32,
        visible: Visible,
    ) -> FloatTensor<Self> {
        let (query, query_node) = query.into_parts();
        let (key, key_node) = key.into_parts();
        let (value, value_node) = value.into_parts();
        let out = B::causal_attention(
            query.clone(),
            key.clone(),
            value.clone(),
            scale,
            visible.clone(),
        );
        let nodes = [query_node, key_node, value_node];
        match CausalAttention
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((query, key, value, scale, visible), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn causal_attention_backward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        scale: f32,
        visible: Visible,
        upstream: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (of_query, of_key, of_value) = B::causal_attention_backward(
            query.into_primitive(),
            key.into_primitive(),
            value.into_primitive(),
            scale,
            visible,
            upstream.into_primitive(),
        );
        (
            constant::<B>(of_query),
            constant::<B>(of_key),
            constant::<B>(of_value),
        )
    }
}

/// A tensor that no gradient flows to.
fn constant<B: FusedBackend>(tensor: FloatTensor<B>) -> FloatTensor<Autodiff<B>> {
    Autodiff::<B>::from_inner(tensor)
}

/// Hands gradients to those of an operation's inputs that are tracked.
fn register<B: FusedBackend, const N: usize>(
    grads: &mut Gradients,
    parents: [Option<NodeId>; N],
    gradients: [FloatTensor<B>; N],
) {
    for (parent, gradient) in parents.into_iter().zip(gradients) {
        if let Some(parent) = parent {
            grads.register::<B>(parent, gradient);
        }
    }
}

#[derive(Debug)]
struct RmsNorm;

impl<B: FusedBackend> Backward<B, 2> for RmsNorm {
    type State = (FloatTensor<B>, FloatTensor<B>, f32);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let (x, weight, epsilon) = ops.state;
        let (of_x, of_weight) = B::rms_norm_backward(x, weight, epsilon, upstream);
        let parents = ops.parents.map(|node| node.map(|node| node.id));
        register::<B, 2>(grads, parents, [of_x, of_weight]);
    }
}

#[derive(Debug)]
struct Rotate;

impl<B: FusedBackend> Backward<B, 1> for Rotate {
    type State = (FloatTensor<B>, FloatTensor<B>, f32);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let (cosine, sine, direction) = ops.state;
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::rotate(upstream, cosine, sine, -direction));
        }
    }
}

#[derive(Debug)]
struct SiluMultiply;

impl<B: FusedBackend> Backward<B, 2> for SiluMultiply {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let (gate, up) = ops.state;
        let (of_gate, of_up) = B::silu_multiply_backward(gate, up, upstream);
        let parents = ops.parents.map(|node| node.map(|node| node.id));
        register::<B, 2>(grads, parents, [of_gate, of_up]);
    }
}

#[derive(Debug)]
struct CausalAttention;

impl<B: FusedBackend> Backward<B, 3> for CausalAttention {
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, f32, Visible);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let (query, key, value, scale, visible) = ops.state;
        let (of_query, of_key, of_value) =
            B::causal_attention_backward(query, key, value, scale, visible, upstream);
        let parents = ops.parents.map(|node| node.map(|node| node.id));
        register::<B, 3>(grads, parents, [of_query, of_key, of_value]);
    }
}
