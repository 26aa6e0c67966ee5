//! What earlier positions of a text leave for later ones: the KV cache, and the states of other mixers.

use burn::tensor::{Int, Tensor};

/// Positions by which a buffer is rounded up.
const STEP: usize = 64;

/// What earlier positions leave for later ones, per layer.
#[derive(Clone, Debug, Default)]
pub struct DecoderCache {
    layers: Vec<LayerCache>,
    /// Number of positions, those of a pass in progress included.
    length: usize,
    /// The tokens \[batch, length\], where they may be needed again.
    tokens: Option<Tensor<2, Int>>,
    /// The rotary frequencies of the keys, where they differ between lengths.
    variant: usize,
}

impl DecoderCache {
    /// Returns the number of cached positions.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Adds `added` positions, whose values each layer then adds, and returns the position of the first.
    pub(super) fn begin(&mut self, added: usize) -> usize {
        let first = self.length;
        self.length += added;
        first
    }

    /// Drops all positions from `length` on, or all if a layer's state cannot return to that one, and returns how
    /// many remain.
    pub(super) fn truncate(&mut self, length: usize) -> usize {
        let is_shorter = length < self.length;
        if is_shorter && self.layers.iter().any(LayerCache::only_grows) {
            self.length = 0;
        }
        self.length = self.length.min(length);
        if self.length == 0 {
            self.layers.clear();
        }
        for layer in &mut self.layers {
            for buffer in [&mut layer.keys, &mut layer.values] {
                buffer.length = buffer.length.min(length);
            }
        }
        self.length
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

    /// Returns what a layer keeps.
    pub(super) fn layer(&mut self, number: usize) -> &mut LayerCache {
        if number >= self.layers.len() {
            self.layers.resize_with(number + 1, LayerCache::default);
        }
        &mut self.layers[number]
    }
}

/// What a layer keeps of earlier positions; each mixer uses its own part.
#[derive(Clone, Debug, Default)]
pub(super) struct LayerCache {
    keys: Buffer,
    values: Buffer,
    /// The last inputs \[batch, taps - 1, channels\] of a convolution; zeros before the first position.
    inputs: Option<Tensor<3>>,
    /// The state \[batch, heads, key_size, value_size\] of linear attention; `None` before the first position.
    pub state: Option<Tensor<4>>,
}

impl LayerCache {
    /// Appends keys and values \[batch, added, heads, size\], and returns all of them.
    pub(super) fn append(&mut self, key: Tensor<4>, value: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        (self.keys.append(key), self.values.append(value))
    }

    /// Returns the inputs \[batch, added, channels\] of a convolution after the `count` before them, and keeps the
    /// last `count`.
    pub(super) fn after_inputs(&mut self, added: Tensor<3>, count: usize) -> Tensor<3> {
        if count == 0 {
            return added;
        }
        let [batch, length, channels] = added.dims();
        let before = self
            .inputs
            .take()
            .unwrap_or_else(|| Tensor::zeros([batch, count, channels], &added.device()));
        let all = Tensor::cat(vec![before, added], 1);
        self.inputs = Some(all.clone().narrow(1, length, count));
        all
    }

    /// Returns whether it has a state of the last position only.
    fn only_grows(&self) -> bool {
        self.inputs.is_some() || self.state.is_some()
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

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn ones<const D: usize>(shape: [usize; D]) -> Tensor<D> {
        Tensor::ones(shape, &Device::flex())
    }

    /// Returns the sum over the channels of each position.
    fn sums(inputs: Tensor<3>) -> Vec<f32> {
        let sums = inputs.sum_dim(2).into_data();
        sums.try_to_vec().unwrap_or_default()
    }

    /// A cache of five positions, of a layer with attention and, if so, one with a convolution of three taps.
    fn filled(convolves: bool) -> DecoderCache {
        let mut cache = DecoderCache::default();
        for added in [4, 1] {
            cache.begin(added);
            let keys = ones([1, added, 2, 4]);
            cache.layer(0).append(keys.clone(), keys);
            if convolves {
                cache.layer(1).after_inputs(ones([1, added, 3]), 2);
            }
        }
        cache
    }

    #[test]
    fn keys_and_values_return_to_an_earlier_position() {
        let mut cache = filled(false);
        assert_eq!((cache.truncate(9), cache.truncate(3)), (5, 3));
        cache.begin(1);
        let (keys, _) = cache
            .layer(0)
            .append(ones([1, 1, 2, 4]), ones([1, 1, 2, 4]));
        assert_eq!((cache.length(), keys.dims()), (4, [1, 4, 2, 4]));
        assert_eq!((cache.truncate(0), cache.layers.len()), (0, 0));
    }

    #[test]
    fn a_convolution_starts_anew_where_it_cannot_return() {
        let mut cache = filled(true);
        assert_eq!(cache.truncate(5), 5);
        let inputs = cache.layer(1).after_inputs(ones([1, 1, 3]) * 2.0, 2);
        assert_eq!(sums(inputs), [3.0, 3.0, 6.0]);
        assert_eq!((cache.truncate(4), cache.layers.len()), (0, 0));
        let inputs = cache.layer(1).after_inputs(ones([1, 1, 3]), 2);
        assert_eq!(sums(inputs), [0.0, 0.0, 3.0]);
    }
}
