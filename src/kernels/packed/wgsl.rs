//! Packed weights on devices that run WGSL: products by the tiles of `shaders/matmul/`, whose second factor
//! is then read by `shaders/packed/`.

use burn::backend::TensorMetadata;
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};
use burn::tensor::Shape;
use strum::IntoEnumIterator;

use super::backend::{Layout, PackedBackend, UnpackBackend};
use crate::kernels::launch::{
    ELEMENTS, Kernel, Specialized, Wgsl, empty, launch_elements, reads, shared_struct, wgsl, writes,
};
use crate::kernels::matmul::{Matrices, kernels_with, product};
use crate::kernels::wgsl_size;
use crate::quantization::WeightType;

static UNPACK_ROWS: Kernel = Kernel {
    file: wgsl!("packed/unpack_rows"),
    pieces: &[&ELEMENTS],
    layouts: &[Parameters::LAYOUT],
};

static WORDS: Wgsl = wgsl!("packed/words");
static FLOAT16: Wgsl = wgsl!("packed/float16");
static BFLOAT16: Wgsl = wgsl!("packed/bfloat16");
static Q8_0: Wgsl = wgsl!("packed/q8_0");
static Q4_0: Wgsl = wgsl!("packed/q4_0");
static Q4_1: Wgsl = wgsl!("packed/q4_1");
static Q4_K: Wgsl = wgsl!("packed/q4_k");
static Q6_K: Wgsl = wgsl!("packed/q6_k");

/// Returns the pieces that read a type.
fn pieces(kind: WeightType) -> &'static [&'static Wgsl] {
    macro_rules! pieces {
        ($piece:ident) => {{
            const PIECES: &[&Wgsl] = &[&WORDS, &$piece];
            PIECES
        }};
    }
    match kind {
        WeightType::Float16 => pieces!(FLOAT16),
        WeightType::Bfloat16 => pieces!(BFLOAT16),
        WeightType::Q8_0 => pieces!(Q8_0),
        WeightType::Q4_0 => pieces!(Q4_0),
        WeightType::Q4_1 => pieces!(Q4_1),
        WeightType::Q4_K => pieces!(Q4_K),
        WeightType::Q6_K => pieces!(Q6_K),
        other => unreachable!("{other} is unpacked when a model is loaded"),
    }
}

/// Returns the kernels of packed weights.
pub(crate) fn kernels() -> Vec<Specialized> {
    let of_type = |kind| {
        let pieces = pieces(kind);
        let products = kernels_with(pieces);
        [UNPACK_ROWS.joined(pieces)].into_iter().chain(products)
    };
    let types = WeightType::iter().filter(|kind| kind.is_read_packed());
    types.flat_map(of_type).collect()
}

shared_struct! {
    struct Parameters as "Parameters" {
        rows: u32,
        columns: u32,
    }
}

impl PackedBackend for CubeBackend {
    fn packed_matmul(
        x: CubeTensor,
        words: CubeTensor,
        layout: Layout,
        transposed: bool,
    ) -> CubeTensor {
        let Layout {
            kind,
            rows,
            columns,
        } = layout;
        // Wᵀ is [columns, rows] in the memory of W.
        let (shape, strides) = if transposed {
            ([columns, rows], [1, columns])
        } else {
            ([rows, columns], [columns, 1])
        };
        let weight = Matrices {
            shape: shape.to_vec(),
            strides: strides.to_vec(),
        };
        product(&x, &words, kind, pieces(kind), &weight)
            .expect("a packed weight is a matrix of fewer than 2^32 values")
    }
}

impl UnpackBackend for CubeBackend {
    fn unpack_rows(rows: CubeTensor, words: CubeTensor, layout: Layout) -> CubeTensor {
        let rows = into_contiguous(rows);
        let count = rows.shape().num_elements();
        let values = empty(&rows, Shape::new([count, layout.columns]));
        let parameters = Parameters {
            rows: wgsl_size(count),
            columns: wgsl_size(layout.columns),
        };
        launch_elements(
            UNPACK_ROWS.joined(pieces(layout.kind)),
            wgsl_size(count * layout.columns),
            &[reads(&rows), reads(&words), writes(&values)],
            &parameters,
        );
        values
    }
}
