//! Devices that run WGSL: `shaders/matrix_product.wgsl` and, where there are few columns,
//! `shaders/narrow_matrix_product.wgsl`.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::{CubeBackend, CubeTensor};
use burn::tensor::{DType, Shape};
use bytemuck::{Pod, Zeroable};

use super::backend::MatrixProductBackend;
use crate::shader::{Kernel, empty, launch, over_elements, reads, writes};

/// A kernel and the rows and columns of its workgroups' tiles.
struct Tiling {
    kernel: &'static str,
    rows: usize,
    columns: usize,
}

const SQUARE: Tiling = Tiling {
    kernel: "matrix_product",
    rows: 64,
    columns: 64,
};
const NARROW: Tiling = Tiling {
    kernel: "narrow_matrix_product",
    rows: 512,
    columns: 8,
};
/// Columns up to which narrow tiles are the faster ones, although they read a factor again for every
/// eight of them.
const NARROW_COLUMNS: usize = 16;

/// Invocations in a workgroup; the value of `INVOCATIONS` in the shaders.
const INVOCATIONS: u32 = 64;
/// Workgroups in a dimension of a launch, in WebGPU's baseline.
const MOST_WORKGROUPS: usize = 65_535;

/// Workgroups that keep a large GPU busy: where a product has fewer tiles, its inner dimension is cut
/// into parts that are multiplied side by side.
const ENOUGH_WORKGROUPS: usize = 512;
/// Of the inner dimension, the least that is worth a part of its own; a multiple of every `DEPTH` in the
/// shaders.
const SHORTEST_PART: usize = 64;
/// Parts at most.
const MOST_PARTS: usize = 32;

impl MatrixProductBackend for CubeBackend {
    fn matrix_product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let tiling = match b.shape().iter().last() {
            Some(&columns) if columns <= NARROW_COLUMNS => NARROW,
            _ => SQUARE,
        };
        // Other types, more dimensions, more than a launch can count: burn's own.
        let Some(Launch {
            parameters,
            parts,
            workgroups,
        }) = Launch::new(&a, &b, &tiling)
        else {
            return Self::float_matmul(a, b);
        };
        let shape = product_shape(&a, &b);
        let elements = shape.num_elements();
        let products = empty(&a, Shape::new([parts, elements]));
        launch(
            Kernel::new(tiling.kernel),
            INVOCATIONS,
            workgroups,
            &[
                // Once for each tile across, once for each tile down.
                reads(&a).times(f64::from(workgroups[0])),
                reads(&b).times(f64::from(workgroups[1])),
                writes(&products),
            ],
            &parameters,
        );
        if parts == 1 {
            return Self::float_reshape(products, shape);
        }
        let product = empty(&a, shape);
        let parameters = SumParameters {
            elements: elements as u32,
            parts: parts as u32,
        };
        over_elements(
            Kernel::new("sum_of_parts"),
            parameters.elements,
            &[reads(&products), writes(&product)],
            &parameters,
        );
        product
    }
}

/// `struct Parameters` of `shaders/sum_of_parts.wgsl`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct SumParameters {
    elements: u32,
    parts: u32,
}

fn product_shape(a: &CubeTensor, b: &CubeTensor) -> Shape {
    let mut dimensions: Vec<usize> = a.shape().iter().copied().collect();
    let last = dimensions.len() - 1;
    dimensions[last] = b.shape()[last];
    Shape::from(dimensions)
}

/// `struct Factor` of the shader, in elements.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Factor {
    outer_stride: u32,
    inner_stride: u32,
    row_stride: u32,
    column_stride: u32,
}

/// `struct Parameters` of the shader.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Parameters {
    a: Factor,
    b: Factor,
    rows: u32,
    columns: u32,
    inner: u32,
    batches: u32,
    inner_batches: u32,
    length_of_part: u32,
}

/// How a product is launched.
struct Launch {
    parameters: Parameters,
    /// Parts of the inner dimension that are multiplied side by side.
    parts: usize,
    workgroups: [u32; 3],
}

impl Launch {
    /// `None` if the kernel cannot do it.
    fn new(a: &CubeTensor, b: &CubeTensor, tiling: &Tiling) -> Option<Self> {
        let (a_shape, b_shape) = (a.shape(), b.shape());
        let rank = a_shape.num_dims();
        if rank > 4 || a.dtype != DType::F32 || b.dtype != DType::F32 {
            return None;
        }
        let batches = |from_end: usize| rank.checked_sub(from_end).map_or(1, |i| a_shape[i]);
        let inner_batches = batches(3);
        let batches = batches(4) * inner_batches;
        let (rows, inner) = (a_shape[rank - 2], a_shape[rank - 1]);
        let columns = b_shape[rank - 1];
        let tiles = [
            columns.div_ceil(tiling.columns),
            rows.div_ceil(tiling.rows),
            batches,
        ];
        if tiles.contains(&0) || inner == 0 {
            return None;
        }
        let wanted = ENOUGH_WORKGROUPS / tiles.iter().product::<usize>();
        let parts = wanted.min(inner / SHORTEST_PART).clamp(1, MOST_PARTS);
        let length_of_part = inner.div_ceil(parts).next_multiple_of(SHORTEST_PART);
        let parts = inner.div_ceil(length_of_part);
        let workgroups = [tiles[0], tiles[1], tiles[2] * parts];
        if workgroups.iter().any(|&n| n > MOST_WORKGROUPS) {
            return None;
        }
        let size = |n: usize| u32::try_from(n).ok();
        size(batches * rows.max(inner) * inner.max(columns))?;
        size(parts * batches * rows * columns)?;
        let factor = |tensor: &CubeTensor| -> Option<Factor> {
            let strides = tensor.meta.strides();
            let stride = |from_end: usize| match rank.checked_sub(from_end) {
                Some(i) => size(strides[i]),
                None => Some(0),
            };
            Some(Factor {
                outer_stride: stride(4)?,
                inner_stride: stride(3)?,
                row_stride: stride(2)?,
                column_stride: stride(1)?,
            })
        };
        let parameters = Parameters {
            rows: size(rows)?,
            columns: size(columns)?,
            inner: size(inner)?,
            batches: size(batches)?,
            inner_batches: size(inner_batches)?,
            length_of_part: size(length_of_part)?,
            a: factor(a)?,
            b: factor(b)?,
        };
        let workgroups = workgroups.map(|n| n as u32);
        Some(Self {
            parameters,
            parts,
            workgroups,
        })
    }
}
