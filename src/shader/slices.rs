//! Work in slices, for a GPU that somebody else draws with: what waits in its queue at once takes no
//! longer than a given time, so that a window's next frame waits no longer than that.
//!
//! How long a launch takes is expected from the bytes that its kernel moves, at the rate at which that
//! kernel moved them before. Where the next launch would make a slice too long, the thread that asks
//! for it waits until all before it is done. A launch is never split.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use burn::backend::DispatchDevice;
use burn::cubecl::future::block_on;

use super::traffic::{Bound, moved};

/// How a device's work is cut, for as long as somebody holds this.
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

/// The devices whose work is cut.
static SLICED: RwLock<Vec<Weak<Slices>>> = RwLock::new(Vec::new());

impl Slices {
    /// Cuts the device's work from now on.
    pub fn new(device: &burn::tensor::Device, longest: Duration) -> Arc<Self> {
        let slices = Arc::new(Self {
            device: device.clone(),
            cut: Mutex::new(Cut {
                plan: Plan::new(longest.as_secs_f64()),
                began: Instant::now(),
            }),
        });
        let mut sliced = SLICED.write().unwrap_or_else(PoisonError::into_inner);
        // Whoever asked last decides.
        sliced.retain(|other| other.upgrade().is_some_and(|other| other.device != *device));
        sliced.push(Arc::downgrade(&slices));
        slices
    }

    /// The longest slice.
    pub fn longest(&self) -> Duration {
        Duration::from_secs_f64(self.cut().plan.longest)
    }

    fn cut(&self) -> MutexGuard<'_, Cut> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(is_it: impl Fn(&burn::tensor::Device) -> bool) -> Option<Arc<Self>> {
        let sliced = SLICED.read().unwrap_or_else(PoisonError::into_inner);
        let mut there = sliced.iter().filter_map(Weak::upgrade);
        there.find(|slices| is_it(&slices.device))
    }
}

impl Cut {
    /// All that was under way is done.
    fn is_done(&mut self) {
        if !self.plan.under_way.is_empty() {
            self.plan.took(self.began.elapsed().as_secs_f64());
        }
    }
}

/// A device that fails says so to whoever reads results.
fn warn_of<E: fmt::Display>(waited: Result<(), E>) {
    if let Err(error) = waited {
        log::warn!("the device failed while a slice of work was waited for: {error}");
    }
}

/// Waits, if a launch of that kernel would make the slice under way too long.
pub(super) fn before_launch(kernel: &'static str, tensors: &[Bound<'_>]) {
    let launched_on = &tensors[0].tensor.device;
    let same = |device: &burn::tensor::Device| match device.as_dispatch() {
        DispatchDevice::Cube(device) => device == launched_on,
        _ => false,
    };
    if let Some(slices) = Slices::find(same) {
        let mut cut = slices.cut();
        let bytes = moved(tensors);
        if cut.plan.is_full(kernel, bytes) {
            // Not burn's device, which may have this very thread launch what waits there.
            warn_of(block_on(tensors[0].tensor.client.sync()));
            cut.is_done();
        }
        if cut.plan.under_way.is_empty() {
            cut.began = Instant::now();
        }
        cut.plan.add(kernel, bytes);
    }
}

/// Ends the slice under way, before results are waited for in any case.
pub(crate) fn finish(device: &burn::tensor::Device) {
    if let Some(slices) = Slices::find(|sliced| sliced == device) {
        let idle = slices.cut().plan.under_way.is_empty();
        if !idle {
            // Without the lock: what burn had not launched yet is launched now.
            warn_of(device.sync());
            slices.cut().is_done();
        }
    }
}

/// What is expected of launches, in seconds.
#[derive(Debug)]
struct Plan {
    longest: f64,
    seconds_per_byte: HashMap<&'static str, f64>,
    /// Kernels of the slice under way, with the bytes that they move.
    under_way: Vec<(&'static str, f64)>,
    /// What those are expected to take.
    expected: f64,
}

/// How far off all expectations of a slice can be said to be at once.
const CORRECTION: f64 = 4.0;

impl Plan {
    fn new(longest: f64) -> Self {
        Self {
            longest,
            seconds_per_byte: HashMap::new(),
            under_way: Vec::new(),
            expected: 0.0,
        }
    }

    /// A kernel that was never seen may take a whole slice, so that it gets one.
    fn expect(&self, kernel: &str, bytes: f64) -> f64 {
        let rate = self.seconds_per_byte.get(kernel);
        rate.map_or(self.longest, |rate| rate * bytes)
    }

    fn is_full(&self, kernel: &str, bytes: f64) -> bool {
        !self.under_way.is_empty() && self.expected + self.expect(kernel, bytes) > self.longest
    }

    fn add(&mut self, kernel: &'static str, bytes: f64) {
        self.expected += self.expect(kernel, bytes);
        self.under_way.push((kernel, bytes));
    }

    /// The slice is done: what was expected is corrected by what it took.
    fn took(&mut self, seconds: f64) {
        let off = (seconds / self.expected).clamp(1.0 / CORRECTION, CORRECTION);
        let alone = self.under_way.len() == 1;
        for (kernel, bytes) in std::mem::take(&mut self.under_way) {
            match self.seconds_per_byte.get_mut(kernel) {
                // Which of them was it? Each moves there a little, as often as it is launched.
                Some(rate) if !alone => *rate *= off.powf(0.1),
                Some(rate) => *rate = (*rate * seconds / bytes.max(1.0)).sqrt(),
                None => {
                    let rate = seconds / bytes.max(1.0);
                    self.seconds_per_byte.insert(kernel, rate);
                }
            }
        }
        self.expected = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Launches on a device that moves bytes at a kernel's own rate; how long each slice was, and how
    /// many launches it had.
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
                let taken: f64 = plan.under_way.iter().map(seconds).sum();
                slices.push((taken, plan.under_way.len()));
                plan.took(taken);
            }
            plan.add(kernel, bytes);
        }
        slices
    }

    /// A step's kernels, of several sizes.
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
    fn slices_are_no_longer_than_they_may_be_and_as_long_as_they_can() {
        let slices = run(0.02, steps().take(2000));
        let (first, settled) = slices.split_at(slices.len() / 4);
        assert!(first[0].1 == 1, "a kernel that is not known runs alone");
        for (taken, _) in settled {
            assert!(*taken < 0.02 * 1.2, "{taken}");
        }
        let mean = settled.iter().map(|(taken, _)| taken).sum::<f64>() / settled.len() as f64;
        assert!(mean > 0.02 * 0.6, "{mean}");
    }

    #[test]
    fn a_launch_that_is_too_long_by_itself_has_a_slice_of_its_own() {
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
