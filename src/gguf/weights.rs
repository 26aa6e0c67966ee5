//! The weights of a GGUF file under their names in a Hugging Face folder, as they are stored where possible.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::container::TensorInfo;
use super::names::{
    Architecture, Change, FUSED, Parameter, ROPE_FACTORS, interleaved_row, row_of_part,
};
use super::value_heads::HeadSizes;
use crate::error::{self, Error};
use crate::quantization::WeightType;

/// The weights of a model in GGUF, without their values.
#[derive(Debug)]
pub(crate) struct GgufWeights {
    architecture: &'static Architecture,
    heads: HeadSizes,
    tensors: HashMap<String, Place>,
    /// The file, or the first of a split one, for messages.
    path: PathBuf,
}

/// Where a tensor is.
#[derive(Debug)]
struct Place {
    file: usize,
    info: TensorInfo,
}

/// A tensor with the name, shape and values that it has in a Hugging Face folder.
#[derive(Debug)]
pub(crate) struct StoredTensor<'a> {
    /// Storage type.
    pub kind: WeightType,
    /// Shape, the rows' length last.
    pub shape: Vec<usize>,
    /// Values, as the type stores them.
    pub bytes: Cow<'a, [u8]>,
}

/// The projections that early exports store as one tensor, in its order.
const PARTS: [&str; 3] = ["attn_q", "attn_k", "attn_v"];

/// Tensors that files may contain and that nothing reads.
const IGNORED: [&str; 2] = [ROPE_FACTORS, "attn_rot_embd.weight"];

impl GgufWeights {
    /// Collects the tensors of a model's files; `path` is that of the first, for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Weights`] for a tensor that two files have, [`Error::UnexpectedTensors`] for those that the
    /// architecture does not have.
    pub(super) fn new(
        files: Vec<Vec<TensorInfo>>,
        architecture: &'static Architecture,
        heads: HeadSizes,
        path: &Path,
    ) -> error::Result<Self> {
        let mut tensors = HashMap::new();
        for (file, infos) in files.into_iter().enumerate() {
            for info in infos {
                let name = info.name.clone();
                if let Some(other) = tensors.insert(name, Place { file, info }) {
                    let message = format!(
                        "tensor {} is in two files of the model: download them again",
                        other.info.name
                    );
                    return Err(Error::Weights {
                        path: path.to_path_buf(),
                        message,
                    });
                }
            }
        }
        let weights = Self {
            architecture,
            heads,
            tensors,
            path: path.to_path_buf(),
        };
        let mut unknown: Vec<String> = weights.tensors.keys().cloned().collect();
        unknown.retain(|name| !weights.is_known(name));
        if unknown.is_empty() {
            return Ok(weights);
        }
        unknown.sort();
        Err(Error::UnexpectedTensors {
            path: weights.path,
            names: unknown,
        })
    }

