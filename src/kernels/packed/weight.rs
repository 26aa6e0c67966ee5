//! A parameter of a model.

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Int, IntDType, Tensor, TensorData};

use super::backend::{Head, Layout, PackedBackend, UnpackBackend};
use crate::kernels::look_up::look_up;
use crate::kernels::matmul::matmul;
use crate::quantization::WeightType;

/// A matrix of weights \[rows, columns\]: float32, or packed as it is stored.
#[derive(Clone, Debug)]
pub struct Weight(Stored);

#[derive(Clone, Debug)]
enum Stored {
    Float(Tensor<2>),
    Packed(Packed),
}

#[derive(Clone, Debug)]
struct Packed {
    /// The bytes as 32-bit words.
    words: Tensor<1, Int>,
    layout: Layout,
    /// Whether the weight is the transpose of what is stored.
    transposed: bool,
    /// Whether unpacked values are used together with tensors that autodiff tracks.
    autodiff: bool,
}

impl From<&Tensor<2>> for Weight {
    fn from(values: &Tensor<2>) -> Self {
        values.clone().into()
    }
}

impl From<Tensor<2>> for Weight {
    fn from(values: Tensor<2>) -> Self {
        Self(Stored::Float(values))
    }
}

impl Weight {
    /// Uploads rows of whole blocks to a device.
    ///
    /// # Panics
    ///
    /// If `bytes` are not `rows` rows of `columns` values, or the kernels do not read the type
    /// ([`WeightType::is_read_packed`]).
    pub fn packed(
        kind: WeightType,
        [rows, columns]: [usize; 2],
        bytes: &[u8],
        device: &Device,
    ) -> Self {
        assert!(kind.is_read_packed(), "{kind} is not read packed");
        let of_row = kind.row_bytes(columns).expect("rows are whole blocks");
        assert_eq!(bytes.len(), rows * of_row, "one row after the other");
        let layout = Layout {
            kind,
            rows,
            columns,
        };
        let mut words = vec![0_i32; bytes.len().div_ceil(size_of::<i32>())];
        bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
        if cfg!(target_endian = "big") {
            words.iter_mut().for_each(|word| *word = word.swap_bytes());
        }
        let shape = [words.len()];
        let words = Tensor::from_data(TensorData::new(words, shape), (device, DType::I32));
        Self(Stored::Packed(Packed {
            words,
            layout,
            transposed: false,
            autodiff: false,
        }))
    }

    /// Returns the storage type.
    pub fn kind(&self) -> WeightType {
        match &self.0 {
            Stored::Float(_) => WeightType::Float32,
            Stored::Packed(packed) => packed.layout.kind,
        }
    }

    /// Returns rows and columns.
    pub fn dims(&self) -> [usize; 2] {
        match &self.0 {
            Stored::Float(values) => values.dims(),
            Stored::Packed(packed) => {
                let Layout { rows, columns, .. } = packed.layout;
                if packed.transposed {
                    [columns, rows]
                } else {
                    [rows, columns]
                }
            }
        }
    }

    /// Returns the size in bytes on the device.
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Stored::Float(values) => values.shape().num_elements() * size_of::<f32>(),
            Stored::Packed(packed) => packed.layout.rows * packed.layout.row_bytes(),
        }
    }

    /// Returns the device.
    pub fn device(&self) -> Device {
        match &self.0 {
            Stored::Float(values) => values.device(),
            Stored::Packed(packed) => packed.words.device(),
        }
    }

    /// Returns the transposed weight. No values move.
    pub fn transpose(&self) -> Self {
        Self(match &self.0 {
            Stored::Float(values) => Stored::Float(values.clone().transpose()),
            Stored::Packed(packed) => Stored::Packed(Packed {
                transposed: !packed.transposed,
                ..packed.clone()
            }),
        })
    }

    /// Returns the weight for use together with tensors that autodiff tracks, untracked itself.
    pub(crate) fn autodiff(&self) -> Self {
        Self(match &self.0 {
            Stored::Float(values) => Stored::Float(values.clone().autodiff()),
            Stored::Packed(packed) => Stored::Packed(Packed {
                autodiff: true,
                ..packed.clone()
            }),
        })
    }

    /// Returns whether the weight gets no gradient and [`Self::into_head`] keeps it as it is stored.
    pub(crate) fn is_frozen_head(&self) -> bool {
        match &self.0 {
            Stored::Float(values) => !values.is_require_grad(),
            Stored::Packed(packed) => !packed.transposed,
        }
    }

    /// Returns the values in float32.
    pub fn float(&self) -> Tensor<2> {
        match &self.0 {
            Stored::Float(values) => values.clone(),
            Stored::Packed(packed) => {
                let rows = packed.layout.rows as i64;
                let values = packed.rows(Tensor::arange(0..rows, &packed.words.device()));
                if packed.transposed {
                    values.transpose()
                } else {
                    values
                }
            }
        }
    }

    /// Returns `x · Wᵀ` for x \[n, columns\].
    pub fn times_transposed(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.0 {
            Stored::Float(values) => matmul(x, values.clone().transpose()),
            Stored::Packed(packed) => Tensor::from_dispatch(Dispatch::packed_matmul(
                x.into_dispatch(),
                packed.words.clone().into_dispatch(),
                packed.layout,
                !packed.transposed,
            )),
        }
    }

    /// Returns rows \[n · m, columns\] by their indices \[n, m\].
    pub fn rows(&self, indices: Tensor<2, Int>) -> Tensor<2> {
        let [n, m] = indices.dims();
        match &self.0 {
            Stored::Packed(packed) if !packed.transposed => packed.rows(indices.reshape([n * m])),
            _ => look_up(self.float(), indices.reshape([n * m])),
        }
    }

    /// Returns the weight as the head of the loss.
    pub(crate) fn into_head(self) -> Head<Dispatch> {
        match self.0 {
            Stored::Packed(packed) if !packed.transposed => Head::Packed {
                words: packed.words.into_dispatch(),
                layout: packed.layout,
            },
            _ => Head::Float(self.float().into_dispatch()),
        }
    }
}

impl Packed {
    /// Returns stored rows by their indices.
    fn rows(&self, indices: Tensor<1, Int>) -> Tensor<2> {
        let values = Tensor::from_dispatch(Dispatch::unpack_rows(
            indices.cast(IntDType::I32).into_dispatch(),
            self.words.clone().into_dispatch(),
            self.layout,
        ));
        if self.autodiff {
            values.autodiff()
        } else {
            values
        }
    }
}
