//! The teacher's side of the loss.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, ExtensionType};

use crate::kernels::packed::Head;

/// The teacher's side of logits \[rows, vocab_size\].
#[derive(Debug, ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub enum TeacherLogits<B: Backend> {
    /// The target is one-hot.
    Unneeded,
    /// Logits of the same shape as the student's.
    Logits(FloatTensor<B>),
}

/// The teacher's side as hidden states, whose logits are computed tile by tile.
#[derive(Debug, ExtensionType)]
pub enum TeacherHidden<B: Backend> {
    /// The target is one-hot.
    Unneeded,
    /// logits = hidden · headᵀ
    Hidden {
        /// Hidden states \[rows, hidden\].
        hidden: FloatTensor<B>,
        /// Head weights \[vocab_size, hidden\].
        #[extension_type]
        head: Head<B>,
    },
}
