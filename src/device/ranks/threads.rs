//! Ranks that are threads of one process, for tests.

use std::sync::{Arc, Barrier, Mutex, mpsc};

use super::{Exchange, PendingSum, Ranks};
use crate::error::Result;

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
}

/// Returns the ranks of a job of `count` threads.
pub(crate) fn threads(count: usize) -> Vec<Ranks> {
    let shared = Arc::new(Shared {
        hosts: vec!["here".to_string(); count],
        barrier: Barrier::new(count),
        values: Mutex::new(vec![Vec::new(); count]),
    });
    let thread = |rank| Thread {
        rank,
        shared: shared.clone(),
    };
    let ranks = (0..count).map(thread);
    ranks.map(|thread| Ranks(Some(Arc::new(thread)))).collect()
}

impl Exchange for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn hosts(&self) -> &[String] {
        &self.shared.hosts
    }

    fn begin_sum(&self, values: Vec<f32>) -> PendingSum {
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
