//! Logits of a model that another program computed, in safetensors format.

use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Result};
use crate::model::weights;
use crate::quantization::WeightType;

const IDS: &str = "input_ids";
const LOGITS: &str = "logits";

/// Token ids and the logits that another program computed for them. The logits stay in the bytes of the file.
#[derive(Clone, Debug)]
pub struct ExpectedLogits<'a> {
    path: &'a Path,
    /// \[rows, length\].
    ids: Vec<u32>,
    shape: [usize; 3],
    kind: WeightType,
    /// \[rows, length, vocab_size\].
    logits: &'a [u8],
}

impl<'a> ExpectedLogits<'a> {
    /// Reads the tensors `input_ids` \[rows, length\] or \[length\] in I32 or I64, and `logits`
    /// \[rows, length, vocab_size\] or \[length, vocab_size\] in F32, F16 or BF16. Other tensors are ignored.
    /// `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Parse`] for a damaged file, [`Error::MissingTensors`], [`Error::TensorType`], and
    /// [`Error::Weights`] for shapes that do not match and ids that are none.
    pub fn parse(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let file = weights::open(bytes, path)?;
        let [ids, logits] = both(&file, path)?;
        let kind = match logits.dtype() {
            Dtype::F32 => WeightType::Float32,
            Dtype::F16 => WeightType::Float16,
            Dtype::BF16 => WeightType::Bfloat16,
            other => {
                return Err(Error::TensorType {
                    path: path.to_path_buf(),
                    name: LOGITS.to_string(),
                    found: format!("{other:?}"),
                });
            }
        };
        let shape = match *logits.shape() {
            [length, vocab_size] => [1, length, vocab_size],
            [rows, length, vocab_size] => [rows, length, vocab_size],
            _ => [0; 3],
        };
        if shape.contains(&0) {
            let message = format!(
                "{LOGITS} has shape {:?}, expected [rows, length, vocab_size] or [length, vocab_size], none of \
                 them 0",
                logits.shape()
            );
            return Err(fault(path, message));
        }
        let [rows, length, _] = shape;
        // A single row may lack its dimension in either tensor.
        let fits = match *ids.shape() {
            [of_row] => rows == 1 && of_row == length,
            [found, of_row] => found == rows && of_row == length,
            _ => false,
        };
        if !fits {
            let message = format!(
                "{IDS} has shape {:?}, expected [{rows}, {length}] since {LOGITS} has shape {:?}",
                ids.shape(),
                logits.shape()
            );
            return Err(fault(path, message));
        }
        Ok(Self {
            path,
            ids: token_ids(&ids, length, path)?,
            shape,
            kind,
            logits: logits.data(),
        })
    }

    /// Returns the number of rows, of tokens per row, and of logits per token.
    pub fn dims(&self) -> [usize; 3] {
        self.shape
    }

    /// Returns the type of the logits in the file.
    pub fn kind(&self) -> WeightType {
        self.kind
    }

    /// Returns the token ids of a row.
    pub(super) fn row(&self, row: usize) -> &[u32] {
        let length = self.shape[1];
        &self.ids[row * length..(row + 1) * length]
    }

    /// Checks that a model can compute these logits.
    ///
    /// # Errors
    ///
    /// [`Error::Weights`] that says which sizes or ids do not match.
    pub(super) fn check_fits(&self, vocab_size: usize, max_length: usize) -> Result<()> {
        let [_, length, found] = self.shape;
        if found != vocab_size {
            let message = format!(
                "{LOGITS} has a vocabulary of {found} tokens, and the model one of {vocab_size}: expected the \
                 logits of the same model"
            );
            return Err(fault(self.path, message));
        }
        if length > max_length {
            let message = format!(
                "{IDS} has rows of {length} tokens, expected at most {max_length}, the maximum length of the model"
            );
            return Err(fault(self.path, message));
        }
        match self.ids.iter().position(|&id| id as usize >= vocab_size) {
            None => Ok(()),
            Some(at) => {
                let highest = vocab_size - 1;
                Err(self.fault_of_id(at, self.ids[at], &format!("0 to {highest}")))
            }
        }
    }

    /// Reads the logits at a position into `values` \[vocab_size\].
    ///
    /// # Errors
    ///
    /// [`Error::Weights`] that names a logit which is not finite.
    pub(super) fn read(&self, row: usize, position: usize, values: &mut [f32]) -> Result<()> {
        let [_, length, vocab_size] = self.shape;
        let bytes = self.kind.block_bytes() * vocab_size;
        let start = (row * length + position) * bytes;
        self.kind.unpack(&self.logits[start..start + bytes], values);
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(token) => {
                let message = format!(
                    "{LOGITS} has {} at row {row}, position {position}, token {token}: compute them in float32",
                    values[token]
                );
                Err(fault(self.path, message))
            }
        }
    }

    fn fault_of_id(&self, at: usize, id: impl std::fmt::Display, expected: &str) -> Error {
        id_fault(self.path, at, self.shape[1], id, expected)
    }
}

/// Returns the two tensors of the file.
fn both<'a>(file: &SafeTensors<'a>, path: &Path) -> Result<[TensorView<'a>; 2]> {
    let find = |name: &str| file.tensor(name).ok();
    match (find(IDS), find(LOGITS)) {
        (Some(ids), Some(logits)) => Ok([ids, logits]),
        (ids, logits) => {
            let missing = [(IDS, ids.is_none()), (LOGITS, logits.is_none())];
            let missing = missing.into_iter().filter(|(_, is_missing)| *is_missing);
            Err(Error::MissingTensors {
                path: path.to_path_buf(),
                names: missing.map(|(name, _)| name.to_string()).collect(),
            })
        }
    }
}

/// Returns the values of `input_ids`, in rows of `length`.
fn token_ids(ids: &TensorView<'_>, length: usize, path: &Path) -> Result<Vec<u32>> {
    let bytes = ids.data();
    let numbers: Vec<i64> = match ids.dtype() {
        Dtype::I32 => numbers(bytes, |bytes| i64::from(i32::from_le_bytes(bytes))),
        Dtype::I64 => numbers(bytes, i64::from_le_bytes),
        other => {
            let message = format!("{IDS} has dtype {other:?}, expected I32 or I64");
            return Err(fault(path, message));
        }
    };
    let ids = numbers.iter().enumerate();
    ids.map(|(at, &id)| {
        // Backends take ids as 32-bit integers.
        let valid = i32::try_from(id).ok().and_then(|id| u32::try_from(id).ok());
        valid.ok_or_else(|| id_fault(path, at, length, id, "a token of the vocabulary"))
    })
    .collect()
}

fn numbers<const N: usize>(bytes: &[u8], number: fn([u8; N]) -> i64) -> Vec<i64> {
    let (numbers, _) = bytes.as_chunks::<N>();
    numbers.iter().map(|&bytes| number(bytes)).collect()
}

fn id_fault(
    path: &Path,
    at: usize,
    length: usize,
    id: impl std::fmt::Display,
    expected: &str,
) -> Error {
    let (row, position) = (at / length, at % length);
    let message = format!("{IDS} has {id} at row {row}, position {position}, expected {expected}");
    fault(path, message)
}

fn fault(path: &Path, message: String) -> Error {
    Error::Weights {
        path: path.to_path_buf(),
        message,
    }
}
