//! Timing, and memory at its peak.

use std::time::{Duration, Instant};

use burn::tensor::Tensor;

use crate::counting;
use crate::device::{self, Device};
use crate::error::Result;

/// Measurements at least, and at most.
const MEASUREMENTS: std::ops::Range<usize> = 3..100;
/// What a measurement takes at least: far more than it takes to wait for a device.
const SHORTEST: Duration = Duration::from_millis(20);

/// The median of how long `work` takes: as often as `patience` allows, after a first time that does
/// not count. What it returns last is waited for.
pub(super) async fn median<const D: usize>(
    patience: Duration,
    mut work: impl FnMut() -> Tensor<D>,
) -> Result<Duration> {
    finished(work()).await?;
    let mut repetitions = 1;
    let began = Instant::now();
    let mut times = Vec::new();
    while times.len() < MEASUREMENTS.start
        || (times.len() < MEASUREMENTS.end && began.elapsed() < patience)
    {
        let start = Instant::now();
        let mut last = work();
        for _ in 1..repetitions {
            last = work();
        }
        finished(last).await?;
        let took = start.elapsed();
        if took < SHORTEST {
            repetitions *= 2;
            times.clear();
        } else {
            times.push(took / repetitions);
        }
    }
    Ok(middle(times))
}

/// The median of at least one duration.
pub(super) fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Waits until a tensor has been computed, by reading one of its values.
pub(super) async fn finished<const D: usize>(tensor: Tensor<D>) -> Result<()> {
    let first = tensor.slice(std::array::from_fn::<_, D, _>(|_| 0..1));
    device::read(first).await.map(drop)
}

/// Bytes that are held beyond those at the beginning, at the peak: of the device's pool, or of the
/// process where the CPU computes and the program counts.
pub(super) struct PeakMemory {
    tensors: burn::tensor::Device,
    before: u64,
}

impl PeakMemory {
    pub fn begin(device: &Device) -> Self {
        let tensors = device.tensors().clone();
        // What the pool holds in reserve would hide what is asked for.
        device.release_memory();
        let before = match tensors.memory_pool_usage() {
            Some(usage) => usage.bytes_reserved,
            None => counting::begin_peak() as u64,
        };
        Self { tensors, before }
    }

    /// Bytes so far; `None` where nothing tells.
    pub fn bytes(&self) -> Option<u64> {
        let peak = match self.tensors.memory_pool_usage() {
            // A pool only grows until it is cleaned up, so what it holds is its peak.
            Some(usage) => usage.bytes_reserved,
            None if counting::bytes_now() == 0 => return None,
            None => counting::peak() as u64,
        };
        Some(peak.saturating_sub(self.before))
    }
}
