//! Products by AMX, the matrix unit of Intel's server processors from Sapphire Rapids on, on Linux.
//!
//! It multiplies bfloat16 numbers and adds up in float32. A float32 number is the sum of three bfloat16 numbers, and
//! the six largest of the nine products of their parts give a product of float32 numbers (Henry, Tang and Heinecke,
//! "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations", arXiv:1904.06376).
//! Numbers with fewer significant bits have fewer parts: weights in bfloat16 one, those in float16 two.
//!
//! Errors are smaller than those of `gemm`, which rounds more sums, except that numbers and products below 2^-102 lose
//! digits, since denormal numbers count as zero. Blocks with numbers that are not finite are left to `gemm`.
//!
//! `vdpbf16ps` of AVX-512 multiplies only twice as many numbers as an FMA, which six products use up.

mod amx;
mod panels;
mod split;
mod store;

use std::ops::Range;

use rayon::prelude::*;

use super::float32;
use super::matrix::{Matrix, Out, Threads, Update};
use amx::STEP;
pub(super) use amx::are_available;
use panels::{Factor, Panels, panel_bytes};
use split::{PANEL, Side};
use store::{Product, store};

/// Inner elements of panels that are multiplied at once, at most: one of each side and some more fit into the
/// second-level cache of 2 MiB.
const BLOCK: usize = 768;
/// Products per packed number and part that are worth packing it, as measured.
const LEAST_REUSE: usize = 28;
/// Bytes of the packed factor that threads share, which the inner dimension is divided for.
const SHARED_BYTES: usize = 4 << 20;
/// The most parts that threads share a product in, unless these are wider than [`WIDEST`].
const PARTS: usize = 8;
/// Rows or columns that a thread packs at once, at most.
const WIDEST: usize = 256;

/// Returns whether a product of these sizes m, n, k is faster by tiles than by `gemm`: of factors that are laid out like
/// these, the right one with numbers of at most that many significant bits.
pub(super) fn suit(size: [usize; 3], [a, b]: [Matrix; 2], bits: usize) -> bool {
    let has_lines = |of: Matrix| of.row == 1 || of.column == 1;
    are_available() && is_worth(size, parts_of(bits)) && has_lines(a) && has_lines(b)
}

/// Returns whether sizes are large enough for that many parts, and not much less than whole panels and steps.
fn is_worth([m, n, k]: [usize; 3], parts: usize) -> bool {
    let whole = m.next_multiple_of(PANEL) * n.next_multiple_of(PANEL) * k.next_multiple_of(STEP);
    let is_large = m.min(n) >= PANEL && k >= 2 * STEP;
    is_large && m * n >= LEAST_REUSE * parts * (m + n) && 4 * m * n * k >= 3 * whole
}

/// Returns the parts of numbers with at most that many significant bits.
fn parts_of(bits: usize) -> usize {
    // Of eight bits each.
    bits.div_ceil(8).clamp(1, amx::PARTS)
}

/// As [`multiply`](super::multiply), for a product that tiles [`suit`].
///
/// # Safety
///
/// As there.
pub(super) unsafe fn multiply(
    [m, n, k]: [usize; 3],
    out: Out,
    update: Update,
    [a, b]: [Matrix; 2],
    threads: Threads,
) {
    let (left, right) = (Factor::left(a), Factor::right(b, amx::PARTS));
    // The shorter factor is packed once, the longer one part by part.
    let ([shared, own], short, long) = if n >= m {
        ([left, right], m, n)
    } else {
        ([right, left], n, m)
    };
    let is_shared = threads == Threads::All;
    let block_bytes = short.div_ceil(PANEL) * panel_bytes(amx::PARTS, BLOCK);
    let chunk = (SHARED_BYTES / block_bytes).max(1) * BLOCK;
    let width = long.div_ceil(PARTS).next_multiple_of(PANEL).min(WIDEST);
    for inner in even_ranges(0..k, chunk) {
        let update = update.after(inner.start);
        // SAFETY: as promised by the caller; the parts are disjoint.
        unsafe {
            let shared = Panels::new(shared.at(0, inner.start), [short, inner.len()], is_shared);
            let part = |number: usize| {
                let first = number * width;
                let own = own.at(first, inner.start);
                let out = out.from(if n >= m { first } else { first * out.row });
                let length = width.min(long - first);
                multiply_panels(&shared, 0..inner.len(), own, length, out, update);
            };
            let parts = 0..long.div_ceil(width);
            if is_shared {
                parts.into_par_iter().for_each(part);
            } else {
                parts.for_each(part);
            }
        }
    }
}

/// A left factor \[rows, inner\] that is packed for several products.
#[derive(Debug)]
pub(super) struct LeftFactor {
    panels: Panels,
    /// Parts of the right factors' numbers.
    parts: usize,
}

