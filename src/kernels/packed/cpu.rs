//! Packed weights on the CPU: a tile is unpacked into a buffer of its thread and multiplied while it is in
//! the cache.

use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Shape};
use gemm::Parallelism;
use rayon::prelude::*;

use super::backend::{Layout, PackedBackend, UnpackBackend};
use crate::kernels::flex_tensor;

/// Values per tile: half of a usual second-level cache.
const TILE: usize = 1 << 16;
/// Columns of a tile where the sum runs over rows; a multiple of every block.
const TILE_COLUMNS: usize = 512;
/// Rows of x up to which the blocks of W are multiplied one by one.
const FEW: usize = 4;
/// Rows of W per task with few rows of x.
const ROWS_PER_TASK: usize = 64;

impl PackedBackend for Flex {
    fn packed_matmul(
        x: FlexTensor,
        words: FlexTensor,
        layout: Layout,
        transposed: bool,
    ) -> FlexTensor {
        let (x, words) = (x.to_contiguous(), words.to_contiguous());
        let n = x.shape()[0];
        let mut out = FlexTensor::zeros(
            Shape::new([n, layout.width_of_product(transposed)]),
            DType::F32,
        );
        let weight = Matrix {
            bytes: bytes_of(&words),
            layout,
        };
        let (x, product) = (x.storage(), out.storage_mut());
        match transposed {
            true if n <= FEW => weight.few_times_transposed(x, product),
            true => weight.times_transposed(x, n, product),
            false => weight.times(x, n, product),
        }
        out
    }
}

impl UnpackBackend for Flex {
    fn unpack_rows(indices: FlexTensor, words: FlexTensor, layout: Layout) -> FlexTensor {
        let (indices, words) = (indices.to_contiguous(), words.to_contiguous());
        let (indices, bytes): (&[i32], _) = (indices.storage(), bytes_of(&words));
        let mut values = vec![0.0; indices.len() * layout.columns];
        values
            .par_chunks_exact_mut(layout.columns)
            .zip(indices)
            .for_each(|(values, &row)| {
                let first = row as usize * layout.row_bytes();
                let bytes = &bytes[first..first + layout.row_bytes()];
                layout.kind.unpack(bytes, values);
            });
        flex_tensor(values, Shape::new([indices.len(), layout.columns]))
    }
}

fn bytes_of(words: &FlexTensor) -> &[u8] {
    bytemuck::cast_slice(words.storage::<i32>())
}

/// A packed matrix W.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    bytes: &'a [u8],
    layout: Layout,
}

/// Where the tiles of a product write: disjoint columns of the same rows.
#[derive(Clone, Copy)]
struct Out(*mut f32);

// SAFETY: each task writes other columns.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

