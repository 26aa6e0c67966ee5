//! Batches of samples of similar length, right-padded.

use std::ops::Range;

use burn::tensor::{Int, Tensor, TensorData};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::Inputs;
use crate::kernels::attention::SegmentStarts;
use crate::kernels::distillation::cpu::MASKED;
use crate::text::Sample;

/// Number of batches per bucket: samples are shuffled, then sorted by length within each bucket.
const WINDOW: usize = 16;

/// A batch. Inputs are all tokens of a sample except the last, labels are the tokens that follow them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Indices of the samples in their list.
    pub samples: Vec<usize>,
    /// Number of input tokens of each sample.
    pub lengths: Vec<usize>,
    /// Number of input tokens of the longest sample.
    pub length: usize,
    /// Number of unmasked labels.
    pub predicted_tokens: usize,
    /// Number of tokens of the longest text, its last one included.
    sequence_length: usize,
    tokens: Vec<i32>,
    labels: Vec<i32>,
    /// Start of the text of each input token; `None` if no sample is packed.
    segment_starts: Option<SegmentStarts>,
}

impl Batch {
    /// Collates the samples with these indices in a list.
    pub fn new(list: &[Sample], samples: Vec<usize>) -> Self {
        let lengths: Vec<usize> = samples.iter().map(|&index| list[index].inputs()).collect();
        let length = lengths.iter().copied().max().unwrap_or(0);
        let mut tokens = vec![0; samples.len() * length];
        let mut labels = vec![MASKED; samples.len() * length];
        for (row, &index) in samples.iter().enumerate() {
            let sample = &list[index];
            for (i, pair) in sample.tokens().windows(2).enumerate() {
                tokens[row * length + i] = pair[0] as i32;
                if sample.loss_mask()[i + 1] {
                    labels[row * length + i] = pair[1] as i32;
                }
            }
        }
        let of_batch = || samples.iter().map(|&index| &list[index]);
        let packed = of_batch().any(|sample| sample.segment_starts().len() > 1);
        Self {
            segment_starts: packed.then(|| {
                of_batch()
                    .flat_map(|sample| starts_of_positions(sample, length))
                    .collect()
            }),
            sequence_length: of_batch().map(Sample::longest_text).max().unwrap_or(0),
            predicted_tokens: of_batch().map(Sample::predicted_tokens).sum(),
            samples,
            lengths,
            length,
            tokens,
            labels,
        }
    }

    /// Returns the number of unmasked labels of a row.
    pub(crate) fn predicted_tokens_of(&self, row: usize) -> usize {
        let labels = &self.labels[row * self.length..(row + 1) * self.length];
        labels.iter().filter(|&&label| label != MASKED).count()
    }

    /// Returns a batch of some rows of this one, with less padding. Each row is computed as in the whole batch: what
    /// depends on the longest text still does.
    pub(crate) fn of_rows(&self, rows: &[usize]) -> Self {
        let lengths: Vec<usize> = rows.iter().map(|&row| self.lengths[row]).collect();
        let length = lengths.iter().copied().max().unwrap_or(0);
        let places = || {
            rows.iter()
                .map(|&row| row * self.length..row * self.length + length)
        };
        let of_rows = |values: &[i32]| places().flat_map(|place| values[place].to_vec()).collect();
        Self {
            samples: rows.iter().map(|&row| self.samples[row]).collect(),
            predicted_tokens: rows.iter().map(|&row| self.predicted_tokens_of(row)).sum(),
            sequence_length: self.sequence_length,
            tokens: of_rows(&self.tokens),
            labels: of_rows(&self.labels),
            segment_starts: self
                .segment_starts
                .as_ref()
                .map(|starts| places().flat_map(|place| starts[place].to_vec()).collect()),
            lengths,
            length,
        }
    }

    /// Returns the input tokens \[samples, length\].
    pub fn inputs(&self, device: &burn::tensor::Device) -> Inputs {
        let shape = [self.samples.len(), self.length];
        Inputs {
            tokens: Tensor::from_data(TensorData::new(self.tokens.clone(), shape), device),
            segment_starts: self.segment_starts.clone(),
            sequence_length: Some(self.sequence_length),
        }
    }

