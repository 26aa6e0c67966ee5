//! The objective in burn's autodiff. The forward pass already computes the gradients; the backward pass
//! scales them by the upstream gradient.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, AutodiffBackend, TensorMetadata};
use burn::tensor::Shape;

use super::backend::ObjectiveBackend;
use super::objective::Objective;
use super::row_weights::RowWeights;
use super::teacher::{TeacherHidden, TeacherLogits};
use super::tiled::{self, Requested};
use crate::kernels::packed::Head;

impl<B: ObjectiveBackend, C: CheckpointStrategy> ObjectiveBackend for Autodiff<B, C> {
    /// Computes the target without tracking gradients, since the teacher is frozen.
    fn corrected_target(
        teacher_logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        objective: Objective,
    ) -> FloatTensor<Self> {
        constant::<B>(B::corrected_target(
            teacher_logits.into_primitive(),
            labels,
            objective,
        ))
    }

    fn loss_and_gradient(
        student_logits: FloatTensor<Self>,
        teacher_logits: TeacherLogits<Self>,
        labels: IntTensor<Self>,
        objective: Objective,
        gradient_scale: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (losses, gradient) = B::loss_and_gradient(
            student_logits.into_primitive(),
            inner_logits(teacher_logits),
            labels,
            objective,
            gradient_scale,
        );
        (constant::<B>(losses), constant::<B>(gradient))
    }

    fn loss_of_logits(
        student_logits: FloatTensor<Self>,
        teacher_logits: TeacherLogits<Self>,
        labels: IntTensor<Self>,
        objective: Objective,
    ) -> FloatTensor<Self> {
        let teacher_logits = inner_logits(teacher_logits);
        let (student_logits, node) = student_logits.into_parts();
        let (losses, gradient) =
            B::loss_and_gradient(student_logits, teacher_logits, labels, objective, 1.0);
        match LossOfLogits.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(gradient, losses),
            OpsKind::UnTracked(prep) => prep.finish(losses),
        }
    }

    fn loss_of_hidden(
        student_hidden: FloatTensor<Self>,
        student_head: Head<Self>,
        teacher: TeacherHidden<Self>,
        soft_cap: Option<f32>,
        labels: IntTensor<Self>,
        weights: RowWeights<Self>,
        objective: Objective,
        scale: f32,
        tile: usize,
    ) -> FloatTensor<Self> {
        let hidden_requested = student_hidden.is_tracked();
        let (student_hidden, hidden_node) = student_hidden.into_parts();
        let teacher = match teacher {
            TeacherHidden::Unneeded => TeacherHidden::Unneeded,
            TeacherHidden::Hidden { hidden, head } => TeacherHidden::Hidden {
                hidden: hidden.into_primitive(),
                head: match head {
                    Head::Float(head) => Head::Float(head.into_primitive()),
                    Head::Packed { words, layout } => Head::Packed { words, layout },
                },
            },
        };
        let weights = match weights {
            RowWeights::Equal => RowWeights::Equal,
            RowWeights::Weights(weights) => RowWeights::Weights(weights.into_primitive()),
        };
        let compute = |student_head, head_requested| {
            let inputs = tiled::Inputs {
                student_hidden,
                student_head,
                teacher,
                soft_cap,
                labels,
                weights,
                objective,
                scale,
                tile,
            };
            let requested = Requested {
                hidden: hidden_requested,
                head: head_requested,
            };
            tiled::loss_and_gradients::<B>(inputs, requested, B::loss_and_gradient)
        };
        match student_head {
            Head::Float(head) => {
                let head_requested = head.is_tracked();
                let (head, head_node) = head.into_parts();
                let result = compute(Head::Float(head), head_requested);
                let gradients = [result.hidden, result.head];
                loss_of_hidden::<B, C, 2>([hidden_node, head_node], gradients, result.loss)
            }
            Head::Packed { words, layout } => {
                let result = compute(Head::Packed { words, layout }, false);
                loss_of_hidden::<B, C, 1>([hidden_node], [result.hidden], result.loss)
            }
        }
    }
}

/// Registers the gradients of the loss with respect to its parents.
fn loss_of_hidden<B: ObjectiveBackend, C: CheckpointStrategy, const N: usize>(
    parents: [NodeGuard; N],
    gradients: [Option<FloatTensor<B>>; N],
    loss: FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    match LossOfHidden
        .prepare::<C>(parents)
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prep) => prep.finish(gradients, loss),
        OpsKind::UnTracked(prep) => prep.finish(loss),
    }
}

/// Wraps a tensor that is not differentiated.
fn constant<B: ObjectiveBackend>(tensor: FloatTensor<B>) -> FloatTensor<Autodiff<B>> {
    Autodiff::<B>::from_inner(tensor)
}

fn inner_logits<B: ObjectiveBackend, C: CheckpointStrategy>(
    logits: TeacherLogits<Autodiff<B, C>>,
) -> TeacherLogits<B> {
    match logits {
        TeacherLogits::Unneeded => TeacherLogits::Unneeded,
        TeacherLogits::Logits(logits) => TeacherLogits::Logits(logits.into_primitive()),
    }
}

#[derive(Debug)]
struct LossOfLogits;

impl<B: ObjectiveBackend> Backward<B, 1> for LossOfLogits {
    /// Gradients of each row's loss with respect to its logits.
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let upstream = grads.consume::<B>(&ops.node);
        if let Some(node) = node {
            let rows = upstream.shape().num_elements();
            let upstream = B::float_reshape(upstream, Shape::new([rows, 1]));
            grads.register::<B>(node.id, B::float_mul(ops.state, upstream));
        }
    }
}

#[derive(Debug)]
struct LossOfHidden;

impl<B: ObjectiveBackend, const N: usize> Backward<B, N> for LossOfHidden {
    /// Gradients of the loss with respect to hidden states, and head if there is a node for it; where tracked.
    type State = [Option<FloatTensor<B>>; N];

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let upstream = B::float_reshape(upstream, Shape::new([1, 1]));
        for (node, gradient) in ops.parents.into_iter().zip(ops.state) {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                grads.register::<B>(node.id, B::times_upstream(gradient, upstream.clone()));
            }
        }
    }
}
