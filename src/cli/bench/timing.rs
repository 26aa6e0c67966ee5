//! Timing and peak memory.

use std::time::{Duration, Instant};

use burn::tensor::Tensor;

use super::allocator::HostPeak;
use crate::device::{self, Device};
use crate::error::Result;

/// Minimum and maximum number of measurements.
const MEASUREMENTS: std::ops::Range<usize> = 3..100;
/// Minimum duration of a measurement, far above the latency of a device.
const SHORTEST: Duration = Duration::from_millis(20);

/// Returns the median duration of `work` over as many repetitions as fit into `budget`, after one warmup.
/// Every measurement ends when the last tensor has been computed.
pub(super) async fn median<const D: usize>(
    budget: Duration,
    mut work: impl FnMut() -> Tensor<D>,
) -> Result<Duration> {
    finished(work()).await?;
    let mut repetitions = 1;
    let began = Instant::now();
    let mut times = Vec::new();
    while times.len() < MEASUREMENTS.start
        || (times.len() < MEASUREMENTS.end && began.elapsed() < budget)
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

/// Returns the median of a non-empty list.
pub(super) fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Waits until a tensor has been computed by reading back one of its values.
pub(super) async fn finished<const D: usize>(tensor: Tensor<D>) -> Result<()> {
    let first = tensor.slice(std::array::from_fn::<_, D, _>(|_| 0..1));
    device::read(first).await.map(drop)
}

/// Peak memory: of the device's pool, or of the process on the CPU.
pub(super) enum PeakMemory {
    Pool {
        tensors: burn::tensor::Device,
        before: u64,
    },
    Host(HostPeak),
}

impl PeakMemory {
    pub(super) fn begin(device: &Device) -> Self {
        let tensors = device.tensors().clone();
        // Memory in reserve would hide allocations.
        device.release_memory();
        match tensors.memory_pool_usage() {
            Some(usage) => Self::Pool {
                tensors,
                before: usage.bytes_reserved,
            },
            None => Self::Host(HostPeak::begin()),
        }
    }

    /// Returns the peak in bytes beyond those at the start; `None` if unknown.
    pub(super) fn bytes(self) -> Option<u64> {
        match self {
            // A pool only grows until it is cleaned up: its size is its peak.
            Self::Pool { tensors, before } => {
                let usage = tensors.memory_pool_usage()?;
                Some(usage.bytes_reserved.saturating_sub(before))
            }
            // 0 if the program has another allocator.
            Self::Host(peak) => Some(peak.bytes() as u64).filter(|&bytes| bytes > 0),
        }
    }
}
