//! Forward and backward pass of a batch: in one sweep, or layer by layer with gradient checkpointing.

use std::sync::Arc;

use burn::tensor::{Gradients, Tensor};

use crate::device;
use crate::kernels::distillation::Predictions;
use crate::kernels::profile::{self, Phase};
use crate::model::{Batch, Carried, CausalLm, Parameters};

/// A loss and its gradient.
#[derive(Clone, Debug)]
pub(super) struct LossAndGradients {
    /// The loss \[1\].
    pub loss: Tensor<1>,
    /// One gradient per trainable parameter.
    pub gradients: Parameters,
}

impl LossAndGradients {
    /// Returns zeros for these parameters, of which there is at least one.
    pub(super) fn zeros(parameters: &[Tensor<2>]) -> Self {
        Self {
            loss: Tensor::zeros([1], &parameters[0].device()),
            gradients: parameters.iter().map(Tensor::zeros_like).collect(),
        }
    }

    /// Returns the sum of both.
    pub(super) fn plus(self, other: Self) -> Self {
        let gradients = self.gradients.into_iter().zip(other.gradients);
        Self {
            loss: self.loss + other.loss,
            gradients: gradients.map(|(a, b)| a + b).collect(),
        }
    }
}

/// A backward pass: a model, a batch, and the loss of its predictions.
pub(super) struct Backward<'a> {
    pub model: &'a CausalLm,
    pub batch: &'a Batch,
    /// Seeds of an adapter's dropout, one per sample; `None` for no dropout.
    pub dropout_seeds: Option<Arc<[u64]>>,
    /// Computes the loss \[1\] of the predictions.
    pub loss: &'a dyn Fn(Predictions) -> Tensor<1>,
}

impl Backward<'_> {
    /// Computes the loss and its gradient with respect to the model's trainable values.
    pub(super) fn run(&self, checkpointing: bool) -> LossAndGradients {
        if checkpointing {
            self.layer_by_layer()
        } else {
            self.in_one_sweep()
        }
    }

    /// Computes the loss \[1\], and while it is computed, the gradients of the predictions.
    fn loss(&self, predictions: Predictions) -> Tensor<1> {
        let _phase = profile::phase(Phase::Loss);
        (self.loss)(predictions)
    }

    fn in_one_sweep(&self) -> LossAndGradients {
        let phase = profile::phase(Phase::Forward);
        let (student, values) = self.model.tracked();
        let inputs = self.batch.inputs(&self.model.tensor_device());
        let predictions = student.predictions_with_dropout(inputs, self.dropout_seeds.as_ref());
        drop(phase);
        let loss = self.loss(predictions);
        let _phase = profile::phase(Phase::Backward);
        let mut sums = Sums::new(values);
        sums.take(&mut loss.backward());
        LossAndGradients {
            loss: loss.inner(),
            gradients: sums.finish(),
        }
    }

    /// Gradient checkpointing (Chen et al., arXiv:1604.06174) with a checkpoint before each layer: a
    /// layer's activations exist only while its own gradient is computed, for which they are computed a
    /// second time.
    fn layer_by_layer(&self) -> LossAndGradients {
        let phase = profile::phase(Phase::Forward);
        let decoder = self.model.decoder();
        let inputs = self.batch.inputs(&self.model.tensor_device());
        let weights = self.model.weights(self.dropout_seeds.as_ref());
        let pass = decoder.pass(&weights, &inputs, 0);
        let layers = decoder.config().layers.len();
        let mut carried = Carried::default();
        let mut before = vec![pass.embed(inputs.tokens.clone(), &mut carried)];
        for layer in 0..layers {
            let x = before[layer].clone();
            before.push(pass.layer(layer, x, &mut carried, None));
        }

        let (student, values) = self.model.tracked();
        let weights = student.weights(self.dropout_seeds.as_ref());
        let pass = decoder.pass(&weights, &inputs, 0);
        let mut sums = Sums::new(values);
        let leaf = |x: Tensor<2>| x.autodiff().require_grad();
        let last = |before: &mut Vec<Tensor<2>>| {
            let x = before.pop();
            leaf(x.expect("there is a state before and after each layer"))
        };
        let end = last(&mut before);
        let predictions = Predictions {
            hidden: pass.finish(end.clone()),
            head: decoder.head(&weights),
        };
        drop(phase);
        let loss = self.loss(predictions);
        let _phase = profile::phase(Phase::Backward);
        let mut upstream = Upstream {
            hidden: sums.take_with(&mut loss.backward(), &end),
            carried: Carried::default(),
        };
        for layer in (0..layers).rev() {
            let x = last(&mut before);
            let earlier = carried.iter();
            let earlier = earlier.filter(|(slot, _)| slot.made_by() < Some(layer));
            let leaves = earlier.map(|(slot, tensor)| (*slot, leaf(tensor.clone())));
            let leaves: Carried = leaves.collect();
            let mut carried = leaves.clone();
            let output = pass.layer(layer, x.clone(), &mut carried, None);
            let mut gradients = upstream.pull(output, carried, Some(layer)).backward();
            upstream.hidden = sums.take_with(&mut gradients, &x);
            upstream.add(leaves, &mut gradients);
        }
        // Most adapters train nothing before the first layer.
        if self.model.trains_embeddings() {
            let mut carried = Carried::default();
            let output = pass.embed(inputs.tokens, &mut carried);
            sums.take(&mut upstream.pull(output, carried, None).backward());
        }
        LossAndGradients {
            loss: loss.inner(),
            gradients: sums.finish(),
        }
    }
}

/// Gradients of the loss with respect to what a part of the decoder computes.
struct Upstream {
    /// With respect to the hidden states after it.
    hidden: Tensor<2>,
    /// With respect to what is carried to later layers, of which all have been differentiated.
    carried: Carried,
}

impl Upstream {
    /// Returns the products of what a part computed and the gradients, summed: the gradient of this sum is that of
    /// the loss, as far as it comes through this part. `made_by` is its layer, or `None` for the embedding.
    fn pull(&mut self, hidden: Tensor<2>, carried: Carried, made_by: Option<usize>) -> Tensor<1> {
        let product =
            |output: Tensor<2>, gradient: Tensor<2>| device::sum(output * gradient.autodiff());
        let mut sum = product(hidden, self.hidden.clone());
        for (slot, tensor) in carried {
            if slot.made_by() == made_by
                && let Some(gradient) = self.carried.remove(&slot)
            {
                sum = sum + product(tensor, gradient);
            }
        }
        sum
    }

    /// Adds the gradients with respect to tensors that a layer may have read.
    fn add(&mut self, read: Carried, gradients: &mut Gradients) {
        for (slot, tensor) in read {
            if let Some(mut gradient) = tensor.grad_remove(gradients) {
                if let Some(sum) = self.carried.remove(&slot) {
                    gradient = sum + gradient;
                }
                self.carried.insert(slot, gradient);
            }
        }
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

    /// Adds the gradients of the tracked values.
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

    /// Adds them, and returns the gradient of another tensor.
    fn take_with(&mut self, gradients: &mut Gradients, other: &Tensor<2>) -> Tensor<2> {
        self.take(gradients);
        let gradient = other.grad_remove(gradients);
        gradient.unwrap_or_else(|| other.clone().inner().zeros_like())
    }

    /// Returns the sums; 0 for values without gradient.
    fn finish(self) -> Parameters {
        let sums = self.values.into_iter().zip(self.sums);
        sums.map(|(value, sum)| sum.unwrap_or_else(|| value.inner().zeros_like()))
            .collect()
    }
}
