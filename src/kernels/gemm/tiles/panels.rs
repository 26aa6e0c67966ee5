//! Factors of a product as panels of tiles.

use std::cell::RefCell;
use std::mem::{MaybeUninit, take};

use rayon::prelude::*;

use super::amx::{PARTS, STEP};
use super::split::{PANEL, Side, pack, step_bytes};
use crate::kernels::gemm::matrix::Matrix;

/// A factor of a product.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factor {
    /// The left factor \[rows, inner\], or the transposed right one \[columns, inner\].
    pub(super) matrix: Matrix,
    pub(super) side: Side,
    /// Bfloat16 numbers that represent one of its numbers.
    pub(super) parts: usize,
}

impl Factor {
    pub(super) fn left(a: Matrix) -> Self {
        Self {
            matrix: a,
            side: Side::Left,
            parts: PARTS,
        }
    }

    pub(super) fn right(b: Matrix, parts: usize) -> Self {
        Self {
            matrix: b.transpose(),
            side: Side::Right,
            parts,
        }
    }

    /// Returns the factor from a row or column and an inner element on.
    pub(super) fn at(self, outer: usize, inner: usize) -> Self {
        Self {
            matrix: self.matrix.at(outer, inner),
            ..self
        }
    }
}

/// A factor, packed.
#[derive(Debug)]
pub(super) struct Panels {
    pub(super) factor: Factor,
    /// Rows or columns, and inner elements.
    pub(super) size: [usize; 2],
    pub(super) is_finite: bool,
    buffer: Buffer,
}

impl Panels {
    /// Packs a factor of a size; on all threads if `shared`.
    ///
    /// # Safety
    ///
    /// Tiles are available, and the factor has this size.
    pub(super) unsafe fn new(factor: Factor, size: [usize; 2], shared: bool) -> Self {
        let [outer, inner] = size;
        let lines = panel_bytes(factor.parts, inner) / LINE;
        let mut buffer = Buffer::new(shared, outer.div_ceil(PANEL) * lines);
        let memory = buffer.memory();
        // Parts of rows that are next to each other in memory are read one after the other.
        let block = if factor.matrix.column == 1 {
            inner
        } else {
            STEP
        };
        let pack_panels = |first: usize, panels: &mut [MaybeUninit<Line>]| {
            let mut is_finite = true;
            for at in (0..inner).step_by(block) {
                for (number, panel) in panels.chunks_exact_mut(lines).enumerate() {
                    let first = (first + number) * PANEL;
                    let size = [PANEL.min(outer - first), block.min(inner - at)];
                    // SAFETY: as promised by the caller; the panel has room for all of its steps.
                    is_finite &= unsafe {
                        let to = panel.as_mut_ptr().cast::<u8>();
                        let to = to.add(at / STEP * step_bytes(factor.parts));
                        let matrix = factor.at(first, at).matrix;
                        pack(factor.side, factor.parts, matrix, size, to)
                    };
                }
            }
            is_finite
        };
        let is_finite = if shared {
            memory
                .par_chunks_mut(TASK * lines)
                .enumerate()
                .map(|(task, panels)| pack_panels(task * TASK, panels))
                .reduce(|| true, |a, b| a & b)
        } else {
            pack_panels(0, memory)
        };
        Self {
            factor,
            size,
            is_finite,
            buffer,
        }
    }

    /// Returns a panel from an inner element on, the first of a step.
    pub(super) fn panel(&self, number: usize, inner: usize) -> *const u8 {
        let bytes = number * panel_bytes(self.factor.parts, self.size[1])
            + inner / STEP * step_bytes(self.factor.parts);
        self.buffer.first().wrapping_add(bytes)
    }
}

/// Returns the bytes of a panel of a number of inner elements.
pub(super) fn panel_bytes(parts: usize, inner: usize) -> usize {
    inner.div_ceil(STEP) * step_bytes(parts)
}

/// Panels per task.
const TASK: usize = 2;
/// Bytes of a [`Line`].
const LINE: usize = size_of::<Line>();
/// Bytes of a buffer that is kept for the next product, at most.
const KEPT: usize = 16 << 20;

/// A cache line.
#[repr(align(64))]
#[derive(Debug)]
struct Line(#[allow(dead_code)] [u8; 64]);

thread_local! {
    /// Memory of this thread's last shared panels and its last own ones, since fresh memory has to be cleared by the
    /// system.
    static BUFFERS: RefCell<[Vec<Line>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// Memory for panels.
#[derive(Debug)]
struct Buffer {
    lines: Vec<Line>,
    count: usize,
    shared: bool,
}

impl Buffer {
    fn new(shared: bool, count: usize) -> Self {
        let mut lines = BUFFERS.with_borrow_mut(|of| take(&mut of[usize::from(shared)]));
        if lines.capacity() < count {
            lines = Vec::with_capacity(count);
        }
        Self {
            lines,
            count,
            shared,
        }
    }

    fn memory(&mut self) -> &mut [MaybeUninit<Line>] {
        &mut self.lines.spare_capacity_mut()[..self.count]
    }

    fn first(&self) -> *const u8 {
        self.lines.as_ptr().cast()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.lines.capacity() * LINE <= KEPT {
            let lines = take(&mut self.lines);
            // A thread that ends has none left to keep it in.
            let _ = BUFFERS.try_with(|of| of.borrow_mut()[usize::from(self.shared)] = lines);
        }
    }
}