    /// Returns the names of all tensors in a Hugging Face folder, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let parameters = self.tensors.keys().flat_map(|name| self.parameters(name));
        let names = parameters.map(|parameter| self.architecture.hugging_face_name(&parameter));
        let names: HashSet<String> = names.collect();
        let mut names: Vec<String> = names.into_iter().collect();
        names.sort();
        names
    }

    /// Returns the tensor with a name in a Hugging Face folder, if the model has it; `files` are the bytes of
    /// the model's files. Blocks stay packed, except where values change or rows are not whole blocks.
    ///
    /// # Errors
    ///
    /// [`Error::Weights`] for a shape that the model cannot have.
    pub(crate) fn tensor<'a>(
        &self,
        files: &[&'a [u8]],
        name: &str,
    ) -> error::Result<Option<StoredTensor<'a>>> {
        let Some(parameter) = self.architecture.parameter(name) else {
            return Ok(None);
        };
        let found = match self.stored(files, &parameter.gguf_name()) {
            Some(tensor) => self.changed(tensor, &parameter, files),
            None => self.part(&parameter, files),
        };
        found.map_err(|message| Error::Weights {
            path: self.path.clone(),
            message: format!("tensor {}: {message}", parameter.gguf_name()),
        })
    }

    /// Returns the type in which the file stores the tensor with a name in a Hugging Face folder.
    pub(crate) fn kind(&self, name: &str) -> Option<WeightType> {
        let parameter = self.architecture.parameter(name)?;
        let fused = parameter.gguf_sibling(FUSED);
        let place = self.tensors.get(&parameter.gguf_name());
        let place = place.or_else(|| self.tensors.get(&fused).filter(|_| self.splits_fused()));
        place.map(|place| place.info.kind)
    }

    fn is_known(&self, name: &str) -> bool {
        !self.parameters(name).is_empty()
            || IGNORED.iter().any(|ignored| name.ends_with(ignored))
            || self.is_lower_half(name)
    }

    /// Returns the parameters that a tensor of the file belongs to.
    fn parameters(&self, name: &str) -> Vec<Parameter> {
        if let Some(parameter) = self.architecture.parameter_of_gguf(name) {
            return vec![parameter];
        }
        let parts = PARTS.iter().filter(|_| self.splits_fused());
        let parts = parts.filter(|_| name.contains(FUSED));
        parts
            .filter_map(|part| {
                self.architecture
                    .parameter_of_gguf(&name.replace(FUSED, part))
            })
            .collect()
    }

    /// Returns whether queries, keys and values may be one tensor of three equal parts.
    fn splits_fused(&self) -> bool {
        self.architecture.gguf == "phi2"
    }

    fn is_lower_half(&self, name: &str) -> bool {
        self.architecture.in_layer.iter().any(|known| {
            let Change::Upper { lower } = known.change else {
                return false;
            };
            let upper = name.replace(lower, known.gguf);
            name.contains(lower) && self.architecture.parameter_of_gguf(&upper).is_some()
        })
    }

    fn stored<'a>(&self, files: &[&'a [u8]], name: &str) -> Option<StoredTensor<'a>> {
        let Place { file, info } = self.tensors.get(name)?;
        Some(StoredTensor {
            kind: info.kind,
            shape: info.shape.clone(),
            bytes: Cow::Borrowed(&files[*file][info.bytes.clone()]),
        })
    }

    /// Returns the values that a tensor has in a Hugging Face folder.
    fn changed<'a>(
        &self,
        tensor: StoredTensor<'a>,
        parameter: &Parameter,
        files: &[&'a [u8]],
    ) -> Result<Option<StoredTensor<'a>>, String> {
        Ok(Some(match parameter.name.change {
            Change::PlusOne if !parameter.is_bias => tensor.minus_one(),
            Change::Transposed if !parameter.is_bias => tensor.transposed()?,
            Change::Squeezed => tensor.unsqueezed()?,
            Change::HeadRows => tensor.with_head_rows(self.heads.attention)?,
            Change::HeadParts => tensor.with_head_parts(self.heads.attention)?,
            Change::ValueRows => tensor.with_value_rows(self.heads.values)?,
            Change::SqueezedValueRows => tensor.with_value_rows(self.heads.values)?.unsqueezed()?,
            Change::ValueHeads => tensor.with_value_rows(self.heads.values.of_one_row())?,
            Change::ValueRates => tensor
                .with_value_rows(self.heads.values.of_one_row())?
                .log_of_negated(),
            Change::ValueColumns => tensor.with_value_columns(self.heads.values)?,
            Change::Upper { lower } => {
                let lower = parameter.gguf_sibling(lower);
                let Some(second) = self.stored(files, &lower) else {
                    return Err(format!("{lower} is missing: expected both halves"));
                };
                tensor.above(&second)?
            }
            Change::None | Change::PlusOne | Change::Transposed => tensor,
        }))
    }

    /// Returns a third of a fused projection.
    fn part<'a>(
        &self,
        parameter: &Parameter,
        files: &[&'a [u8]],
    ) -> Result<Option<StoredTensor<'a>>, String> {
        let part = PARTS.iter().position(|part| *part == parameter.name.gguf);
        let (true, Some(part)) = (self.splits_fused(), part) else {
            return Ok(None);
        };
        let fused = self.stored(files, &parameter.gguf_sibling(FUSED));
        fused.map(|fused| fused.third(part)).transpose()
    }
}

