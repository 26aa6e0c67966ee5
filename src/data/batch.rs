//! Batches of samples of about the same length, padded on the right.

use burn::tensor::{Int, Tensor, TensorData};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::samples::Sample;
use crate::objective::twin::MASKED;

/// Batches among whose samples lengths are sorted; within such a window the order is random.
const WINDOW: usize = 16;

/// A batch: every token but a sample's last is an input, every token but the first a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Which samples, by their position in the list.
    pub samples: Vec<usize>,
    /// Inputs of each sample.
    pub lengths: Vec<usize>,
    /// Inputs of the longest sample.
    pub length: usize,
    /// Labels that count.
    pub positions: usize,
    tokens: Vec<i32>,
    labels: Vec<i32>,
}

impl Batch {
    /// The batch of those samples of a list.
    pub fn new(list: &[Sample], samples: Vec<usize>) -> Self {
        let lengths: Vec<usize> = samples.iter().map(|&index| list[index].len() - 1).collect();
        let length = lengths.iter().copied().max().unwrap_or(0);
        let mut tokens = vec![0; samples.len() * length];
        let mut labels = vec![MASKED; samples.len() * length];
        for (row, &index) in samples.iter().enumerate() {
            let sample = &list[index];
            for (i, pair) in sample.windows(2).enumerate() {
                tokens[row * length + i] = pair[0] as i32;
                labels[row * length + i] = pair[1] as i32;
            }
        }
        Self {
            samples,
            positions: lengths.iter().sum(),
            lengths,
            length,
            tokens,
            labels,
        }
    }

    /// Input token ids \[samples, length\].
    pub fn tokens(&self, device: &burn::tensor::Device) -> Tensor<2, Int> {
        let shape = [self.samples.len(), self.length];
        Tensor::from_data(TensorData::new(self.tokens.clone(), shape), device)
    }

    /// Labels \[samples · length\], negative where there is nothing to predict.
    pub fn labels(&self, device: &burn::tensor::Device) -> Tensor<1, Int> {
        Tensor::from_data(
            TensorData::new(self.labels.clone(), [self.labels.len()]),
            device,
        )
    }
}

/// The batches of an epoch, as positions in the list: a random order that `seed` and `epoch` fix,
/// in which samples of about the same length come together.
pub fn epoch_batches(
    list: &[Sample],
    batch_size: usize,
    seed: u64,
    epoch: usize,
) -> Vec<Vec<usize>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(epoch as u64);
    let mut order: Vec<usize> = (0..list.len()).collect();
    order.shuffle(&mut random);
    for window in order.chunks_mut(batch_size.saturating_mul(WINDOW)) {
        window.sort_by_key(|&index| list[index].len());
    }
    let mut batches: Vec<Vec<usize>> = order.chunks(batch_size).map(<[usize]>::to_vec).collect();
    batches.shuffle(&mut random);
    batches
}

/// Batches that cover the list once, by length: for evaluation, where the order does not matter.
pub fn ordered_batches(list: &[Sample], batch_size: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..list.len()).collect();
    order.sort_by_key(|&index| list[index].len());
    order.chunks(batch_size).map(<[usize]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Vec<Sample> {
        (0..103).map(|i| (0..2 + (i * 7) % 31).collect()).collect()
    }

    #[test]
    fn an_epoch_takes_every_sample_once_in_an_order_of_its_own() {
        let list = list();
        let first = epoch_batches(&list, 8, 7, 0);
        assert_eq!(first.len(), 13);
        let mut all: Vec<usize> = first.concat();
        all.sort_unstable();
        assert_eq!(all, (0..103).collect::<Vec<_>>());
        assert_eq!(first, epoch_batches(&list, 8, 7, 0));
        assert_ne!(first, epoch_batches(&list, 8, 7, 1));
        assert_ne!(first, epoch_batches(&list, 8, 8, 0));
    }

    #[test]
    fn labels_are_the_next_tokens_and_padding_counts_nothing() {
        let list = vec![vec![5, 6, 7], vec![8, 9]];
        let batch = Batch::new(&list, vec![1, 0]);
        assert_eq!((batch.length, batch.positions), (2, 3));
        assert_eq!(batch.tokens, [8, 0, 5, 6]);
        assert_eq!(batch.labels, [9, MASKED, 6, 7]);
    }

    #[test]
    fn batches_waste_little_on_padding() {
        let list = list();
        let padded: usize = epoch_batches(&list, 8, 1, 0)
            .into_iter()
            .map(|samples| Batch::new(&list, samples))
            .map(|batch| batch.length * batch.samples.len())
            .sum();
        let positions = crate::data::samples::positions(&list);
        assert!(padded < positions * 5 / 4, "{padded} for {positions}");
    }
}