    /// Returns the weight of every token's sample \[samples · length\]; `weights` are those of the list, 1 beyond it.
    pub(crate) fn token_weights(
        &self,
        weights: &[f32],
        device: &burn::tensor::Device,
    ) -> Tensor<1> {
        let of_samples = self
            .samples
            .iter()
            .map(|&index| weights.get(index).copied().unwrap_or(1.0));
        let values: Vec<f32> = of_samples
            .flat_map(|value| std::iter::repeat_n(value, self.length))
            .collect();
        let shape = [values.len()];
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// Returns the labels \[samples · length\], negative where masked.
    pub fn labels(&self, device: &burn::tensor::Device) -> Tensor<1, Int> {
        Tensor::from_data(
            TensorData::new(self.labels.clone(), [self.labels.len()]),
            device,
        )
    }
}

/// Returns the start of the text at each of `length` positions. Padding belongs to the last text.
fn starts_of_positions(sample: &Sample, length: usize) -> impl Iterator<Item = u32> {
    let mut rest = sample.segment_starts().iter().copied().peekable();
    let mut start = 0;
    (0..length).map(move |place| {
        while let Some(next) = rest.next_if(|&next| next <= place) {
            start = next;
        }
        start as u32
    })
}

/// Returns the batches of an epoch as indices into the list: a random order, determined by `seed` and
/// `epoch`, that groups samples of similar length.
///
/// Each of the first `train` samples of the list appears once. The others are replayed: `replayed` of
/// them per epoch, interleaved evenly so that every batch has its share, and all equally often over the
/// epochs.
pub fn epoch_batches(
    list: &[Sample],
    train: usize,
    replayed: usize,
    batch_size: usize,
    seed: u64,
    epoch: usize,
) -> Vec<Vec<usize>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(epoch as u64);
    let mut samples: Vec<usize> = (0..train).collect();
    samples.shuffle(&mut random);
    let replay = replayed_in_epoch(train..list.len(), replayed, seed, epoch);
    let mut order = mixed(samples, replay);
    for window in order.chunks_mut(batch_size.saturating_mul(WINDOW)) {
        // Training and replayed samples are sorted separately, so that replay stays evenly spread.
        for replays in [false, true] {
            let places: Vec<usize> = (0..window.len())
                .filter(|&place| (window[place] >= train) == replays)
                .collect();
            let mut sorted: Vec<usize> = places.iter().map(|&place| window[place]).collect();
            sorted.sort_by_key(|&index| list[index].len());
            for (place, index) in places.into_iter().zip(sorted) {
                window[place] = index;
            }
        }
    }
    let mut batches: Vec<Vec<usize>> = order.chunks(batch_size).map(<[usize]>::to_vec).collect();
    batches.shuffle(&mut random);
    batches
}

/// Takes samples from a pool in turn, in an order determined by `seed`: each epoch continues where the
/// previous one ended.
fn replayed_in_epoch(pool: Range<usize>, count: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(u64::MAX);
    let mut order: Vec<usize> = pool.collect();
    order.shuffle(&mut random);
    let in_turn = order.iter().copied().cycle();
    let first = match order.len() {
        0 => 0,
        length => epoch.wrapping_mul(count) % length,
    };
    in_turn.skip(first).take(count).collect()
}

/// Interleaves two lists evenly, keeping the order of each.
fn mixed(samples: Vec<usize>, replay: Vec<usize>) -> Vec<usize> {
    let (count, total) = (replay.len(), samples.len() + replay.len());
    let [mut samples, mut replay] = [samples, replay].map(Vec::into_iter);
    let mixed = (0..total).filter_map(|place| {
        let is_replay = (place + 1) * count / total > place * count / total;
        if is_replay { &mut replay } else { &mut samples }.next()
    });
    mixed.collect()
}

