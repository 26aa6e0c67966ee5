//! The pieces of `shaders/shared/`, which kernels of several folders are joined with.

use super::{Wgsl, wgsl};

/// Iteration over the elements of a tensor.
pub(crate) const ELEMENTS: Wgsl = wgsl!("shared/elements");
/// A test for finite numbers.
pub(crate) const FINITE: Wgsl = wgsl!("shared/finite");
/// Iteration over several rows per workgroup.
pub(crate) const LANES_OF_ROW: Wgsl = wgsl!("shared/lanes_of_row");
/// Soft caps and their slopes.
pub(crate) const SOFT_CAP: Wgsl = wgsl!("shared/soft_cap");
/// The softmax of a row, in one pass.
pub(crate) const ONLINE_SOFTMAX: Wgsl = wgsl!("shared/online_softmax");
/// The logistic function.
pub(crate) const SIGMOID: Wgsl = wgsl!("shared/sigmoid");
