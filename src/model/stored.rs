//! Tensors as files have them, and how they become weights on a device.

use std::borrow::Cow;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;
use safetensors::tensor::TensorView;

use super::parameters::ParameterSpec;
use super::save_type::SaveType;
use crate::error::{Error, Result};
use crate::kernels::packed::Weight;
use crate::quantization::WeightType;

/// A tensor of a file.
#[derive(Clone, Debug)]
pub(crate) struct StoredTensor<'a> {
    /// Its name, for messages.
    pub name: String,
    /// The file, for messages.
    pub path: &'a Path,
    /// Its storage type.
    pub kind: WeightType,
    /// Its shape, the last dimension being contiguous.
    pub shape: Cow<'a, [usize]>,
    /// Rows of whole blocks.
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> StoredTensor<'a> {
    /// Returns a tensor of a safetensors file.
    ///
    /// # Errors
    ///
    /// [`Error::TensorType`] for another type than float32, float16 and bfloat16.
    pub(crate) fn of_view(view: &TensorView<'a>, name: &str, path: &'a Path) -> Result<Self> {
        let kind = SaveType::of_dtype(view.dtype()).ok_or_else(|| Error::TensorType {
            path: path.to_path_buf(),
            name: name.to_string(),
            found: format!("{:?}", view.dtype()),
        })?;
        Ok(Self {
            name: name.to_string(),
            path,
            kind: kind.stored(),
            shape: view.shape().to_vec().into(),
            bytes: view.data().into(),
        })
    }

    /// Checks the shape.
    ///
    /// # Errors
    ///
    /// [`Error::TensorShape`].
    pub(crate) fn check_shape(&self, expected: &ParameterSpec) -> Result<()> {
        if *self.shape == expected.shape {
            return Ok(());
        }
        Err(Error::TensorShape {
            path: self.path.to_path_buf(),
            name: expected.name.clone(),
            expected: expected.shape.clone(),
            found: self.shape.to_vec(),
        })
    }

    /// Returns the values in float32, not checked.
    pub(crate) fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.shape.iter().product()];
        if let Some((_, of_row, bytes_of_row)) = self.rows() {
            values
                .par_chunks_exact_mut(of_row)
                .zip(self.bytes.par_chunks_exact(bytes_of_row))
                .for_each(|(values, bytes)| self.kind.unpack(bytes, values));
        }
        values
    }

    /// Returns the values as a float32 matrix on a device; a vector is one row.
    ///
    /// # Errors
    ///
    /// [`Error::NonFiniteWeight`].
    pub(crate) fn float(&self, spec: &ParameterSpec, device: &Device) -> Result<Tensor<2>> {
        let values = self.values();
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(self.not_finite(index, values[index]));
        }
        let data = TensorData::new(values, spec.matrix_shape());
        Ok(Tensor::from_data(data, device))
    }

    /// Returns the weight on a device: a matrix as it is stored or in the `wanted` type, a vector in float32.
    ///
    /// A matrix whose rows are not whole blocks of the wanted type stays as it is stored.
    ///
    /// # Errors
    ///
    /// [`Error::NonFiniteWeight`].
    pub(crate) fn weight(
        &self,
        spec: &ParameterSpec,
        wanted: Option<WeightType>,
        device: &Device,
    ) -> Result<Weight> {
        let kind = wanted
            .filter(|kind| kind.row_bytes(spec.matrix_shape()[1]).is_some())
            .unwrap_or(self.kind);
        if spec.shape.len() < 2 || !kind.is_read_packed() {
            return Ok(self.float(spec, device)?.into());
        }
        let bytes = self.packed(kind)?;
        Ok(Weight::packed(kind, spec.matrix_shape(), &bytes, device))
    }

    /// Returns the rows in a storage type; every value has been checked.
    fn packed(&self, kind: WeightType) -> Result<Cow<'_, [u8]>> {
        let Some((rows, of_row, bytes_of_row)) = self.rows() else {
            return Ok(Cow::Borrowed(&[]));
        };
        let packed_row = kind.row_bytes(of_row).unwrap_or(0);
        let mut packed = vec![
            0;
            if kind == self.kind {
                0
            } else {
                rows * packed_row
            }
        ];
        let check = |values: &mut Vec<f32>, row: usize, bytes: &[u8]| {
            values.resize(of_row, 0.0);
            self.kind.unpack(bytes, values);
            let wrong = values.iter().position(|value| !value.is_finite());
            wrong.map(|column| self.not_finite(row * of_row + column, values[column]))
        };
        let stored = self.bytes.par_chunks_exact(bytes_of_row).enumerate();
        let wrong = if kind == self.kind {
            stored
                .map_init(Vec::new, |values, (row, bytes)| check(values, row, bytes))
                .find_map_first(|error| error)
        } else {
            stored
                .zip(packed.par_chunks_exact_mut(packed_row))
                .map_init(
                    || (Vec::new(), Vec::new()),
                    |(values, blocks), ((row, bytes), packed)| {
                        let error = check(values, row, bytes);
                        blocks.clear();
                        kind.pack(values, blocks);
                        packed.copy_from_slice(blocks);
                        error
                    },
                )
                .find_map_first(|error| error)
        };
        match wrong {
            Some(error) => Err(error),
            None if kind == self.kind => Ok(Cow::Borrowed(&self.bytes)),
            None => Ok(Cow::Owned(packed)),
        }
    }

    /// Returns the number of rows, values per row and bytes per row; `None` without values.
    fn rows(&self) -> Option<(usize, usize, usize)> {
        let of_row = *self.shape.last()?;
        let rows = self.shape[..self.shape.len() - 1].iter().product();
        let bytes = self.kind.row_bytes(of_row)?;
        (rows * bytes > 0).then_some((rows, of_row, bytes))
    }

    fn not_finite(&self, index: usize, value: f32) -> Error {
        Error::NonFiniteWeight {
            path: self.path.to_path_buf(),
            name: self.name.clone(),
            index,
            value,
        }
    }
}
