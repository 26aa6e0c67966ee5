//! Memory traffic of kernels, from the reads and writes that each launch declares for its tensors.

use std::cell::RefCell;
use std::collections::HashMap;

use burn::backend::TensorMetadata;
use burn::backend::wgpu::CubeTensor;

/// A tensor bound to a launch, with the average number of reads and writes per element.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    pub(super) tensor: &'a CubeTensor,
    reads: f64,
    writes: f64,
}

/// Binds a tensor that is read once.
pub(crate) fn reads(tensor: &CubeTensor) -> Bound<'_> {
    Bound {
        tensor,
        reads: 1.0,
        writes: 0.0,
    }
}

/// Binds a tensor that is written once.
pub(crate) fn writes(tensor: &CubeTensor) -> Bound<'_> {
    Bound {
        tensor,
        reads: 0.0,
        writes: 1.0,
    }
}

/// Binds a tensor that is read once and overwritten.
pub(crate) fn updates(tensor: &CubeTensor) -> Bound<'_> {
    Bound {
        writes: 1.0,
        ..reads(tensor)
    }
}

impl Bound<'_> {
    /// Sets the number of reads per element.
    pub(crate) fn times(self, reads: f64) -> Self {
        Self { reads, ..self }
    }

    fn bytes(&self) -> f64 {
        (self.tensor.shape().num_elements() * self.tensor.dtype.size()) as f64
    }

    fn needed(&self) -> f64 {
        self.bytes() * (self.reads.min(1.0) + self.writes.min(1.0))
    }

    fn moved(&self) -> f64 {
        self.bytes() * (self.reads + self.writes)
    }
}

/// Number of bytes moved between device memory and kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Traffic {
    /// The minimum for the same work: each element is read and written at most once.
    pub needed: f64,
    /// The bytes that the kernel requests; caches may serve some.
    pub moved: f64,
}

thread_local! {
    static SEEN: RefCell<Option<HashMap<&'static str, Traffic>>> = const { RefCell::new(None) };
}

/// Starts counting the traffic of this thread's launches, per kernel.
#[cfg(feature = "cli")]
pub(crate) fn begin() {
    SEEN.with(|seen| *seen.borrow_mut() = Some(HashMap::new()));
}

/// Stops counting and returns the traffic per kernel.
#[cfg(feature = "cli")]
pub(crate) fn end() -> HashMap<&'static str, Traffic> {
    SEEN.with(|seen| seen.borrow_mut().take().unwrap_or_default())
}

/// Returns the bytes that a launch requests; caches may serve some.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn moved(tensors: &[Bound<'_>]) -> f64 {
    tensors.iter().map(Bound::moved).sum()
}

/// Returns the bytes that any implementation of a launch has to move.
pub(super) fn needed(tensors: &[Bound<'_>]) -> f64 {
    tensors.iter().map(Bound::needed).sum()
}

/// Counts a launch if counting is enabled.
pub(super) fn count(kernel: &'static str, tensors: &[Bound<'_>]) {
    SEEN.with(|seen| {
        if let Some(seen) = &mut *seen.borrow_mut() {
            let traffic = seen.entry(kernel).or_default();
            for bound in tensors {
                traffic.needed += bound.needed();
                traffic.moved += bound.moved();
            }
        }
    });
}
