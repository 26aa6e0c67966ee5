//! The KV cache: keys and values of earlier positions, appended in place.

use burn::tensor::{Int, Tensor};

/// Positions by which a buffer is rounded up.
const STEP: usize = 64;

/// The keys and values of earlier positions, per layer.
#[derive(Clone, Debug, Default)]
pub struct KeyValueCache {
    layers: Vec<[Buffer; 2]>,
    /// The tokens \[batch, length\], where they may be needed again.
    tokens: Option<Tensor<2, Int>>,
    /// The rotary frequencies of the keys, where they differ between lengths.
    variant: usize,
}

impl KeyValueCache {
    /// Returns the number of cached positions.
    pub fn length(&self) -> usize {
        self.layers.first().map_or(0, |[keys, _]| keys.length)
    }

    /// Drops all positions from `length` on.
    pub(super) fn truncate(&mut self, length: usize) {
        if length == 0 {
            self.layers.clear();
        }
        for buffer in self.layers.iter_mut().flatten() {
            buffer.length = buffer.length.min(length);
        }
    }

    /// Returns the tokens \[batch, length\] to compute when `added` ones follow. These are all tokens, and the
    /// cache becomes empty, where the cached keys have other rotary frequencies than the text now has: `variant`
    /// tells those of a length.
    pub(super) fn tokens_to_compute(
        &mut self,
        added: Tensor<2, Int>,
        variant: impl Fn(usize) -> usize,
    ) -> Tensor<2, Int> {
        let cached = self.length();
        let all = match self.tokens.take() {
            Some(tokens) if cached > 0 => {
                Tensor::cat(vec![tokens.narrow(1, 0, cached), added.clone()], 1)
            }
            _ => added.clone(),
        };
        self.tokens = Some(all.clone());
        let before = std::mem::replace(&mut self.variant, variant(all.dims()[1]));
        if cached == 0 || before == self.variant {
            return added;
        }
        self.truncate(0);
        all
    }

    /// Appends keys and values of a layer \[batch, added, heads, size\], and returns all of them. Layers are
    /// added in their order; those that take the keys and values of others have none.
    pub(super) fn append(&mut self, layer: usize, [key, value]: [Tensor<4>; 2]) -> [Tensor<4>; 2] {
        if layer == self.layers.len() {
            self.layers.push(Default::default());
        }
        let [keys, values] = &mut self.layers[layer];
        [keys.append(key), values.append(value)]
    }
}

/// A tensor that grows along its second dimension.
#[derive(Clone, Debug, Default)]
struct Buffer {
    /// \[batch, capacity, heads, size\]; `None` before the first position.
    values: Option<Tensor<4>>,
    /// Positions in use.
    length: usize,
}

impl Buffer {
    fn append(&mut self, added: Tensor<4>) -> Tensor<4> {
        let [batch, count, heads, size] = added.dims();
        let end = self.length + count;
        let put = |values: Tensor<4>, first: usize, last: usize, part: Tensor<4>| {
            values.slice_assign([0..batch, first..last, 0..heads, 0..size], part)
        };
        let with_capacity = |capacity: usize| {
            let shape = [batch, capacity.next_multiple_of(STEP), heads, size];
            Tensor::zeros(shape, &added.device())
        };
        let values = match self.values.take() {
            Some(values) if values.dims()[1] >= end => values,
            Some(values) => {
                // Doubled, so that a text of n tokens copies fewer than 2n positions.
                let larger = with_capacity(end.max(2 * values.dims()[1]));
                put(larger, 0, self.length, values.narrow(1, 0, self.length))
            }
            None => with_capacity(end),
        };
        let values = put(values, self.length, end, added);
        self.length = end;
        self.values = Some(values.clone());
        values.narrow(1, 0, end)
    }
}
