//! Packs float32 values as float16 and unpacks them, on every device.

mod backend;
mod cpu;
mod wgsl;

pub(crate) use backend::HalfBackend;
pub(crate) use cpu::to_halves;
pub(crate) use wgsl::kernels;
