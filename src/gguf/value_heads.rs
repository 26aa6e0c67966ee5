//! The order of the value heads of gated delta rules: `transformers` has those of each key head together, llama.cpp
//! the first of every key head, then the second of every key head.

use std::borrow::Cow;

use super::weights::StoredTensor;

/// Sizes of the attention heads, on which the order of values depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadSizes {
    /// Rows per attention head.
    pub attention: usize,
    /// Value heads of gated delta rules.
    pub values: ValueHeads,
}

/// The value heads of a gated delta rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ValueHeads {
    /// Number of heads.
    pub heads: usize,
    /// Number of key heads; divides `heads`.
    pub key_heads: usize,
    /// Rows per head.
    pub size: usize,
}

impl ValueHeads {
    /// Of models without gated delta rules.
    pub(crate) const NONE: Self = Self {
        heads: 1,
        key_heads: 1,
        size: 1,
    };

    /// Returns the same heads with one row each.
    pub(crate) fn of_one_row(self) -> Self {
        Self { size: 1, ..self }
    }

    /// Returns where a row of a tensor in a Hugging Face folder is in the GGUF file, of `rows` rows the last of which
    /// are those of the heads.
    pub(crate) fn row(self, row: usize, rows: usize) -> usize {
        let first = rows - self.heads * self.size;
        let Some(place) = row.checked_sub(first) else {
            return row;
        };
        let (head, place) = (place / self.size, place % self.size);
        let group = self.heads / self.key_heads;
        let (key_head, number) = (head / group, head % group);
        first + (number * self.key_heads + key_head) * self.size + place
    }

    /// Fails if a tensor has fewer rows or columns than the heads.
    fn check(self, found: usize, what: &str) -> Result<(), String> {
        let expected = self.heads * self.size;
        if found >= expected {
            return Ok(());
        }
        Err(format!(
            "{found} {what}: expected at least {expected}, for {} value heads",
            self.heads
        ))
    }
}

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
    fn heads_of_a_key_head_come_apart() {
        let rows: Vec<usize> = (0..10).map(|row| HEADS.row(row, 10)).collect();
        assert_eq!(rows, [0, 1, 2, 3, 6, 7, 4, 5, 8, 9]);
    }

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
