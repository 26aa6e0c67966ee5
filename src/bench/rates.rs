//! A device's peak rates: what everything else is measured against.

use std::time::Duration;

use burn::tensor::{Distribution, Tensor};
use serde::Serialize;

use super::timing::median;
use crate::device::Device;
use crate::error::Result;
use crate::matrix_product::matrix_product;

/// Values that are copied: far more than any cache holds.
const COPIED: usize = 1 << 26;
/// On a software adapter and on the CPU, where that would take long.
const COPIED_IN_SOFTWARE: usize = 1 << 24;
/// Rows, columns and inner dimension of the products.
const SIDES: [usize; 2] = [2048, 1024];

/// Peak rates of a device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rates {
    /// Bytes a second that a copy reads and writes.
    pub bandwidth: f64,
    /// Multiplications and additions of float32 a second in a product of square matrices.
    pub matrix_product: f64,
    /// Rows of those matrices.
    pub side: usize,
}

pub(super) async fn measure(device: &Device, patience: Duration) -> Result<Rates> {
    let software = device
        .adapter()
        .is_none_or(|adapter| adapter.kind == crate::device::AdapterKind::Software);
    let random = |shape| {
        let distribution = Distribution::Uniform(-1.0, 1.0);
        Tensor::<2>::random(shape, distribution, device.tensors())
    };
    let values = if software { COPIED_IN_SOFTWARE } else { COPIED };
    let source = random([1, values]);
    let copy = median(patience, || source.clone() * 1.0).await?;

    let side = SIDES[usize::from(software)];
    let (a, b) = (random([side, side]), random([side, side]));
    let product = median(patience, || matrix_product(a.clone(), b.clone())).await?;
    Ok(Rates {
        bandwidth: (2 * values * size_of::<f32>()) as f64 / copy.as_secs_f64(),
        matrix_product: 2.0 * (side as f64).powi(3) / product.as_secs_f64(),
        side,
    })
}
