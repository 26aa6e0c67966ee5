//! Time slices, for a GPU that also draws a window: the queued work never takes longer than a given time,
//! so the next frame waits no longer than that.
//!
//! The duration of a launch is estimated from the bytes that its kernel moves and the bandwidth measured for
//! that kernel. If a launch would make the current slice too long, the calling thread first waits until the
//! GPU is idle. A launch is never split.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use burn::backend::DispatchDevice;
use burn::backend::wgpu::CubeTensor;
use burn::cubecl::future::block_on;

/// The time slicing of a device, in effect until dropped.
#[derive(Debug)]
pub(crate) struct Slices {
    device: burn::tensor::Device,
    cut: Mutex<Cut>,
}

#[derive(Debug)]
struct Cut {
    plan: Plan,
    began: Instant,
}

/// The devices with time slicing.
static SLICED: RwLock<Vec<Weak<Slices>>> = RwLock::new(Vec::new());

impl Slices {
    /// Enables time slicing on a device.
    pub(crate) fn new(device: &burn::tensor::Device, longest: Duration) -> Arc<Self> {
        let slices = Arc::new(Self {
            device: device.clone(),
            cut: Mutex::new(Cut {
                plan: Plan::new(longest.as_secs_f64()),
                began: Instant::now(),
            }),
        });
        let mut sliced = SLICED.write().unwrap_or_else(PoisonError::into_inner);
        // The last caller wins.
        sliced.retain(|other| other.upgrade().is_some_and(|other| other.device != *device));
        sliced.push(Arc::downgrade(&slices));
        slices
    }

    /// Returns the maximum duration of a slice.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_secs_f64(self.cut().plan.longest)
    }

    fn cut(&self) -> MutexGuard<'_, Cut> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(matches: impl Fn(&burn::tensor::Device) -> bool) -> Option<Arc<Self>> {
        let sliced = SLICED.read().unwrap_or_else(PoisonError::into_inner);
        let mut alive = sliced.iter().filter_map(Weak::upgrade);
        alive.find(|slices| matches(&slices.device))
    }
}

impl Cut {
    /// Records that the launches in flight are complete.
    fn complete(&mut self) {
        if !self.plan.in_flight.is_empty() {
            self.plan.complete(self.began.elapsed().as_secs_f64());
        }
    }
}

/// Logs a failed wait. Reading results from the failed device returns the error.
fn warn_on_error<E: fmt::Display>(result: Result<(), E>) {
    if let Err(error) = result {
        log::warn!("device failure while waiting for the end of a time slice: {error}");
    }
}

/// Waits for the GPU if launching this kernel, which moves `bytes` on the device of `tensor`, would make the
/// current slice too long.
pub(crate) fn before_launch(kernel: &'static str, tensor: &CubeTensor, bytes: f64) {
    let launched_on = &tensor.device;
    let same = |device: &burn::tensor::Device| match device.as_dispatch() {
        DispatchDevice::Cube(device) => device == launched_on,
        _ => false,
    };
    if let Some(slices) = Slices::find(same) {
        let mut cut = slices.cut();
        if cut.plan.is_full(kernel, bytes) {
            // Not through burn's device, whose sync may flush queued launches on this thread.
            warn_on_error(block_on(tensor.client.sync()));
            cut.complete();
        }
        if cut.plan.in_flight.is_empty() {
            cut.began = Instant::now();
        }
        cut.plan.add(kernel, bytes);
    }
}

/// Ends the current slice, before a blocking read.
pub(crate) fn finish(device: &burn::tensor::Device) {
    if let Some(slices) = Slices::find(|sliced| sliced == device) {
        let idle = slices.cut().plan.in_flight.is_empty();
        if !idle {
            // Without holding the lock: the sync flushes queued launches, which take it.
            warn_on_error(device.sync());
            slices.cut().complete();
        }
    }
}