/// Returns batches that cover the list once, sorted by length: for evaluation, where order does not
/// matter.
pub(crate) fn ordered_batches(list: &[Sample], batch_size: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..list.len()).collect();
    order.sort_by_key(|&index| list[index].len());
    order.chunks(batch_size).map(<[usize]>::to_vec).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn list() -> Vec<Sample> {
        (0..103).map(|i| (0..2 + (i * 7) % 31).collect()).collect()
    }

    #[test]
    fn each_epoch_covers_every_sample_once_in_its_own_order() {
        let list = list();
        let first = epoch_batches(&list, 103, 0, 8, 7, 0);
        assert_eq!(first.len(), 13);
        let mut all: Vec<usize> = first.concat();
        all.sort_unstable();
        assert_eq!(all, (0..103).collect::<Vec<_>>());
        assert_eq!(first, epoch_batches(&list, 103, 0, 8, 7, 0));
        assert_ne!(first, epoch_batches(&list, 103, 0, 8, 7, 1));
        assert_ne!(first, epoch_batches(&list, 103, 0, 8, 8, 0));
    }

    #[test]
    fn replay_has_its_share_of_every_batch_and_cycles_through_its_samples() {
        let list = list();
        // 72 training samples and 31 for replay, of which 24 per epoch: a quarter of the 96.
        let mut replayed = vec![0; list.len()];
        for epoch in 0..31 {
            let batches = epoch_batches(&list, 72, 24, 8, 7, epoch);
            assert_eq!(batches.len(), 12);
            for batch in &batches {
                assert_eq!(batch.iter().filter(|&&index| index >= 72).count(), 2);
            }
            for index in batches.concat() {
                replayed[index] += 1;
            }
        }
        assert!(replayed[..72].iter().all(|&times| times == 31));
        assert!(replayed[72..].iter().all(|&times| times == 24));
    }

    #[test]
    fn a_replay_set_smaller_than_its_share_is_repeated() {
        let list = list();
        let batches = epoch_batches(&list, 100, 50, 8, 7, 0).concat();
        assert_eq!(batches.len(), 150);
        for replayed in 100..103 {
            let times = batches.iter().filter(|&&index| index == replayed).count();
            assert!((16..=17).contains(&times), "{times}");
        }
    }

    #[test]
    fn labels_are_the_next_tokens_and_padding_is_masked() {
        let list = [vec![5, 6, 7], vec![8, 9]].map(Sample::new);
        let batch = Batch::new(&list, vec![1, 0]);
        assert_eq!((batch.length, batch.predicted_tokens), (2, 3));
        assert_eq!(batch.tokens, [8, 0, 5, 6]);
        assert_eq!(batch.labels, [9, MASKED, 6, 7]);
    }

    #[test]
    fn labels_follow_the_loss_mask_and_packed_texts_are_separate() {
        let partly = Sample::partly(vec![1, 2, 3, 4], vec![true, false, true, true]);
        let list = [
            Sample::packed([partly, Sample::new(vec![5, 6])]),
            Sample::new(vec![7, 8, 9]),
        ];
        let batch = Batch::new(&list, vec![0, 1]);
        assert_eq!((batch.length, batch.predicted_tokens), (5, 5));
        assert_eq!(batch.tokens, [1, 2, 3, 4, 5, 7, 8, 0, 0, 0]);
        let none = MASKED;
        assert_eq!(batch.labels, [none, 3, 4, none, 6, 8, 9, none, none, none]);
        let segment_starts = batch.segment_starts.unwrap();
        assert_eq!(*segment_starts, [0, 0, 0, 0, 4, 0, 0, 0, 0, 0]);
        assert!(Batch::new(&list, vec![1]).segment_starts.is_none());
    }

    #[test]
    fn rows_of_a_batch_keep_their_values_and_what_the_longest_text_decides() {
        let list = [
            Sample::partly(vec![1, 2, 3, 4], vec![true, false, true, true]),
            Sample::packed([Sample::new(vec![5, 6]), Sample::new(vec![7, 8])]),
            Sample::new(vec![9, 10, 11, 12, 13, 14]),
        ];
        let batch = Batch::new(&list, vec![2, 1, 0]);
        let rows = batch.of_rows(&[2, 1]);
        let alone = Batch::new(&list, vec![0, 1]);
        assert_eq!(rows.sequence_length, batch.sequence_length);
        assert_ne!(alone.sequence_length, batch.sequence_length);
        let sequence_length = batch.sequence_length;
        assert_eq!(
            rows,
            Batch {
                sequence_length,
                ..alone
            }
        );
    }

    #[test]
    fn batches_have_little_padding() {
        let list = list();
        let padded: usize = epoch_batches(&list, 103, 0, 8, 1, 0)
            .into_iter()
            .map(|samples| Batch::new(&list, samples))
            .map(|batch| batch.length * batch.samples.len())
            .sum();
        let positions = crate::text::predicted_tokens(&list);
        assert!(padded < positions * 5 / 4, "{padded} for {positions}");
    }
}
