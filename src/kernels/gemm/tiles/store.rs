//! The product of two panels to where it belongs, with AVX-512.

use std::arch::x86_64::*;

use super::amx::ROWS;
use super::split::PANEL;
use crate::kernels::gemm::matrix::{Out, Update};

/// The product of two panels.
#[repr(align(64))]
#[derive(Debug)]
pub(super) struct Product(pub(super) [f32; PANEL * PANEL]);

/// Updates `out` \[rows, columns\], at most \[[`PANEL`], [`PANEL`]\], by a product.
///
/// # Safety
///
/// The processor has AVX-512 F, and `out` has this size.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn store(
    product: &Product,
    out: Out,
    [rows, columns]: [usize; 2],
    update: Update,
) {
    let factor = _mm512_set1_ps(update.factor);
    for (row, values) in product
        .0
        .as_chunks::<PANEL>()
        .0
        .iter()
        .take(rows)
        .enumerate()
    {
        for (half, values) in values.as_chunks::<ROWS>().0.iter().enumerate() {
            let first = half * ROWS;
            let count = columns.saturating_sub(first).min(ROWS);
            let mask = ((1_u32 << count) - 1) as __mmask16;
            let to = out.first.wrapping_add(row * out.row + first);
            // SAFETY: the mask leaves out what is not in `out`.
            unsafe {
                let values = _mm512_load_ps(values.as_ptr());
                let values = if update.adds {
                    _mm512_fmadd_ps(values, factor, _mm512_maskz_loadu_ps(mask, to))
                } else {
                    _mm512_mul_ps(values, factor)
                };
                _mm512_mask_storeu_ps(to, mask, values);
            }
        }
    }
}
