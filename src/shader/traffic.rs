//! What kernels move between the device's memory and themselves: counted from what each launch says of
//! its tensors, for whoever wants to know.

use std::cell::RefCell;
use std::collections::HashMap;

use burn::backend::TensorMetadata;
use burn::backend::wgpu::CubeTensor;

/// A tensor as a launch uses it: how often the kernel reads each of its elements from memory, on the
/// whole, and how often it writes it.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    pub(super) tensor: &'a CubeTensor,
    reads: f64,
    writes: f64,
}

/// Read once.
pub(crate) fn reads(tensor: &CubeTensor) -> Bound<'_> {
    Bound {
        tensor,
        reads: 1.0,
        writes: 0.0,
    }
}

/// Written once.
pub(crate) fn writes(tensor: &CubeTensor) -> Bound<'_> {
    Bound {
        tensor,
        reads: 0.0,
        writes: 1.0,
    }
}

/// Read once and overwritten.
pub(crate) fn updates(tensor: &CubeTensor) -> Bound<'_> {
    Bound {
        writes: 1.0,
        ..reads(tensor)
    }
}

impl Bound<'_> {
    /// Read that many times rather than once.
    pub fn times(self, reads: f64) -> Self {
        Self { reads, ..self }
    }

    fn bytes(&self) -> f64 {
        (self.tensor.shape().num_elements() * self.tensor.dtype.size()) as f64
    }

    fn moved(&self) -> f64 {
        self.bytes() * (self.reads + self.writes)
    }
}

/// Bytes between memory and kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Traffic {
    /// What any kernel that does the same has to move: each element read once, written once.
    pub needed: f64,
    /// What the kernel asks for. Caches may have it.
    pub moved: f64,
}

thread_local! {
    static SEEN: RefCell<Option<HashMap<&'static str, Traffic>>> = const { RefCell::new(None) };
}

/// Begins to count what this thread's launches move, each kernel's by itself.
pub(crate) fn begin() {
    SEEN.with(|seen| *seen.borrow_mut() = Some(HashMap::new()));
}

/// Ends it; what was counted.
pub(crate) fn end() -> HashMap<&'static str, Traffic> {
    SEEN.with(|seen| seen.borrow_mut().take().unwrap_or_default())
}

/// Bytes that a launch moves, of which caches may have some.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn moved(tensors: &[Bound<'_>]) -> f64 {
    tensors.iter().map(Bound::moved).sum()
}

/// Counts a launch where somebody wants to know.
pub(super) fn count(kernel: &'static str, tensors: &[Bound<'_>]) {
    SEEN.with(|seen| {
        if let Some(seen) = &mut *seen.borrow_mut() {
            let traffic = seen.entry(kernel).or_default();
            for bound in tensors {
                traffic.needed += bound.bytes() * (bound.reads.min(1.0) + bound.writes.min(1.0));
                traffic.moved += bound.moved();
            }
        }
    });
}
