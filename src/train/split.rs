//! Which rank computes which sample of a step.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::device::ranks::Ranks;
use crate::model::Batch;

/// The split of steps over the ranks. Every rank computes the same split from the batches of the whole step.
///
/// Without a teacher, each step is split anew, so that every rank predicts about as many tokens. With a teacher, a sample
/// stays with the rank that had it first, which has cached the teacher's hidden states: the first epoch is split as
/// evenly, later ones as the order of their samples happens to fall.
#[derive(Clone, Debug, Default)]
pub(super) struct Split {
    owners: HashMap<usize, usize>,
}

impl Split {
    /// Returns what a rank computes of the batches of a step: all of them in a single process. `keeps` is whether samples
    /// stay with their ranks.
    pub(super) fn share<'a>(
        &mut self,
        batches: &'a [Batch],
        ranks: &Ranks,
        keeps: bool,
    ) -> Cow<'a, [Batch]> {
        if ranks.is_single() {
            return Cow::Borrowed(batches);
        }
        let rows = self.rows(batches, ranks, keeps).into_iter().zip(batches);
        let own = rows.filter(|(rows, _)| !rows.is_empty());
        own.map(|(rows, batch)| batch.of_rows(&rows)).collect()
    }

    /// Returns a rank's rows of each batch of a step.
    fn rows(&mut self, batches: &[Batch], ranks: &Ranks, keeps: bool) -> Vec<Vec<usize>> {
        let rows = (0..batches.len()).flat_map(|batch| {
            let rows = 0..batches[batch].samples.len();
            rows.map(move |row| (batch, row))
        });
        let tokens = |&(batch, row): &(usize, usize)| batches[batch].predicted_tokens_of(row);
        let mut rows: Vec<_> = rows.map(|place| (tokens(&place), place)).collect();
        let owner = |split: &Self, (batch, row): (usize, usize)| {
            split.owners.get(&batches[batch].samples[row]).copied()
        };
        let mut loads = vec![0; ranks.count()];
        for &(tokens, place) in &rows {
            if let Some(owner) = owner(self, place) {
                loads[owner] += tokens;
            }
        }
        // The longest first, each to the rank with the fewest tokens (Graham's rule).
        rows.sort_by_key(|&(tokens, _)| std::cmp::Reverse(tokens));
        let mut own = vec![Vec::new(); batches.len()];
        for (tokens, (batch, row)) in rows {
            let rank = owner(self, (batch, row)).unwrap_or_else(|| {
                let least = (0..loads.len()).min_by_key(|&rank| loads[rank]);
                let least = least.unwrap_or_default();
                loads[least] += tokens;
                if keeps {
                    self.owners.insert(batches[batch].samples[row], least);
                }
                least
            });
            if rank == ranks.rank() {
                own[batch].push(row);
            }
        }
        own.iter_mut().for_each(|rows| rows.sort_unstable());
        own
    }

    /// Returns whether a sample is computed by another rank.
    pub(super) fn is_elsewhere(&self, sample: usize, ranks: &Ranks) -> bool {
        self.owners
            .get(&sample)
            .is_some_and(|&owner| owner != ranks.rank())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::ranks::threads;
    use crate::text::Sample;

    /// Returns the samples that each rank has of a step.
    fn split(splits: &mut [Split], batches: &[Batch], keeps: bool) -> Vec<Vec<usize>> {
        let ranks = threads(splits.len());
        let of_rank = |(split, ranks): (&mut Split, &Ranks)| {
            let rows = split.rows(batches, ranks, keeps).into_iter().zip(batches);
            let samples = rows.flat_map(|(rows, batch)| {
                rows.into_iter()
                    .map(|row| batch.samples[row])
                    .collect::<Vec<_>>()
            });
            samples.collect()
        };
        splits.iter_mut().zip(&ranks).map(of_rank).collect()
    }

    #[test]
    fn ranks_predict_equally_many_tokens_and_samples_stay() {
        let lengths = [9, 2, 5, 5, 8, 3, 4, 2];
        let list: Vec<Sample> = lengths
            .iter()
            .map(|&length| (0..length).collect())
            .collect();
        let tokens = |samples: &Vec<usize>| samples.iter().map(|&sample| lengths[sample] - 1).sum();
        let step = |batches: [Vec<usize>; 2]| batches.map(|samples| Batch::new(&list, samples));
        let first = step([vec![0, 1, 2, 3], vec![4, 5, 6, 7]]);
        let mut splits = vec![Split::default(); 3];
        let owned = split(&mut splits, &first, true);
        let loads: Vec<u32> = owned.iter().map(tokens).collect();
        assert_eq!(loads.iter().sum::<u32>(), 30);
        assert!(
            loads.iter().all(|load| (9..=11).contains(load)),
            "{loads:?}"
        );

        // In another order, each sample is where it was; without a teacher, the step is split evenly again.
        let second = step([vec![7, 0, 4], vec![2, 6]]);
        for (rank, samples) in split(&mut splits, &second, true).iter().enumerate() {
            assert!(samples.iter().all(|sample| owned[rank].contains(sample)));
        }
        let anew = split(&mut vec![Split::default(); 3], &second, false);
        let most = anew.iter().map(tokens).max();
        assert_eq!(most, Some(8), "{anew:?}");
        // More ranks than samples leave some without.
        let few = split(
            &mut vec![Split::default(); 4],
            &[Batch::new(&list, vec![0, 1])],
            true,
        );
        assert_eq!(few, [vec![0], vec![1], vec![], vec![]]);
    }
}