impl LeftFactor {
    /// Packs a matrix on all threads, for right factors whose numbers have at most that many significant bits.
    ///
    /// # Safety
    ///
    /// Tiles [`suit`] a product with it.
    pub(super) unsafe fn new(a: Matrix, size: [usize; 2], bits: usize) -> Self {
        Self {
            // SAFETY: as promised by the caller.
            panels: unsafe { Panels::new(Factor::left(a), size, true) },
            parts: parts_of(bits),
        }
    }

    /// Multiplies a range of its columns, which begins with a whole step, by b \[range, n\], on the calling thread.
    ///
    /// # Safety
    ///
    /// As [`multiply`](super::multiply); b's rows or columns are consecutive.
    pub(super) unsafe fn multiply(
        &self,
        inner: Range<usize>,
        b: Matrix,
        n: usize,
        out: Out,
        update: Update,
    ) {
        let b = Factor::right(b, self.parts);
        // SAFETY: as promised by the caller.
        unsafe { multiply_panels(&self.panels, inner, b, n, out, update) };
    }
}

/// Multiplies an inner range of a packed factor by the other one, which has that range and `length` rows or columns.
///
/// # Safety
///
/// As [`multiply`]; the range begins with a whole step.
unsafe fn multiply_panels(
    shared: &Panels,
    inner: Range<usize>,
    own: Factor,
    length: usize,
    out: Out,
    update: Update,
) {
    for block in even_ranges(inner.clone(), BLOCK) {
        let update = update.after(block.start - inner.start);
        // SAFETY: as promised by the caller.
        unsafe {
            let own = own.at(0, block.start - inner.start);
            let own = Panels::new(own, [length, block.len()], false);
            let product = match own.factor.side {
                Side::Left => Block {
                    left: (&own, 0),
                    right: (shared, block.start),
                    inner: block.len(),
                },
                Side::Right => Block {
                    left: (shared, block.start),
                    right: (&own, 0),
                    inner: block.len(),
                },
            };
            if shared.is_finite && own.is_finite {
                product.multiply(out, update);
            } else {
                product.multiply_as_float32(out, update);
            }
        }
    }
}

/// A product of panels.
#[derive(Clone, Copy)]
struct Block<'a> {
    /// The factors, and where their inner elements begin.
    left: (&'a Panels, usize),
    right: (&'a Panels, usize),
    /// Inner elements.
    inner: usize,
}

impl Block<'_> {
    fn size(self) -> [usize; 2] {
        [self.left, self.right].map(|(panels, _)| panels.size[0])
    }

    /// # Safety
    ///
    /// Tiles are available, and `out` has the size of the product.
    unsafe fn multiply(self, out: Out, update: Update) {
        let [rows, columns] = self.size();
        let steps = self.inner.div_ceil(STEP);
        let parts = self.right.0.factor.parts;
        // SAFETY: as promised by the caller; a panel's product is written where it fits, or to memory of its own.
        unsafe {
            let tiles = amx::Tiles::configure();
            let mut product = Product([0.0; PANEL * PANEL]);
            for row in (0..rows).step_by(PANEL) {
                for column in (0..columns).step_by(PANEL) {
                    let panels = [(self.left, row), (self.right, column)]
                        .map(|((panels, inner), first)| panels.panel(first / PANEL, inner));
                    let size = [PANEL.min(rows - row), PANEL.min(columns - column)];
                    let out = out.from(row * out.row + column);
                    if size == [PANEL; 2] && update == Update::REPLACE {
                        tiles.multiply(parts, steps, panels, out.first, out.row);
                    } else {
                        tiles.multiply(parts, steps, panels, product.0.as_mut_ptr(), PANEL);
                        store(&product, out, size, update);
                    }
                }
            }
        }
    }

    /// Computes the product from the matrices that were packed.
    ///
    /// # Safety
    ///
    /// As [`Self::multiply`].
    unsafe fn multiply_as_float32(self, out: Out, update: Update) {
        let [m, n] = self.size();
        // SAFETY: as promised by the caller.
        unsafe {
            let [a, b] =
                [self.left, self.right].map(|(panels, inner)| panels.factor.at(0, inner).matrix);
            let one = gemm::Parallelism::None;
            float32::multiply([m, n, self.inner], out, update, [a, b.transpose()], one);
        }
    }
}

/// Divides a range into equal parts of at most a length, which are whole steps but for the last.
fn even_ranges(range: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = range.len().div_ceil(most).max(1);
    let length = range.len().div_ceil(parts).next_multiple_of(STEP).max(STEP);
    let end = range.end;
    range
        .step_by(length)
        .map(move |first| first..end.min(first + length))
}
