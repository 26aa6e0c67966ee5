//! The objective in burn's autodiff. The forward pass already has the gradients; the backward pass
//! scales them by what comes from above.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, AutodiffBackend, TensorMetadata};
use burn::tensor::Shape;

use super::backend::{ObjectiveBackend, TeacherHidden, TeacherLogits};
use super::settings::Objective;
use super::tiled::{self, Wanted};

impl<B: ObjectiveBackend, C: CheckpointStrategy> ObjectiveBackend for Autodiff<B, C> {
    /// No gradient flows through the target: the teacher is frozen.
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
        student_head: FloatTensor<Self>,
        teacher: TeacherHidden<Self>,
        labels: IntTensor<Self>,
        objective: Objective,
        scale: f32,
        tile: usize,
    ) -> FloatTensor<Self> {
        let wanted = Wanted {
            hidden: student_hidden.is_tracked(),
            head: student_head.is_tracked(),
        };
        let teacher = match teacher {
            TeacherHidden::Unneeded => TeacherHidden::Unneeded,
            TeacherHidden::Hidden { hidden, head } => TeacherHidden::Hidden {
                hidden: hidden.into_primitive(),
                head: head.into_primitive(),
            },
        };
        let (student_hidden, hidden_node) = student_hidden.into_parts();
        let (student_head, head_node) = student_head.into_parts();
        let inputs = tiled::Inputs {
            student_hidden,
            student_head,
            teacher,
            labels,
            objective,
            scale,
            tile,
        };
        let result = tiled::loss_and_gradients::<B>(inputs, wanted);
        match LossOfHidden
            .prepare::<C>([hidden_node, head_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((result.hidden, result.head), result.loss),
            OpsKind::UnTracked(prep) => prep.finish(result.loss),
        }
    }
}

/// A tensor that no gradient flows to.
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
    /// Gradient of each row's loss with respect to its logits.
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

impl<B: ObjectiveBackend> Backward<B, 2> for LossOfHidden {
    /// Gradients of the loss with respect to hidden states and head, where they are tracked.
    type State = (Option<FloatTensor<B>>, Option<FloatTensor<B>>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let upstream = B::float_reshape(upstream, Shape::new([1, 1]));
        let (hidden, head) = ops.state;
        for (node, gradient) in ops.parents.into_iter().zip([hidden, head]) {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                grads.register::<B>(node.id, B::float_mul(gradient, upstream.clone()));
            }
        }
    }
}
