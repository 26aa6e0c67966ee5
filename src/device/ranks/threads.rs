//! Ranks that are threads of one process, for tests.

use std::sync::{Arc, Barrier, Mutex, mpsc};

use super::{Exchange, PendingSum, Ranks};
use crate::error::Result;
use crate::kernels::profile::{self, Phase};

/// What the threads share.
#[derive(Debug)]
struct Shared {
    hosts: Vec<String>,
    barrier: Barrier,
    values: Mutex<Vec<Vec<f64>>>,
}

#[derive(Debug)]
struct Thread {
    rank: usize,
    shared: Arc<Shared>,
    phases: PhasesOfSums,
}

/// The phases of the training step in which sums began, while the profile is recorded.
pub(crate) type PhasesOfSums = Arc<Mutex<Vec<Option<Phase>>>>;

/// Returns the ranks of a job of `count` threads.
pub(crate) fn threads(count: usize) -> Vec<Ranks> {
    let ranks = threads_with_phases(count).into_iter();
    ranks.map(|(ranks, _)| ranks).collect()
}

/// Returns the same, and when each of them begins to sum.
pub(crate) fn threads_with_phases(count: usize) -> Vec<(Ranks, PhasesOfSums)> {
    let shared = Arc::new(Shared {
        hosts: vec!["here".to_string(); count],
        barrier: Barrier::new(count),
        values: Mutex::new(vec![Vec::new(); count]),
    });
    let thread = |rank| Thread {
        rank,
        shared: shared.clone(),
        phases: PhasesOfSums::default(),
    };
    let ranks = (0..count).map(thread);
    ranks
        .map(|thread| {
            let phases = thread.phases.clone();
            (Ranks(Some(Arc::new(thread))), phases)
        })
        .collect()
}

impl Exchange for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn hosts(&self) -> &[String] {
        &self.shared.hosts
    }

    fn begin_sum(&self, values: Vec<f32>) -> PendingSum {
        let mut phases = self.phases.lock().expect("no thread panicked");
        phases.push(profile::current().phase);
        drop(phases);
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        let sum = self.gather(&values).map(|all| {
            let of_place = |place: usize| all.iter().map(|values| values[place]).sum::<f64>();
            (0..values.len())
                .map(|place| of_place(place) as f32)
                .collect()
        });
        let (sender, receiver) = mpsc::channel();
        sender.send(sum).expect("the receiver is returned");
        PendingSum(receiver)
    }

    fn gather(&self, values: &[f64]) -> Result<Vec<Vec<f64>>> {
        let lock = || self.shared.values.lock().expect("no thread panicked");
        lock()[self.rank] = values.to_vec();
        self.shared.barrier.wait();
        let all = lock().clone();
        // The next exchange overwrites the values.
        self.shared.barrier.wait();
        Ok(all)
    }
}
