//! Definitions of kernels as constants, and launches on the buffers of burn's tensors.

mod dispatch;
mod kernel;
mod pieces;
pub(crate) mod traffic;

pub(crate) use dispatch::{
    WORKGROUP_SIZE, empty, has_subgroups, launch, launch_elements, launch_rows, owned, uploaded,
};
pub use kernel::Shader;
pub(crate) use kernel::{Kernel, Layout, Specialized, Wgsl, shared_struct, wgsl};
pub(crate) use pieces::{ELEMENTS, FINITE, LANES_OF_ROW, ONLINE_SOFTMAX, SIGMOID, SOFT_CAP};
pub(crate) use traffic::{Bound, reads, updates, writes};
