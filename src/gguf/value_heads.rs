//! The order of the value heads of gated delta rules: `transformers` has those of each key head together, llama.cpp
//! the first of every key head, then the second of every key head.

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
    pub(super) fn check(self, found: usize, what: &str) -> Result<(), String> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
