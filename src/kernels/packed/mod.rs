//! Weights as they are stored: float32 tensors, or packed 16-bit floats and blocks, which the kernels read
//! without unpacking them in memory. Packed weights are frozen: gradients flow through them, not into them.
//!
//! Values are unpacked to float32 on the fly, and all arithmetic is in float32.

mod autodiff;
mod backend;
mod cpu;
mod weight;
mod wgsl;

pub use weight::Weight;

pub(crate) use backend::{Head, PackedBackend, times_head};
pub(crate) use wgsl::kernels;