/// Estimated durations of launches, in seconds.
#[derive(Debug)]
struct Plan {
    longest: f64,
    seconds_per_byte: HashMap<&'static str, f64>,
    /// Kernels of the current slice, with the bytes that they move.
    in_flight: Vec<(&'static str, f64)>,
    /// Estimated duration of the current slice.
    estimated: f64,
}

/// Limit of the correction factor per slice.
const CORRECTION: f64 = 4.0;

impl Plan {
    fn new(longest: f64) -> Self {
        Self {
            longest,
            seconds_per_byte: HashMap::new(),
            in_flight: Vec::new(),
            estimated: 0.0,
        }
    }

    /// Estimates a launch. An unknown kernel is assumed to take a whole slice.
    fn estimate(&self, kernel: &str, bytes: f64) -> f64 {
        let rate = self.seconds_per_byte.get(kernel);
        rate.map_or(self.longest, |rate| rate * bytes)
    }

    fn is_full(&self, kernel: &str, bytes: f64) -> bool {
        !self.in_flight.is_empty() && self.estimated + self.estimate(kernel, bytes) > self.longest
    }

    fn add(&mut self, kernel: &'static str, bytes: f64) {
        self.estimated += self.estimate(kernel, bytes);
        self.in_flight.push((kernel, bytes));
    }

    /// Ends the slice and corrects the estimates by its measured duration.
    fn complete(&mut self, seconds: f64) {
        let correction = (seconds / self.estimated).clamp(1.0 / CORRECTION, CORRECTION);
        let alone = self.in_flight.len() == 1;
        for (kernel, bytes) in std::mem::take(&mut self.in_flight) {
            match self.seconds_per_byte.get_mut(kernel) {
                // The share of each kernel is unknown, so each launch moves its kernel a little.
                Some(rate) if !alone => *rate *= correction.powf(0.1),
                Some(rate) => *rate = (*rate * seconds / bytes.max(1.0)).sqrt(),
                None => {
                    let rate = seconds / bytes.max(1.0);
                    self.seconds_per_byte.insert(kernel, rate);
                }
            }
        }
        self.estimated = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates launches with a fixed bandwidth per kernel. Returns the duration and the number of launches of
    /// each slice.
    fn run(longest: f64, launches: impl Iterator<Item = (&'static str, f64)>) -> Vec<(f64, usize)> {
        let seconds = |&(kernel, bytes): &(&str, f64)| match kernel {
            "product" => 1e-9 * bytes,
            "loss" => 3e-10 * bytes,
            _ => 1e-10 * bytes + 1e-5,
        };
        let mut plan = Plan::new(longest);
        let mut slices = Vec::new();
        for (kernel, bytes) in launches {
            if plan.is_full(kernel, bytes) {
                let taken: f64 = plan.in_flight.iter().map(seconds).sum();
                slices.push((taken, plan.in_flight.len()));
                plan.complete(taken);
            }
            plan.add(kernel, bytes);
        }
        slices
    }

    /// The kernels of repeated steps, of several sizes.
    fn steps() -> impl Iterator<Item = (&'static str, f64)> {
        let step = [
            ("norm", 1e5),
            ("product", 1e6),
            ("product", 3e5),
            ("norm", 1e5),
            ("product", 2e6),
            ("loss", 1e7),
        ];
        step.into_iter().cycle()
    }

    #[test]
    fn slices_fill_the_time_limit_without_exceeding_it() {
        let slices = run(0.02, steps().take(2000));
        let (first, settled) = slices.split_at(slices.len() / 4);
        assert!(first[0].1 == 1, "an unknown kernel runs alone");
        for (taken, _) in settled {
            assert!(*taken < 0.02 * 1.2, "{taken}");
        }
        let mean = settled.iter().map(|(taken, _)| taken).sum::<f64>() / settled.len() as f64;
        assert!(mean > 0.02 * 0.6, "{mean}");
    }

    #[test]
    fn a_launch_longer_than_the_limit_gets_its_own_slice() {
        let slices = run(0.001, steps().take(600));
        let settled = &slices[slices.len() / 2..];
        assert!(
            settled
                .iter()
                .all(|(taken, launches)| *taken < 0.0012 || *launches == 1)
        );
        assert!(
            settled
                .iter()
                .any(|(taken, launches)| *taken > 0.0012 && *launches == 1)
        );
    }
}
