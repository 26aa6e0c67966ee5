//! Matrix multiplication on devices that run WGSL: `shaders/matmul/matmul.wgsl`, and
//! `shaders/matmul/narrow_matmul.wgsl` for few columns.

use std::ops::Range;

use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::{CubeBackend, CubeTensor};
use burn::backend::{Slice, TensorMetadata};
use burn::tensor::{DType, FloatDType, Shape};

use super::MatmulBackend;
use crate::kernels::launch::{
    ELEMENTS, Kernel, Specialized, Wgsl, empty, launch, launch_elements, reads, shared_struct,
    wgsl, writes,
};
use crate::kernels::profile::{self, Product};
use crate::quantization::WeightType;

const TILES: Wgsl = wgsl!("matmul/tiles");
static FLOAT_FACTOR: Wgsl = wgsl!("matmul/float_factor");
/// The pieces that read a second factor in float32.
const FLOAT: Pieces = &[&FLOAT_FACTOR];

/// Pieces that read the second factor.
type Pieces = &'static [&'static Wgsl];

static SQUARE_KERNEL: Kernel = Kernel {
    file: wgsl!("matmul/matmul"),
    pieces: &[&TILES],
    layouts: &[Parameters::LAYOUT, Factor::LAYOUT],
};
static NARROW_KERNEL: Kernel = Kernel {
    file: wgsl!("matmul/narrow_matmul"),
    pieces: &[&TILES],
    layouts: &[Parameters::LAYOUT, Factor::LAYOUT],
};
static SUM_OF_PARTS: Kernel = Kernel {
    file: wgsl!("matmul/sum_of_parts"),
    pieces: &[&ELEMENTS],
    layouts: &[SumParameters::LAYOUT],
};

/// Returns the kernels of matrix multiplication.
pub(crate) fn kernels() -> Vec<Specialized> {
    let mut kernels = kernels_with(FLOAT).to_vec();
    kernels.push(SUM_OF_PARTS.plain());
    kernels
}

/// Returns the kernels with a second factor that these pieces read.
pub(crate) fn kernels_with(factor: Pieces) -> [Specialized; 2] {
    [&SQUARE_KERNEL, &NARROW_KERNEL].map(|kernel| kernel.joined(factor))
}

/// A kernel, and the tile of the product that each of its workgroups computes.
struct Tiling {
    kernel: &'static Kernel,
    rows: usize,
    columns: usize,
}

static SQUARE: Tiling = Tiling {
    kernel: &SQUARE_KERNEL,
    rows: 64,
    columns: 64,
};
static NARROW: Tiling = Tiling {
    kernel: &NARROW_KERNEL,
    rows: 512,
    columns: 8,
};
/// Columns up to which narrow tiles are faster, although they read `a` once per eight columns.
const NARROW_COLUMNS: usize = 16;

/// Dimensions of factors, at most.
const MAX_RANK: usize = 4;
/// Invocations per workgroup; the value of `INVOCATIONS` in the shaders.
const INVOCATIONS: u32 = 64;
/// Workgroups per dimension of a dispatch that WebGPU guarantees.
const MAX_WORKGROUPS: usize = 65_535;

/// Workgroups that keep a large GPU busy: a product with fewer tiles is split along its inner
/// dimension (split-K).
const ENOUGH_WORKGROUPS: usize = 512;
/// Minimum length of a part of the inner dimension; a multiple of every `DEPTH` in the shaders.
const MIN_PART: usize = 64;
/// Maximum number of parts.
const MAX_PARTS: usize = 32;

impl MatmulBackend for CubeBackend {
    fn matmul(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        assert_eq!(b.dtype, DType::F32, "products are of float32 tensors");
        let product = product(&a, &b, WeightType::Float32, FLOAT, &Matrices::of(&b));
        product.unwrap_or_else(|| in_parts(a, b))
    }
}

/// Returns `a · b` where it takes more than one launch, or none.
fn in_parts(a: CubeTensor, b: CubeTensor) -> CubeTensor {
    let (a_shape, b_shape) = (a.shape(), b.shape());
    let rank = a_shape.num_dims();
    let inner = a_shape[rank - 1];
    let mut shape = a_shape.clone();
    shape[rank - 1] = b_shape[rank - 1];
    if shape.num_elements() == 0 || inner == 0 {
        return CubeBackend::float_zeros(shape, &a.device, FloatDType::F32);
    }
    if rank > MAX_RANK {
        let flat = |tensor: CubeTensor| {
            let shape = tensor.shape();
            let batches = shape[..rank - 2].iter().product();
            let shape = Shape::new([batches, shape[rank - 2], shape[rank - 1]]);
            CubeBackend::float_reshape(tensor, shape)
        };
        return CubeBackend::float_reshape(CubeBackend::matmul(flat(a), flat(b)), shape);
    }
    let halved = (0..rank).max_by_key(|&dimension| shape[dimension]);
    let halved = halved.expect("a matrix has two dimensions");
    let length = shape[halved];
    assert!(length > 1, "a factor has fewer than 2^32 values");
    let half = |range: Range<usize>| {
        let part = |tensor: &CubeTensor| {
            let shape = tensor.shape();
            let slices = shape.iter().enumerate().map(|(i, &length)| {
                let whole = Slice::from(0..length);
                if i == halved {
                    Slice::from(range.clone())
                } else {
                    whole
                }
            });
            CubeBackend::float_slice(tensor.clone(), &slices.collect::<Vec<_>>())
        };
        // The columns are those of b, the rows those of a.
        let a = if halved == rank - 1 {
            a.clone()
        } else {
            part(&a)
        };
        let b = if halved == rank - 2 {
            b.clone()
        } else {
            part(&b)
        };
        CubeBackend::matmul(a, b)
    };
    let halves = vec![half(0..length / 2), half(length / 2..length)];
    CubeBackend::float_cat(halves, halved)
}

