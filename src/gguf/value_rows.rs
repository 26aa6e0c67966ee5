//! Tensors with the value heads of gated delta rules in the order of Hugging Face folders.

use std::borrow::Cow;

use super::value_heads::ValueHeads;
use super::weights::StoredTensor;

impl StoredTensor<'_> {
    /// Puts the rows of the value heads of each key head together.
    pub(super) fn with_value_rows(self, heads: ValueHeads) -> Result<Self, String> {
        let rows = self.shape[0];
        heads.check(rows, "rows")?;
        Ok(self.with_rows_from(|row| heads.row(row, rows)))
    }

    /// Puts the columns of the value heads of each key head together.
    pub(super) fn with_value_columns(self, heads: ValueHeads) -> Result<Self, String> {
        let &[_, columns] = &*self.shape else {
            return Err(format!("shape {:?}: expected two dimensions", self.shape));
        };
        heads.check(columns, "columns")?;
        if heads.heads == heads.key_heads {
            return Ok(self);
        }
        // Whole blocks are moved as they are.
        let (block, block_bytes) = (self.kind.block(), self.kind.block_bytes());
        let moves_blocks = heads.size.is_multiple_of(block) && columns.is_multiple_of(block);
        let tensor = match moves_blocks {
            true => self,
            false => Self::of_values(&self.values(), self.shape),
        };
        let (unit, size) = match moves_blocks {
            true => (block, block_bytes),
            false => (1, size_of::<f32>()),
        };
        let mut bytes = Vec::with_capacity(tensor.bytes.len());
        for row in tensor.bytes.chunks_exact(columns / unit * size) {
            for column in (0..columns).step_by(unit) {
                let start = heads.row(column, columns) / unit * size;
                bytes.extend_from_slice(&row[start..][..size]);
            }
        }
        Ok(Self {
            bytes: Cow::Owned(bytes),
            ..tensor
        })
    }

    /// Returns the logarithms of the negated values.
    pub(super) fn log_of_negated(self) -> Self {
        let values: Vec<f32> = self.values().iter().map(|value| (-value).ln()).collect();
        Self::of_values(&values, self.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantization::WeightType;

    const HEADS: ValueHeads = ValueHeads {
        heads: 4,
        key_heads: 2,
        size: 2,
    };

    #[test]
    fn rows_and_columns_return_to_their_heads() {
        let values: Vec<f32> = (0..8).map(|value| value as f32).collect();
        let expected = [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0];
        for kind in [WeightType::Float32, WeightType::Float16] {
            let tensor = |shape: &[usize]| {
                let mut bytes = Vec::new();
                kind.pack(&values, &mut bytes);
                StoredTensor {
                    kind,
                    shape: shape.to_vec(),
                    bytes: Cow::Owned(bytes),
                }
            };
            let rows = tensor(&[8, 1]).with_value_rows(HEADS).unwrap();
            assert_eq!(rows.values(), expected);
            let columns = tensor(&[1, 8]).with_value_columns(HEADS).unwrap();
            assert_eq!((columns.kind, columns.values()), (kind, expected.to_vec()));
            assert!(tensor(&[4, 2]).with_value_rows(HEADS).is_err());
        }
    }
}