impl Matrix<'_> {
    /// Unpacks columns `first..first + width` of a row; both are multiples of the block.
    fn unpack(&self, row: usize, first: usize, width: usize, values: &mut [f32]) {
        let Layout { kind, .. } = self.layout;
        let bytes_of = |columns: usize| columns / kind.block() * kind.block_bytes();
        let start = row * self.layout.row_bytes() + bytes_of(first);
        kind.unpack(&self.bytes[start..start + bytes_of(width)], values);
    }

    /// `out = x · Wᵀ` for x \[n, columns\], a tile of rows of W at a time.
    fn times_transposed(&self, x: &[f32], n: usize, out: &mut [f32]) {
        let Layout { rows, columns, .. } = self.layout;
        let tile_rows = (TILE / columns).clamp(16, 256).min(rows.max(1));
        let out = Out::new(out, n * rows);
        (0..rows.div_ceil(tile_rows))
            .into_par_iter()
            .for_each_init(Vec::new, |tile, number| {
                let first = number * tile_rows;
                let height = tile_rows.min(rows - first);
                tile.resize(tile_rows * columns, 0.0);
                for (i, values) in tile.chunks_exact_mut(columns).take(height).enumerate() {
                    self.unpack(first + i, 0, columns, values);
                }
                // SAFETY: x is [n, columns], the tile [height, columns], and the product has columns
                // `first..first + height` of `out` [n, rows], which no other task writes.
                unsafe {
                    multiply(
                        [n, height, columns],
                        (out.column(first), rows),
                        (x.as_ptr(), columns),
                        (tile.as_ptr(), 1, columns),
                        false,
                    );
                }
            });
    }

    /// `out = x · W` for x \[n, rows\]: a tile of columns per task, summed over tiles of rows.
    fn times(&self, x: &[f32], n: usize, out: &mut [f32]) {
        let Layout { rows, columns, .. } = self.layout;
        let tile_rows = (TILE / TILE_COLUMNS).min(rows);
        let out = Out::new(out, n * columns);
        (0..columns.div_ceil(TILE_COLUMNS))
            .into_par_iter()
            .for_each_init(Vec::new, |tile, number| {
                let first = number * TILE_COLUMNS;
                let width = TILE_COLUMNS.min(columns - first);
                tile.resize(tile_rows * width, 0.0);
                for row in (0..rows).step_by(tile_rows) {
                    let height = tile_rows.min(rows - row);
                    for (i, values) in tile.chunks_exact_mut(width).take(height).enumerate() {
                        self.unpack(row + i, first, width, values);
                    }
                    // SAFETY: the part of x is [n, height] with rows of `rows`, the tile [height, width], and
                    // the product has columns `first..first + width` of `out` [n, columns], which no other
                    // task writes.
                    unsafe {
                        multiply(
                            [n, width, height],
                            (out.column(first), columns),
                            (x.as_ptr().add(row), rows),
                            (tile.as_ptr(), width, 1),
                            row > 0,
                        );
                    }
                }
            });
    }

    /// `out = x · Wᵀ` for few rows of x, as when a text is generated: the blocks are multiplied as they are
    /// unpacked.
    fn few_times_transposed(&self, x: &[f32], out: &mut [f32]) {
        let Layout {
            kind,
            rows,
            columns,
        } = self.layout;
        let out = Out::new(out, x.len() / columns * rows);
        (0..rows.div_ceil(ROWS_PER_TASK))
            .into_par_iter()
            .for_each(|task| {
                let first = task * ROWS_PER_TASK;
                for row in first..rows.min(first + ROWS_PER_TASK) {
                    let start = row * self.layout.row_bytes();
                    let bytes = &self.bytes[start..start + self.layout.row_bytes()];
                    for (i, x) in x.chunks_exact(columns).enumerate() {
                        // SAFETY: `out` has a row of `rows` for each row of x, and no other task writes this
                        // column.
                        unsafe { *out.column(row).add(i * rows) = kind.dot(bytes, x) };
                    }
                }
            });
    }
}

impl Out {
    fn new(out: &mut [f32], length: usize) -> Self {
        assert_eq!(out.len(), length, "the product has one row per row of x");
        Self(out.as_mut_ptr())
    }

    /// Returns the place of a column of the first row.
    ///
    /// # Safety
    ///
    /// The column is less than the width of a row.
    unsafe fn column(self, column: usize) -> *mut f32 {
        // SAFETY: as promised by the caller.
        unsafe { self.0.add(column) }
    }
}

/// `out = a · b`, added to what `out` has if `adds`: m × n, with k terms per sum. `out` and `a` have rows of the
/// given lengths; b has a stride of rows and one of columns.
///
/// # Safety
///
/// The pointers are valid for these sizes, and nothing else refers to this part of `out`.
unsafe fn multiply(
    [m, n, k]: [usize; 3],
    (out, out_stride): (*mut f32, usize),
    (a, a_stride): (*const f32, usize),
    (b, b_row, b_column): (*const f32, usize, usize),
    adds: bool,
) {
    // SAFETY: as promised by the caller.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            out_stride as isize,
            adds,
            a,
            1,
            a_stride as isize,
            b,
            b_column as isize,
            b_row as isize,
            f32::from(adds),
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
