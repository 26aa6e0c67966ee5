//! The loss of a batch and its gradient: in one sweep, or a layer at a time.

use burn::tensor::{Gradients, Tensor};

use crate::data::Batch;
use crate::device;
use crate::model::{CausalLm, Parameters};
use crate::objective::{Objective, Predictions, distillation_loss};

/// A batch to take the gradient of.
pub(super) struct Work<'a> {
    pub model: &'a CausalLm,
    /// Fixes what an adapter's dropout takes; none for no dropout.
    pub dropout_seed: Option<u64>,
    /// The teacher's predictions of the batch, where the objective needs them.
    pub teacher: Option<Predictions>,
    pub batch: &'a Batch,
    pub objective: &'a Objective,
    /// Positions that the loss is the mean over.
    pub positions: usize,
    pub tile_bytes: usize,
}

impl Work<'_> {
    /// The loss \[1\] and its gradient with respect to the model's trainable values. With
    /// checkpointing a layer's activations exist only while its own gradient is computed, for which
    /// it is computed twice.
    pub fn gradients(self, checkpointing: bool) -> (Tensor<1>, Parameters) {
        if checkpointing {
            self.layer_by_layer()
        } else {
            self.in_one_sweep()
        }
    }

    fn in_one_sweep(self) -> (Tensor<1>, Parameters) {
        let (student, values) = self.model.tracked();
        let inputs = self.batch.inputs(&self.model.tensor_device());
        let predictions = student.predictions_with_dropout(inputs, self.dropout_seed);
        let loss = self.loss(predictions);
        let mut sums = Sums::new(values);
        sums.take(&mut loss.backward());
        (loss.inner(), sums.finish())
    }

    /// Gradient checkpointing (Chen et al., arXiv:1604.06174) with a checkpoint before each layer.
    fn layer_by_layer(self) -> (Tensor<1>, Parameters) {
        let decoder = self.model.decoder();
        let inputs = self.batch.inputs(&self.model.tensor_device());
        let weights = self.model.weights(self.dropout_seed);
        let pass = decoder.pass(&weights, &inputs, 0);
        let layers = decoder.config().layers.len();
        let mut before = vec![pass.embed(inputs.tokens.clone())];
        for layer in 0..layers {
            before.push(pass.layer(layer, before[layer].clone(), None));
        }

        let (student, values) = self.model.tracked();
        let weights = student.weights(self.dropout_seed);
        let pass = decoder.pass(&weights, &inputs, 0);
        let mut sums = Sums::new(values);
        let leaf = |x: Option<Tensor<2>>| {
            let x = x.expect("there is a state before and after each layer");
            x.autodiff().require_grad()
        };
        let end = leaf(before.pop());
        let loss = self.loss(Predictions {
            hidden: pass.finish(end.clone()),
            head: decoder.head(weights.parameters),
        });
        let mut upstream = sums.take_with(&mut loss.backward(), &end);
        // The gradient of made · upstream is that of the loss, as far as it comes through this layer.
        let pull = |made: Tensor<2>, upstream: Tensor<2>| device::sum(made * upstream.autodiff());
        for layer in (0..layers).rev() {
            let x = leaf(before.pop());
            let made = pass.layer(layer, x.clone(), None);
            upstream = sums.take_with(&mut pull(made, upstream).backward(), &x);
        }
        // With an adapter nothing is trained before the first layer.
        if self.model.adapter().is_none() {
            let made = pass.embed(inputs.tokens);
            sums.take(&mut pull(made, upstream).backward());
        }
        (loss.inner(), sums.finish())
    }

    fn loss(&self, predictions: Predictions) -> Tensor<1> {
        distillation_loss(
            predictions,
            self.teacher.clone(),
            self.batch.labels(&self.model.tensor_device()),
            self.objective,
            self.positions,
            self.tile_bytes,
        )
    }
}

/// Sums of the gradients of tracked values.
struct Sums {
    values: Parameters,
    sums: Vec<Option<Tensor<2>>>,
}

impl Sums {
    fn new(values: Parameters) -> Self {
        Self {
            sums: vec![None; values.len()],
            values,
        }
    }

    /// Adds what gradients hold of the values.
    fn take(&mut self, gradients: &mut Gradients) {
        for (value, sum) in self.values.iter().zip(&mut self.sums) {
            if let Some(gradient) = value.grad_remove(gradients) {
                *sum = Some(match sum.take() {
                    Some(sum) => sum + gradient,
                    None => gradient,
                });
            }
        }
    }

    /// The same; returns the gradient of another tensor.
    fn take_with(&mut self, gradients: &mut Gradients, other: &Tensor<2>) -> Tensor<2> {
        self.take(gradients);
        let gradient = other.grad_remove(gradients);
        gradient.unwrap_or_else(|| other.clone().inner().zeros_like())
    }

    /// The sums, 0 where there was nothing.
    fn finish(self) -> Parameters {
        let sums = self.values.into_iter().zip(self.sums);
        sums.map(|(value, sum)| sum.unwrap_or_else(|| value.inner().zeros_like()))
            .collect()
    }
}
