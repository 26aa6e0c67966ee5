//! Packed weights as operations of a burn backend.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, ExtensionType, backend_extension};
#[cfg(feature = "fusion")]
use burn::tensor::{DType, Shape};

use crate::kernels::matmul::MatmulBackend;
use crate::quantization::WeightType;

/// The layout of a packed matrix, row by row in whole blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Storage type.
    pub kind: WeightType,
    /// Rows.
    pub rows: usize,
    /// Columns; a multiple of the type's block.
    pub columns: usize,
}

impl Layout {
    /// Returns the size in bytes of a row.
    pub(crate) fn row_bytes(self) -> usize {
        self.columns / self.kind.block() * self.kind.block_bytes()
    }

    /// Returns the width of `x` times the matrix W, as [`PackedBackend::packed_matmul`] computes it.
    pub(super) fn width_of_product(self, transposed: bool) -> usize {
        if transposed { self.rows } else { self.columns }
    }
}

/// Operations on packed weights, whose bytes are 32-bit words \[n\].
#[backend_extension(Cube, Flex, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait PackedBackend: Backend {
    /// Returns `x · W` for x \[n, rows\], or `x · Wᵀ` for x \[n, columns\] if `transposed`.
    #[fusion(dtype = x, shape = Shape::new([x[0], layout.width_of_product(*transposed)]))]
    fn packed_matmul(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        layout: Layout,
        transposed: bool,
    ) -> FloatTensor<Self>;
}

/// Unpacking, which is not differentiated.
#[backend_extension(Cube, Flex, Fusion: cfg(feature = "fusion"))]
pub(crate) trait UnpackBackend: Backend {
    /// Returns rows \[n, columns\] by their indices \[n\].
    #[fusion(dtype = DType::F32, shape = Shape::new([rows[0], layout.columns]))]
    fn unpack_rows(
        rows: IntTensor<Self>,
        words: IntTensor<Self>,
        layout: Layout,
    ) -> FloatTensor<Self>;
}

/// The weight of a language model head \[vocab_size, hidden\].
#[derive(Clone, Debug, ExtensionType)]
pub enum Head<B: Backend> {
    /// In float32.
    Float(FloatTensor<B>),
    /// Packed, and frozen.
    Packed {
        /// Its bytes.
        words: IntTensor<B>,
        /// Their layout.
        layout: Layout,
    },
}

/// Returns `x · head` for gradients of logits, or `x · headᵀ` for hidden states if `transposed`.
pub(crate) fn times_head<B: MatmulBackend + PackedBackend>(
    x: FloatTensor<B>,
    head: &Head<B>,
    transposed: bool,
) -> FloatTensor<B> {
    match head {
        Head::Float(head) if transposed => B::matmul(x, B::float_transpose(head.clone())),
        Head::Float(head) => B::matmul(x, head.clone()),
        Head::Packed { words, layout } => B::packed_matmul(x, words.clone(), *layout, transposed),
    }
}
