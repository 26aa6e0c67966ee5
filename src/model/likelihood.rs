//! How likely a model finds the tokens of a batch, and how far its predictions are from another model's.

use burn::tensor::Tensor;

use super::batch::Batch;
use super::causal_lm::CausalLm;
use crate::kernels::distillation::{DEFAULT_TILE_BYTES, Objective, losses_by_row};

impl CausalLm {
    /// Computes the negative log-likelihood of each label of a batch in nats \[samples · length\]; 0 where
    /// masked.
    pub(crate) fn token_nll(&self, batch: &Batch) -> Tensor<1> {
        let device = self.tensor_device();
        // The loss for the one-hot target is the negative log-likelihood.
        let [nll] = losses_by_row(
            &self.predictions(batch.inputs(&device)),
            None,
            &batch.labels(&device),
            &[Objective::finetuning()],
            DEFAULT_TILE_BYTES,
        );
        nll
    }

    /// Computes the same as [`Self::token_nll`], and KL(reference ‖ model) of the prediction of each label in
    /// nats. Both models have the same vocabulary.
    pub(crate) fn token_nll_and_divergence(
        &self,
        reference: &Self,
        batch: &Batch,
    ) -> [Tensor<1>; 2] {
        let device = self.tensor_device();
        losses_by_row(
            &self.predictions(batch.inputs(&device)),
            Some(&reference.predictions(batch.inputs(&device))),
            &batch.labels(&device),
            &[Objective::finetuning(), Objective::divergence()],
            DEFAULT_TILE_BYTES,
        )
    }
}
