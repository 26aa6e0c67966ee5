//! Devices that run WGSL: `shaders/matrix_product.wgsl` and, where there are few columns,
//! `shaders/narrow_matrix_product.wgsl`.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::{CubeBackend, CubeTensor};
use burn::tensor::{DType, Shape};
use bytemuck::{Pod, Zeroable};

use super::backend::MatrixProductBackend;
use crate::shader::{Kernel, empty, launch};

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

impl MatrixProductBackend for CubeBackend {
    fn matrix_product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let tiling = match b.shape().iter().last() {
            Some(&columns) if columns <= NARROW_COLUMNS => NARROW,
            _ => SQUARE,
        };
        match Parameters::new(&a, &b, &tiling) {
            Some((parameters, workgroups)) => {
                let shape = product_shape(&a, &b);
                let product = empty(&a, shape);
                let tensors = [&a, &b, &product];
                launch(
                    Kernel::new(tiling.kernel),
                    INVOCATIONS,
                    workgroups,
                    &tensors,
                    &parameters,
                );
                product
            }
            // Other types, more dimensions, more than a launch can count.
            None => Self::float_matmul(a, b),
        }
    }
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
    rows: u32,
    columns: u32,
    inner: u32,
    inner_batches: u32,
    a: Factor,
    b: Factor,
}

impl Parameters {
    /// Parameters and workgroups of a launch, or `None` if the kernel cannot do it.
    fn new(a: &CubeTensor, b: &CubeTensor, tiling: &Tiling) -> Option<(Self, [u32; 3])> {
        let (a_shape, b_shape) = (a.shape(), b.shape());
        let rank = a_shape.num_dims();
        if rank > 4 || a.dtype != DType::F32 || b.dtype != DType::F32 {
            return None;
        }
        let batches = |from_end: usize| rank.checked_sub(from_end).map_or(1, |i| a_shape[i]);
        let (outer, inner_batches) = (batches(4), batches(3));
        let (rows, inner) = (a_shape[rank - 2], a_shape[rank - 1]);
        let columns = b_shape[rank - 1];
        let workgroups = [
            columns.div_ceil(tiling.columns),
            rows.div_ceil(tiling.rows),
            outer * inner_batches,
        ];
        let size = |n: usize| u32::try_from(n).ok();
        if workgroups.iter().any(|&n| n == 0 || n > MOST_WORKGROUPS) || inner == 0 {
            return None;
        }
        size(outer * inner_batches * rows.max(inner) * inner.max(columns))?;
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
        let parameters = Self {
            rows: size(rows)?,
            columns: size(columns)?,
            inner: size(inner)?,
            inner_batches: size(inner_batches)?,
            a: factor(a)?,
            b: factor(b)?,
        };
        Some((
            parameters,
            [
                size(workgroups[0])?,
                size(workgroups[1])?,
                size(workgroups[2])?,
            ],
        ))
    }
}
