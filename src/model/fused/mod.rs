//! Kernels that do in one pass over memory what tensor operations do in many: in Rust for the CPU, in
//! WGSL for devices that run it.

mod backend;
mod kernels;
mod wgsl;

pub use backend::FusedBackend;
