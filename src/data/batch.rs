//! Batches of samples of about the same length, padded on the right.

use std::ops::Range;

use burn::tensor::{Int, Tensor, TensorData};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::sample::Sample;
use crate::model::{Beginnings, Inputs};
use crate::objective::twin::MASKED;

/// Batches among whose samples lengths are sorted; within such a window the order is random.
const WINDOW: usize = 16;

/// A batch: every token but a sample's last is an input, and what is to be predicted a label.
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
    /// Where the text of each input begins, where a sample holds several.
    beginnings: Option<Beginnings>,
}

impl Batch {
    /// The batch of those samples of a list.
    pub fn new(list: &[Sample], samples: Vec<usize>) -> Self {
        let lengths: Vec<usize> = samples.iter().map(|&index| list[index].inputs()).collect();
        let length = lengths.iter().copied().max().unwrap_or(0);
        let mut tokens = vec![0; samples.len() * length];
        let mut labels = vec![MASKED; samples.len() * length];
        for (row, &index) in samples.iter().enumerate() {
            let sample = &list[index];
            for (i, pair) in sample.tokens().windows(2).enumerate() {
                tokens[row * length + i] = pair[0] as i32;
                if sample.predicted()[i + 1] {
                    labels[row * length + i] = pair[1] as i32;
                }
            }
        }
        let of_batch = || samples.iter().map(|&index| &list[index]);
        let packed = of_batch().any(|sample| sample.beginnings().len() > 1);
        Self {
            beginnings: packed.then(|| of_batch().flat_map(|sample| own(sample, length)).collect()),
            positions: of_batch().map(Sample::positions).sum(),
            samples,
            lengths,
            length,
            tokens,
            labels,
        }
    }

    /// Input tokens \[samples, length\].
    pub fn inputs(&self, device: &burn::tensor::Device) -> Inputs {
        let shape = [self.samples.len(), self.length];
        Inputs {
            tokens: Tensor::from_data(TensorData::new(self.tokens.clone(), shape), device),
            beginnings: self.beginnings.clone(),
        }
    }

    /// Labels \[samples · length\], negative where there is nothing to predict.
    pub fn labels(&self, device: &burn::tensor::Device) -> Tensor<1, Int> {
        Tensor::from_data(
            TensorData::new(self.labels.clone(), [self.labels.len()]),
            device,
        )
    }
}

/// For each of so many places where the text begins that a sample has there; padding counts to the
/// last.
fn own(sample: &Sample, length: usize) -> impl Iterator<Item = u32> {
    let mut rest = sample.beginnings().iter().copied().peekable();
    let mut beginning = 0;
    (0..length).map(move |place| {
        while let Some(next) = rest.next_if(|&next| next <= place) {
            beginning = next;
        }
        beginning as u32
    })
}

/// The batches of an epoch, as positions in the list: a random order that `seed` and `epoch` fix,
/// in which samples of about the same length come together.
///
/// The first `train` samples of the list come once each. The others are for replay: `replayed` of
/// them are mixed in evenly, so that every batch has its share, each of them as often as any other
/// over the epochs.
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
        // By length among their own kind: the places of replayed samples stay theirs.
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

/// Samples out of a pool, taken in turn in an order that `seed` fixes: each epoch goes on where the
/// one before ended.
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

/// Two lists as one, each in its order, evenly mixed.
fn mixed(samples: Vec<usize>, replay: Vec<usize>) -> Vec<usize> {
    let (count, total) = (replay.len(), samples.len() + replay.len());
    let [mut samples, mut replay] = [samples, replay].map(Vec::into_iter);
    let mixed = (0..total).filter_map(|place| {
        let is_replay = (place + 1) * count / total > place * count / total;
        if is_replay { &mut replay } else { &mut samples }.next()
    });
    mixed.collect()
}

/// Batches that cover the list once, by length: for evaluation, where the order does not matter.
pub fn ordered_batches(list: &[Sample], batch_size: usize) -> Vec<Vec<usize>> {
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
    fn an_epoch_takes_every_sample_once_in_an_order_of_its_own() {
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
    fn replay_has_its_share_of_every_batch_and_takes_all_samples_in_turn() {
        let list = list();
        // 72 to train on, 31 to replay, of which 24 an epoch: a quarter of the 96.
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
    fn replay_that_is_smaller_than_its_share_is_repeated() {
        let list = list();
        let batches = epoch_batches(&list, 100, 50, 8, 7, 0).concat();
        assert_eq!(batches.len(), 150);
        for replayed in 100..103 {
            let times = batches.iter().filter(|&&index| index == replayed).count();
            assert!((16..=17).contains(&times), "{times}");
        }
    }

    #[test]
    fn labels_are_the_next_tokens_and_padding_counts_nothing() {
        let list = [vec![5, 6, 7], vec![8, 9]].map(Sample::new);
        let batch = Batch::new(&list, vec![1, 0]);
        assert_eq!((batch.length, batch.positions), (2, 3));
        assert_eq!(batch.tokens, [8, 0, 5, 6]);
        assert_eq!(batch.labels, [9, MASKED, 6, 7]);
    }

    #[test]
    fn what_is_not_predicted_is_no_label_and_packed_texts_stay_apart() {
        let partly = Sample::partly(vec![1, 2, 3, 4], vec![true, false, true, true]);
        let list = [
            Sample::packed([partly, Sample::new(vec![5, 6])]),
            Sample::new(vec![7, 8, 9]),
        ];
        let batch = Batch::new(&list, vec![0, 1]);
        assert_eq!((batch.length, batch.positions), (5, 5));
        assert_eq!(batch.tokens, [1, 2, 3, 4, 5, 7, 8, 0, 0, 0]);
        let none = MASKED;
        assert_eq!(batch.labels, [none, 3, 4, none, 6, 8, 9, none, none, none]);
        let beginnings = batch.beginnings.unwrap();
        assert_eq!(*beginnings, [0, 0, 0, 0, 4, 0, 0, 0, 0, 0]);
        assert!(Batch::new(&list, vec![1]).beginnings.is_none());
    }

    #[test]
    fn batches_waste_little_on_padding() {
        let list = list();
        let padded: usize = epoch_batches(&list, 103, 0, 8, 1, 0)
            .into_iter()
            .map(|samples| Batch::new(&list, samples))
            .map(|batch| batch.length * batch.samples.len())
            .sum();
        let positions = crate::data::positions(&list);
        assert!(padded < positions * 5 / 4, "{padded} for {positions}");
    }
}
