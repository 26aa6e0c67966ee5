//! Left factors of several products.

use std::ops::Range;

use gemm::Parallelism;

use super::float32;
use super::matrix::{Matrix, Out, Update};
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
use super::no_tiles as tiles;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::tiles;

/// A matrix x \[rows, inner\] that is multiplied by several others.
#[derive(Debug)]
pub(crate) struct LeftFactor {
    x: Matrix,
    rows: usize,
    /// Prepared for the processor's tiles, if products are large enough.
    tiles: Option<tiles::LeftFactor>,
}

impl LeftFactor {
    /// Elements that parts of the inner dimension have to be a multiple of, but for the last.
    pub(crate) const STEP: usize = 32;

    /// Prepares x \[m, k\] on all threads, for products with matrices that have n columns together and numbers of at
    /// most that many significant bits.
    ///
    /// # Safety
    ///
    /// The matrix has this size within its allocation, which is not written to before the last product.
    pub(crate) unsafe fn new([m, n, k]: [usize; 3], x: Matrix, bits: usize) -> Self {
        // SAFETY: as promised by the caller.
        let prepared = || unsafe { tiles::LeftFactor::new(x, [m, k], bits) };
        Self {
            x,
            rows: m,
            tiles: tiles::suit([m, n, k], [x, x], bits).then(prepared),
        }
    }

    /// Updates `out` by the product of columns of x, whose first is a multiple of [`Self::STEP`], and b \[columns, n\].
    /// The calling thread computes it.
    ///
    /// # Safety
    ///
    /// As [`multiply`](super::multiply). The columns are some of x, and b's rows or columns are consecutive.
    pub(crate) unsafe fn multiply(
        &self,
        columns: Range<usize>,
        b: Matrix,
        n: usize,
        out: Out,
        update: Update,
    ) {
        // SAFETY: as promised by the caller.
        unsafe {
            if let Some(factor) = &self.tiles {
                factor.multiply(columns, b, n, out, update);
            } else {
                let size = [self.rows, n, columns.len()];
                let x = self.x.at(0, columns.start);
                float32::multiply(size, out, update, [x, b], Parallelism::None);
            }
        }
    }

    /// Returns whether products are computed by tiles.
    #[cfg(test)]
    pub(super) fn has_tiles(&self) -> bool {
        self.tiles.is_some()
    }
}
