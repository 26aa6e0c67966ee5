//! Values to blocks and back, by type.

use super::WeightType;
use super::{pack, unpack};

impl WeightType {
    /// Unpacks whole blocks.
    ///
    /// # Panics
    ///
    /// If `bytes` and `values` are not the same number of blocks.
    pub fn unpack(self, bytes: &[u8], values: &mut [f32]) {
        let blocks = values.len() / self.block();
        assert_eq!(blocks * self.block(), values.len(), "whole blocks");
        assert_eq!(blocks * self.block_bytes(), bytes.len(), "one block each");
        unpack::unpack(self, bytes, values);
    }

    /// Returns the sum of the products of whole blocks and as many values, in float32.
    ///
    /// # Panics
    ///
    /// As [`Self::unpack`].
    pub(crate) fn dot(self, bytes: &[u8], values: &[f32]) -> f32 {
        let blocks = values.len() / self.block();
        assert_eq!(blocks * self.block(), values.len(), "whole blocks");
        assert_eq!(blocks * self.block_bytes(), bytes.len(), "one block each");
        unpack::dot(self, bytes, values)
    }

    /// Packs values into whole blocks, rounded as gguf-py rounds them, and appends them to `bytes`.
    ///
    /// # Panics
    ///
    /// If [`Self::is_written`] is false, or `values` are not whole blocks.
    pub fn pack(self, values: &[f32], bytes: &mut Vec<u8>) {
        assert!(values.len().is_multiple_of(self.block()), "whole blocks");
        pack::pack(self, values, bytes);
    }
}
