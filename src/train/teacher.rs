//! The teacher: the model before training. It never changes, so its last hidden states are computed
//! once a sample and kept.

use std::collections::HashMap;

use burn::tensor::Tensor;

use crate::data::Batch;
use crate::model::CausalLm;
use crate::objective::Predictions;

/// The frozen model and what it said of each sample.
#[derive(Clone, Debug)]
pub(super) struct Teacher {
    model: CausalLm,
    /// Last hidden states \[length, hidden size\] of samples that have been seen.
    cache: HashMap<usize, Tensor<2>>,
    /// Bytes that may still be kept.
    bytes_left: usize,
}

impl Teacher {
    pub fn new(model: CausalLm, cache_bytes: usize) -> Self {
        Self {
            model,
            cache: HashMap::new(),
            bytes_left: cache_bytes,
        }
    }

    /// The teacher's predictions for a batch, one row a token as the student's.
    pub fn predictions(&mut self, batch: &Batch) -> Predictions {
        let cached = batch
            .samples
            .iter()
            .map(|sample| self.cache.get(sample).cloned())
            .collect();
        let hidden = match cached {
            Some(parts) => self.assemble(parts, batch.length),
            None => {
                let device = self.model.tensor_device();
                let hidden = self.model.predictions(batch.inputs(&device)).hidden;
                self.keep(&hidden, batch);
                hidden
            }
        };
        Predictions {
            hidden,
            head: self.model.decoder().head(self.model.parameters()),
        }
    }

    /// Rows of each sample, padded to the batch's length.
    fn assemble(&self, parts: Vec<Tensor<2>>, length: usize) -> Tensor<2> {
        let mut rows = Vec::with_capacity(2 * parts.len());
        for part in parts {
            let [own, width] = part.dims();
            let padding = length - own;
            let device = part.device();
            rows.push(part);
            if padding > 0 {
                rows.push(Tensor::zeros([padding, width], &device));
            }
        }
        Tensor::cat(rows, 0)
    }

    fn keep(&mut self, hidden: &Tensor<2>, batch: &Batch) {
        let [_, width] = hidden.dims();
        let rows = batch.samples.iter().zip(&batch.lengths).enumerate();
        for (row, (&sample, &length)) in rows {
            let bytes = length * width * size_of::<f32>();
            if bytes <= self.bytes_left && !self.cache.contains_key(&sample) {
                self.bytes_left -= bytes;
                let states = hidden.clone().narrow(0, row * batch.length, length);
                self.cache.insert(sample, states);
            }
        }
    }
}
