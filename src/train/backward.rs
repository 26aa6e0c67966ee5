//! Forward and backward pass of a batch: in one sweep, or layer by layer, with gradient checkpointing or to send gradients
//! to other ranks as soon as they are complete.

use std::sync::Arc;

use burn::tensor::{Gradients, Tensor};

use super::sum::StepSums;
use crate::device;
use crate::error::Result;
use crate::kernels::distillation::Predictions;
use crate::kernels::profile::{self, Phase};
use crate::model::{Batch, Carried, CausalLm, Pass};

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
    /// Adds the loss and its gradient with respect to the model's trainable values to the sums. If this is the `last`
    /// batch of a step, gradients are sent to the other ranks while those of earlier layers are computed.
    ///
    /// # Errors
    ///
    /// Those of [`StepSums::send`].
    pub(super) async fn run(
        &self,
        checkpointing: bool,
        last: bool,
        sums: &mut StepSums<'_>,
    ) -> Result<()> {
        let sends = last && sums.are_sent() && self.model.adapter().is_none();
        if checkpointing || sends {
            self.layer_by_layer(checkpointing, sends, sums).await
        } else {
            self.in_one_sweep(sums);
            Ok(())
        }
    }

    /// Computes the loss \[1\], and while it is computed, the gradients of the predictions.
    fn loss(&self, predictions: Predictions) -> Tensor<1> {
        let _phase = profile::phase(Phase::Loss);
        (self.loss)(predictions)
    }

    fn in_one_sweep(&self, sums: &mut StepSums<'_>) {
        let phase = profile::phase(Phase::Forward);
        let (student, values) = self.model.tracked();
        let inputs = self.batch.inputs(&self.model.tensor_device());
        let predictions = student.predictions_with_dropout(inputs, self.dropout_seeds.as_ref());
        drop(phase);
        let loss = self.loss(predictions);
        let _phase = profile::phase(Phase::Backward);
        sums.add(&values, &mut loss.backward());
        sums.add_loss(loss.inner());
    }

    /// Differentiates the layers one after the other, from the last to the first.
    ///
    /// With gradient checkpointing (Chen et al., arXiv:1604.06174), a layer's activations exist only while its own
    /// gradient is computed, for which they are computed a second time from its input.
    async fn layer_by_layer(
        &self,
        checkpointing: bool,
        sends: bool,
        sums: &mut StepSums<'_>,
    ) -> Result<()> {
        let phase = profile::phase(Phase::Forward);
        let decoder = self.model.decoder();
        let inputs = self.batch.inputs(&self.model.tensor_device());
        let weights = self.model.weights(self.dropout_seeds.as_ref());
        let untracked = decoder.pass(&weights, &inputs, 0);
        let (student, values) = self.model.tracked();
        let weights = student.weights(self.dropout_seeds.as_ref());
        let tracked = decoder.pass(&weights, &inputs, 0);

        let mut carried = Carried::default();
        let mut x = untracked.embed(inputs.tokens.clone(), &mut carried);
        let mut layers = Vec::new();
        for layer in 0..decoder.config().layers.len() {
            let input = LayerInput::new(x, &carried);
            layers.push(if checkpointing {
                x = untracked.layer(layer, input.x.clone(), &mut carried, None);
                Layer::Input(Box::new(input))
            } else {
                let output = input.track(layer, &tracked);
                x = output.x.clone().inner();
                for (slot, tensor) in &output.carried {
                    carried
                        .entry(*slot)
                        .or_insert_with(|| tensor.clone().inner());
                }
                Layer::Tracked(Box::new(output))
            });
        }
        let end = x.autodiff().require_grad();
        let predictions = Predictions {
            hidden: tracked.finish(end.clone()),
            head: decoder.head(&weights),
        };
        drop(phase);
        let loss = self.loss(predictions);

        let _phase = profile::phase(Phase::Backward);
        let mut gradients = loss.backward();
        sums.add_loss(loss.inner());
        sums.add(&values, &mut gradients);
        let mut upstream = Upstream {
            hidden: gradient(&end, &mut gradients),
            carried: Carried::default(),
        };
        while let Some(layer) = layers.pop() {
            let number = layers.len();
            let layer = match layer {
                Layer::Input(input) => input.track(number, &tracked),
                Layer::Tracked(layer) => *layer,
            };
            let pulled = upstream.pull(layer.x, layer.carried, Some(number));
            let mut gradients = pulled.backward();
            sums.add(&values, &mut gradients);
            upstream.hidden = gradient(&layer.input.x, &mut gradients);
            upstream.add(layer.input.carried, &mut gradients);
            if sends {
                sums.send(decoder.first_parameter(number)).await?;
            }
        }
        // Most adapters train nothing before the first layer.
        if self.model.trains_embeddings() {
            let mut carried = Carried::default();
            let output = tracked.embed(inputs.tokens, &mut carried);
            let mut gradients = upstream.pull(output, carried, None).backward();
            sums.add(&values, &mut gradients);
        }
        Ok(())
    }
}

/// Returns the gradient with respect to a tensor.
fn gradient(tensor: &Tensor<2>, gradients: &mut Gradients) -> Tensor<2> {
    let gradient = tensor.grad_remove(gradients);
    gradient.unwrap_or_else(|| tensor.clone().inner().zeros_like())
}

/// A layer in the forward pass.
enum Layer {
    /// Only its input is kept.
    Input(Box<LayerInput>),
    Tracked(Box<TrackedLayer>),
}

/// What a layer takes.
struct LayerInput {
    x: Tensor<2>,
    /// What earlier layers carry to it.
    carried: Carried,
}

/// A layer that can be differentiated.
struct TrackedLayer {
    /// Its input, tracked as leaves.
    input: LayerInput,
    x: Tensor<2>,
    /// Its input and what it carries to later layers.
    carried: Carried,
}

impl LayerInput {
    fn new(x: Tensor<2>, carried: &Carried) -> Self {
        let carried = carried.clone();
        Self { x, carried }
    }

    /// Computes the layer from its input, as the start of what is differentiated.
    fn track(self, number: usize, pass: &Pass<'_>) -> TrackedLayer {
        let leaf = |x: Tensor<2>| x.autodiff().require_grad();
        let carried = self.carried.into_iter();
        let input = Self {
            x: leaf(self.x),
            carried: carried.map(|(slot, x)| (slot, leaf(x))).collect(),
        };
        let mut carried = input.carried.clone();
        let x = pass.layer(number, input.x.clone(), &mut carried, None);
        TrackedLayer { input, x, carried }
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