/// Returns `a · b`, where b of type `second` has the buffer of a tensor that pieces read; or `None` if a launch does not
/// compute the product.
pub(crate) fn product(
    a: &CubeTensor,
    b: &CubeTensor,
    second: WeightType,
    factor: Pieces,
    b_matrices: &Matrices,
) -> Option<CubeTensor> {
    assert_eq!(a.dtype, DType::F32, "products are of float32 tensors");
    let a_matrices = Matrices::of(a);
    let columns = *b_matrices.shape.last()?;
    let tiling = match columns {
        0..=NARROW_COLUMNS => &NARROW,
        _ => &SQUARE,
    };
    let Launch {
        parameters,
        parts,
        workgroups,
    } = Launch::new(&a_matrices, b_matrices, tiling)?;
    let _span = profile::product(|| Product {
        batches: parameters.batches as usize,
        rows: parameters.rows as usize,
        inner: parameters.inner as usize,
        columns,
        second,
        adds: false,
    });
    let mut shape = a_matrices.shape;
    *shape.last_mut()? = columns;
    let shape = Shape::from(shape);
    let elements = shape.num_elements();
    let products = empty(a, Shape::new([parts, elements]));
    launch(
        tiling.kernel.joined(factor),
        INVOCATIONS,
        workgroups,
        &[
            // Each tile column reads `a` once, each tile row `b`.
            reads(a).times(f64::from(workgroups[0])),
            reads(b).times(f64::from(workgroups[1])),
            writes(&products),
        ],
        &parameters,
    );
    if parts == 1 {
        return Some(CubeBackend::float_reshape(products, shape));
    }
    let product = empty(a, shape);
    let parameters = SumParameters {
        elements: elements as u32,
        parts: parts as u32,
    };
    launch_elements(
        SUM_OF_PARTS.plain(),
        parameters.elements,
        &[reads(&products), writes(&product)],
        &parameters,
    );
    Some(product)
}

/// Shape and strides of a factor.
pub(crate) struct Matrices {
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

impl Matrices {
    fn of(tensor: &CubeTensor) -> Self {
        Self {
            shape: tensor.shape().iter().copied().collect(),
            strides: tensor.meta.strides().to_vec(),
        }
    }
}

shared_struct! {
    struct SumParameters as "Parameters" {
        elements: u32,
        parts: u32,
    }
}

shared_struct! {
    struct Factor as "Factor" {
        outer_stride: u32,
        inner_stride: u32,
        row_stride: u32,
        column_stride: u32,
    }
}

shared_struct! {
    struct Parameters as "Parameters" {
        a: Factor,
        b: Factor,
        rows: u32,
        columns: u32,
        inner: u32,
        batches: u32,
        inner_batches: u32,
        length_of_part: u32,
    }
}

/// The launch of a product.
struct Launch {
    parameters: Parameters,
    /// Parts that the inner dimension is split into.
    parts: usize,
    workgroups: [u32; 3],
}

impl Launch {
    /// Returns `None` if a launch does not compute the product.
    fn new(a: &Matrices, b: &Matrices, tiling: &Tiling) -> Option<Self> {
        let (a_shape, b_shape) = (&a.shape, &b.shape);
        let rank = a_shape.len();
        if rank > MAX_RANK {
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
        let requested = ENOUGH_WORKGROUPS / tiles.iter().product::<usize>();
        let parts = requested.min(inner / MIN_PART).clamp(1, MAX_PARTS);
        let length_of_part = inner.div_ceil(parts).next_multiple_of(MIN_PART);
        let parts = inner.div_ceil(length_of_part);
        let workgroups = [tiles[0], tiles[1], tiles[2] * parts];
        if workgroups.iter().any(|&n| n > MAX_WORKGROUPS) {
            return None;
        }
        let size = |n: usize| u32::try_from(n).ok();
        for elements in [
            batches * rows * inner,
            batches * inner * columns,
            parts * batches * rows * columns,
        ] {
            size(elements)?;
        }
        let factor = |matrices: &Matrices| -> Option<Factor> {
            let strides = &matrices.strides;
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
