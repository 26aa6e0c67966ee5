//! The peak rates of a device, the reference for all other measurements.

use std::time::Duration;

use burn::tensor::{Distribution, Tensor};
use serde::Serialize;

use super::timing::median;
use crate::device::Device;
use crate::error::Result;
use crate::kernels::matmul::matmul;

/// Number of copied values, far beyond any cache.
const COPIED: usize = 1 << 26;
/// The same for software adapters and the CPU, which are slower.
const COPIED_IN_SOFTWARE: usize = 1 << 24;
/// Rows, columns and inner dimension of the matmul, for hardware and software.
const SIDES: [usize; 2] = [2048, 1024];

/// The peak rates of a device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Rates {
    /// Bytes per second read and written by a copy.
    pub bandwidth: f64,
    /// Float32 operations per second of a matmul of square matrices.
    pub matrix_product: f64,
    /// Rows of the matrices.
    pub side: usize,
}

pub(super) async fn measure(device: &Device, budget: Duration) -> Result<Rates> {
    let software = device
        .adapter()
        .is_none_or(|adapter| adapter.kind == crate::device::GpuKind::Software);
    let random = |shape| {
        let distribution = Distribution::Uniform(-1.0, 1.0);
        Tensor::<2>::random(shape, distribution, device.tensors())
    };
    let values = if software { COPIED_IN_SOFTWARE } else { COPIED };
    let source = random([1, values]);
    let copy = median(budget, || source.clone() * 1.0).await?;

    let side = SIDES[usize::from(software)];
    let (a, b) = (random([side, side]), random([side, side]));
    let product = median(budget, || matmul(a.clone(), b.clone())).await?;
    Ok(Rates {
        bandwidth: (2 * values * size_of::<f32>()) as f64 / copy.as_secs_f64(),
        matrix_product: 2.0 * (side as f64).powi(3) / product.as_secs_f64(),
        side,
    })
}
