//! Kernels for the CPU that do in one pass over memory what tensor operations do in many.

mod backend;
mod kernels;

pub use backend::FusedBackend;
