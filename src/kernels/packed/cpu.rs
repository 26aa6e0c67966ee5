//! Packed weights on the CPU: a tile is unpacked into a buffer of its thread and multiplied while it is in
//! the cache.

use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use rayon::prelude::*;

use super::backend::{Layout, PackedBackend, UnpackBackend};
use crate::kernels::flex_tensor;
use crate::kernels::gemm::{LeftFactor, Matrix as Values, Out, Update, written};
use crate::kernels::profile::{self, Operation, Product, Work};

/// Values per tile: half of a usual second-level cache.
const TILE: usize = 1 << 16;
/// Columns of a tile where the sum runs over rows, at most.
const TILE_COLUMNS: usize = 512;
/// Values of x that are multiplied by tiles of columns at once.
const CHUNK: usize = 1 << 20;
/// The least number of tasks that the columns of a wide product are shared among.
const TASKS: usize = 8;
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
        let (n, width) = (x.shape()[0], layout.width_of_product(transposed));
        let weight = Matrix {
            bytes: bytes_of(&words),
            layout,
        };
        let _span = profile::product(|| Product {
            batches: 1,
            rows: n,
            inner: x.shape()[1],
            columns: width,
            second: layout.kind,
            adds: false,
        });
        let x: &[f32] = x.storage();
        // SAFETY: each of these writes every element.
        let product = unsafe {
            written(n * width, |out| {
                let out = Out::new(out, width);
                match transposed {
                    true if n <= FEW => weight.few_times_transposed(x, out),
                    true => weight.times_transposed(x, n, out),
                    false => weight.times(x, n, out),
                }
            })
        };
        flex_tensor(product, Shape::new([n, width]))
    }
}

impl UnpackBackend for Flex {
    fn unpack_rows(indices: FlexTensor, words: FlexTensor, layout: Layout) -> FlexTensor {
        let (indices, words) = (indices.to_contiguous(), words.to_contiguous());
        let (indices, bytes): (&[i32], _) = (indices.storage(), bytes_of(&words));
        let mut values = vec![0.0; indices.len() * layout.columns];
        let _span = profile::operation(Operation::Conversion, || {
            let packed = (indices.len() * layout.row_bytes()) as f64;
            let mut work = Work::moving(values.len());
            work.bytes += packed;
            work
        });
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

impl Matrix<'_> {
    /// Unpacks columns `first..first + width` of a row; both are multiples of the block.
    fn unpack(&self, row: usize, first: usize, width: usize, values: &mut [f32]) {
        let Layout { kind, .. } = self.layout;
        let bytes_of = |columns: usize| columns / kind.block() * kind.block_bytes();
        let start = row * self.layout.row_bytes() + bytes_of(first);
        kind.unpack(&self.bytes[start..start + bytes_of(width)], values);
    }

    /// `out = x · Wᵀ` for x \[n, columns\], a tile of rows of W at a time.
    fn times_transposed(&self, x: &[f32], n: usize, out: Out) {
        let Layout {
            kind,
            rows,
            columns,
        } = self.layout;
        // SAFETY: x is [n, columns].
        let x = unsafe {
            let x = Values::rows(x, 0, columns);
            LeftFactor::new([n, rows, columns], x, kind.significant_bits())
        };
        // Whole rows of the kernels of `gemm`, whose widest has four vectors of 16.
        let fit = (TILE / columns).clamp(16, 256);
        let tile_rows = fit.next_multiple_of(if fit < 32 { 16 } else { 64 });
        (0..rows.div_ceil(tile_rows))
            .into_par_iter()
            .for_each_init(Vec::new, |tile, number| {
                let first = number * tile_rows;
                let height = tile_rows.min(rows - first);
                tile.resize(tile_rows * columns, 0.0);
                for (i, values) in tile.chunks_exact_mut(columns).take(height).enumerate() {
                    self.unpack(first + i, 0, columns, values);
                }
                // SAFETY: the tile is [height, columns], and the product has columns `first..first + height` of
                // `out` [n, rows], which no other task writes.
                unsafe {
                    x.multiply(
                        0..columns,
                        Values::rows(tile, 0, columns).transpose(),
                        height,
                        out.from(first),
                        Update::REPLACE,
                    );
                }
            });
    }

    /// `out = x · W` for x \[n, rows\]: a tile of columns per task, summed over tiles of rows.
    fn times(&self, x: &[f32], n: usize, out: Out) {
        let Layout {
            kind,
            rows,
            columns,
        } = self.layout;
        // Whole blocks, of which some would otherwise be unpacked twice.
        let tile_columns = columns.div_ceil(TASKS).min(TILE_COLUMNS);
        let tile_columns = tile_columns.next_multiple_of(kind.block().max(64));
        let tile_rows = TILE / tile_columns / LeftFactor::STEP * LeftFactor::STEP;
        let chunk_rows = (CHUNK / n.max(1)).max(1).next_multiple_of(tile_rows);
        for chunk in (0..rows).step_by(chunk_rows) {
            let chunk_rows = chunk_rows.min(rows - chunk);
            // SAFETY: this part of x is [n, chunk_rows] with rows of `rows`.
            let x = unsafe {
                let x = Values::rows(x, chunk, rows);
                LeftFactor::new([n, columns, chunk_rows], x, kind.significant_bits())
            };
            (0..columns.div_ceil(tile_columns))
                .into_par_iter()
                .for_each_init(Vec::new, |tile, number| {
                    let first = number * tile_columns;
                    let width = tile_columns.min(columns - first);
                    tile.resize(tile_rows.min(chunk_rows) * width, 0.0);
                    for row in (0..chunk_rows).step_by(tile_rows) {
                        let height = tile_rows.min(chunk_rows - row);
                        for (i, values) in tile.chunks_exact_mut(width).take(height).enumerate() {
                            self.unpack(chunk + row + i, first, width, values);
                        }
                        let update = match chunk + row {
                            0 => Update::REPLACE,
                            _ => Update::ADD,
                        };
                        // SAFETY: the tile is [height, width], and the product has columns `first..first + width`
                        // of `out` [n, columns], which no other task writes.
                        unsafe {
                            x.multiply(
                                row..row + height,
                                Values::rows(tile, 0, width),
                                width,
                                out.from(first),
                                update,
                            );
                        }
                    }
                });
        }
    }

    /// `out = x · Wᵀ` for few rows of x, as when a text is generated: the blocks are multiplied as they are
    /// unpacked.
    fn few_times_transposed(&self, x: &[f32], out: Out) {
        let Layout {
            kind,
            rows,
            columns,
        } = self.layout;
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
                        unsafe { out.put(i * rows + row, kind.dot(bytes, x)) };
                    }
                }
            });
    }
}
