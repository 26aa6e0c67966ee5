//! The processes that train one model together, numbered as in MPI: rank 0 is the one that speaks and writes.
//!
//! All ranks execute the same calls in the same order. A [`Device`](super::Device) carries its ranks, so that whatever
//! computes on it can take its share.

#[cfg(feature = "mpi")]
mod links;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(test)]
mod threads;

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use crate::error::Result;
#[cfg(feature = "mpi")]
pub(crate) use mpi::Job;
#[cfg(test)]
pub(crate) use threads::{threads, threads_with_phases};

/// The ranks of a job, seen from one of them. The default is a single process, which exchanges nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranks(Option<Arc<dyn Exchange>>);

/// The exchange of values between ranks. Every rank makes the same calls with values of the same number.
pub(crate) trait Exchange: Debug + Send + Sync {
    /// Returns the number of this rank.
    fn rank(&self) -> usize;

    /// Returns the hosts of all ranks.
    fn hosts(&self) -> &[String];

    /// Starts to sum values over the ranks, and returns before it is done.
    fn begin_sum(&self, values: Vec<f32>) -> PendingSum;

    /// Returns the values of every rank.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Rank`] if a rank has failed.
    fn gather(&self, values: &[f64]) -> Result<Vec<Vec<f64>>>;
}

/// A sum over the ranks in progress.
#[derive(Debug)]
pub(crate) struct PendingSum(Receiver<Result<Vec<f32>>>);

impl PendingSum {
    /// Waits for the sum, which is the same on every rank.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Rank`] if a rank has failed.
    pub(crate) fn wait(self) -> Result<Vec<f32>> {
        let sum = self.0.recv();
        sum.expect("the sender answers every request, or ends the process")
    }
}

impl Ranks {
    /// Returns the number of this rank.
    pub(crate) fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, |exchange| exchange.rank())
    }

    /// Returns the number of ranks.
    pub(crate) fn count(&self) -> usize {
        self.0.as_ref().map_or(1, |exchange| exchange.hosts().len())
    }

    /// Returns whether this process is the only one.
    pub(crate) fn is_single(&self) -> bool {
        self.count() == 1
    }

    /// Returns the host of a rank; an empty name for a single process.
    #[cfg(feature = "cli")]
    pub(crate) fn host(&self, rank: usize) -> &str {
        let host = self
            .0
            .as_ref()
            .and_then(|exchange| exchange.hosts().get(rank));
        host.map_or("", String::as_str)
    }

    /// Starts to sum values over the ranks; `None` for a single process, whose values are the sum.
    pub(crate) fn begin_sum(&self, values: Vec<f32>) -> Option<PendingSum> {
        self.0.as_ref().map(|exchange| exchange.begin_sum(values))
    }

    /// Returns the values of every rank.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Rank`] if a rank has failed.
    pub(crate) fn gather(&self, values: &[f64]) -> Result<Vec<Vec<f64>>> {
        match &self.0 {
            Some(exchange) => exchange.gather(values),
            None => Ok(vec![values.to_vec()]),
        }
    }

    /// Returns the sums over the ranks, each added in the order of the ranks.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Rank`] if a rank has failed.
    pub(crate) fn sum<const N: usize>(&self, values: [f64; N]) -> Result<[f64; N]> {
        let mut sums = values;
        self.sum_each(&mut sums)?;
        Ok(sums)
    }

    /// Replaces values by their sums over the ranks, each added in the order of the ranks.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Rank`] if a rank has failed.
    pub(crate) fn sum_each(&self, values: &mut [f64]) -> Result<()> {
        let of_ranks = self.gather(values)?;
        values.fill(0.0);
        for of_rank in of_ranks {
            for (sum, value) in values.iter_mut().zip(of_rank) {
                *sum += value;
            }
        }
        Ok(())
    }

    /// Calls a function on rank 0, then on one rank of every other host, then on the others: what the first ones
    /// download and cache is there for the rest.
    ///
    /// # Errors
    ///
    /// Those of the function, and [`crate::Error::Rank`] if it failed on another rank.
    #[cfg(feature = "cli")]
    pub(crate) fn in_turn<T>(&self, load: impl FnOnce() -> Result<T>) -> Result<T> {
        let rank = self.rank();
        let is_first_of_host = (0..rank).all(|other| self.host(other) != self.host(rank));
        let turn = match rank {
            0 => 0,
            _ if is_first_of_host => 1,
            _ => 2,
        };
        for _ in 0..turn {
            self.any(false)?;
        }
        let loaded = load()?;
        for _ in turn..2 {
            self.any(false)?;
        }
        Ok(loaded)
    }

    /// Returns whether a flag is set on any rank.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Rank`] if a rank has failed.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn any(&self, flag: bool) -> Result<bool> {
        let flags = self.gather(&[f64::from(u8::from(flag))])?;
        Ok(flags.iter().flatten().any(|&flag| flag > 0.0))
    }
}
