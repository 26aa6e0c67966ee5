//! Products in float32 by the crate `gemm`, which burn's CPU backend uses too.

use gemm::Parallelism;

use super::matrix::{Matrix, Out, Update};

/// How `gemm` itself shares a product among all threads, of which WebAssembly modules have one.
#[cfg(not(target_arch = "wasm32"))]
pub(super) const ALL_THREADS: Parallelism = Parallelism::Rayon(0);
#[cfg(target_arch = "wasm32")]
pub(super) const ALL_THREADS: Parallelism = Parallelism::None;

/// As [`multiply`](super::multiply).
///
/// # Safety
///
/// As there.
pub(super) unsafe fn multiply(
    [m, n, k]: [usize; 3],
    out: Out,
    update: Update,
    [a, b]: [Matrix; 2],
    by: Parallelism,
) {
    // SAFETY: as promised by the caller.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.first,
            1,
            out.row as isize,
            update.adds,
            a.first,
            a.column,
            a.row,
            b.first,
            b.column,
            b.row,
            f32::from(update.adds),
            update.factor,
            false,
            false,
            false,
            by,
        );
    }
}