impl<'a> StoredTensor<'a> {
    /// Unpacks the values.
    pub(crate) fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.shape.iter().product()];
        self.kind.unpack(&self.bytes, &mut values);
        values
    }

    pub(super) fn of_values(values: &[f32], shape: Vec<usize>) -> Self {
        let mut bytes = Vec::new();
        WeightType::Float32.pack(values, &mut bytes);
        Self {
            kind: WeightType::Float32,
            shape,
            bytes: Cow::Owned(bytes),
        }
    }

    /// Returns the tensor in a type whose blocks do not span rows.
    fn by_rows(self) -> Self {
        match self.shape.len() {
            1 if self.kind.block() > 1 => Self::of_values(&self.values(), self.shape.clone()),
            _ => self,
        }
    }

    /// Returns the number of bytes of a row; the rows of a vector are its values.
    fn row_bytes(&self) -> usize {
        self.bytes.len() / self.shape[0]
    }

    fn minus_one(self) -> Self {
        let mut values = self.values();
        values.iter_mut().for_each(|value| *value -= 1.0);
        Self::of_values(&values, self.shape)
    }

    fn transposed(self) -> Result<Self, String> {
        let &[rows, columns] = &*self.shape else {
            return Err(format!("shape {:?}: expected two dimensions", self.shape));
        };
        let shape = vec![columns, rows];
        if self.kind.block() == 1 {
            let size = self.kind.block_bytes();
            let mut bytes = Vec::with_capacity(self.bytes.len());
            for column in 0..columns {
                for row in 0..rows {
                    bytes.extend_from_slice(&self.bytes[(row * columns + column) * size..][..size]);
                }
            }
            return Ok(Self {
                shape,
                bytes: Cow::Owned(bytes),
                ..self
            });
        }
        let values = self.values();
        let places = (0..columns).flat_map(|column| (0..rows).map(move |row| (row, column)));
        let transposed = places.map(|(row, column)| values[row * columns + column]);
        Ok(Self::of_values(&transposed.collect::<Vec<_>>(), shape))
    }

    /// Returns a matrix \[channels, taps\] as the weights of a depthwise convolution.
    fn unsqueezed(mut self) -> Result<Self, String> {
        if self.shape.len() != 2 {
            return Err(format!("shape {:?}: expected two dimensions", self.shape));
        }
        self.shape.insert(1, 1);
        Ok(self)
    }

    /// Undoes the alternation of rows within heads.
    fn with_head_rows(self, head_size: usize) -> Result<Self, String> {
        let rows = self.shape[0];
        if !rows.is_multiple_of(head_size) || !head_size.is_multiple_of(2) {
            return Err(format!(
                "{rows} rows: expected a multiple of the even head size, which is {head_size}"
            ));
        }
        Ok(self.with_rows_from(|row| interleaved_row(row, head_size)))
    }

    /// Puts query, key and value of each head together.
    fn with_head_parts(self, head_size: usize) -> Result<Self, String> {
        let rows = self.shape[0];
        if !rows.is_multiple_of(3 * head_size) {
            return Err(format!(
                "{rows} rows: expected a multiple of 3 heads of size {head_size}"
            ));
        }
        Ok(self.with_rows_from(|row| row_of_part(row, rows, head_size)))
    }

    /// Returns the tensor with rows from other places.
    pub(super) fn with_rows_from(self, place: impl Fn(usize) -> usize) -> Self {
        let tensor = self.by_rows();
        let (rows, size) = (tensor.shape[0], tensor.row_bytes());
        let mut bytes = Vec::with_capacity(tensor.bytes.len());
        for row in 0..rows {
            let start = place(row) * size;
            bytes.extend_from_slice(&tensor.bytes[start..][..size]);
        }
        Self {
            bytes: Cow::Owned(bytes),
            ..tensor
        }
    }

    /// Returns the rows of this tensor, followed by those of another.
    fn above(self, lower: &Self) -> Result<Self, String> {
        if self.shape[1..] != lower.shape[1..] || self.shape.len() != 2 {
            return Err(format!(
                "shape {:?}, with {:?} below: expected rows of one length",
                self.shape, lower.shape
            ));
        }
        let rows = self.shape[0] + lower.shape[0];
        let shape = vec![rows, self.shape[1]];
        if self.kind == lower.kind {
            return Ok(Self {
                kind: self.kind,
                shape,
                bytes: Cow::Owned([&*self.bytes, &*lower.bytes].concat()),
            });
        }
        Ok(Self::of_values(
            &[self.values(), lower.values()].concat(),
            shape,
        ))
    }

    /// Returns one of three equal parts of the rows.
    fn third(self, part: usize) -> Result<Self, String> {
        let tensor = self.by_rows();
        let (rows, size) = (tensor.shape[0], tensor.row_bytes());
        if !rows.is_multiple_of(3) {
            return Err(format!("{rows} fused rows: expected a multiple of 3"));
        }
        let bytes = rows / 3 * size;
        let range = part * bytes..(part + 1) * bytes;
        let mut shape = tensor.shape;
        shape[0] = rows / 3;
        Ok(Self {
            kind: tensor.kind,
            shape,
            bytes: match tensor.bytes {
                Cow::Borrowed(all) => Cow::Borrowed(&all[range]),
                Cow::Owned(all) => Cow::Owned(all[range].to_vec()),
            },
        })
    }
}
