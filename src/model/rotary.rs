//! Rotary embeddings: their configuration and the tables of a batch.

use burn::tensor::{Int, Tensor, TensorData};

use super::rope_scaling::RopeScaling;

/// A rotary embedding of queries and keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// Number of leading elements of a head that are rotated; even.
    pub size: usize,
    /// Base of the wavelengths.
    pub theta: f64,
    /// Scaling of the frequencies.
    pub scaling: RopeScaling,
    /// Whether neighbours rotate together, instead of elements that are half the rotated size apart.
    pub interleaved: bool,
}

impl Rotary {
    /// Checks the settings for heads of that size.
    pub(super) fn check(&self, head_size: usize) -> Result<(), String> {
        let Self {
            size,
            theta,
            ref scaling,
            interleaved: _,
        } = *self;
        if !size.is_multiple_of(2) || size == 0 || size > head_size {
            return Err(format!(
                "the rotary embedding rotates {size} of a head's {head_size} elements: expected an even \
                 number from 2 to {head_size}"
            ));
        }
        if !(theta.is_finite() && theta > 0.0) {
            return Err(format!("rope_theta is {theta}: expected more than 0"));
        }
        scaling.check(size)?;
        let lengths = [1, scaling.extended(1), u32::MAX as usize];
        let mut frequencies = lengths
            .into_iter()
            .flat_map(|length| scaling.frequencies(size, theta, length));
        if frequencies.all(f64::is_finite) {
            return Ok(());
        }
        Err(format!(
            "the RoPE scaling {scaling:?} with rope_theta {theta} has infinite frequencies"
        ))
    }
}

/// Cosines and sines \[length, rotary size / 2\] for the positions of a batch, times the scaling's factor of
/// the attention.
#[derive(Clone)]
pub(super) struct RotaryTables {
    pub cosine: Tensor<2>,
    pub sine: Tensor<2>,
}

impl RotaryTables {
    /// Returns the rows of positions \[n\] that count from the tables' first.
    pub(super) fn at(&self, positions: &Tensor<1, Int>) -> Self {
        let [cosine, sine] =
            [&self.cosine, &self.sine].map(|table| table.clone().select(0, positions.clone()));
        Self { cosine, sine }
    }

    /// Computes the tables for `length` positions, starting at `first`, of sequences of up to `sequence`
    /// tokens. The angle of pair i at position p is p · theta^(−2i / rotary size), scaled.
    pub(super) fn new(
        rotary: &Rotary,
        first: usize,
        length: usize,
        sequence: usize,
        device: &burn::tensor::Device,
    ) -> Self {
        let half = rotary.size / 2;
        let scaling = &rotary.scaling;
        let frequencies = scaling.frequencies(rotary.size, rotary.theta, sequence);
        // In the models' original training frequency and product are float32.
        let frequencies: Vec<f32> = frequencies.into_iter().map(|value| value as f32).collect();
        let factor = scaling.attention_factor();
        let table = |f: fn(f64) -> f64| {
            let values: Vec<f32> = (first..first + length)
                .flat_map(|position| {
                    frequencies
                        .iter()
                        .map(move |&frequency| (position, frequency))
                })
                .map(|(position, frequency)| {
                    (f(f64::from(position as f32 * frequency)) * factor) as f32
                })
                .collect();
            Tensor::from_data(TensorData::new(values, [length, half]), device)
        };
        Self {
            cosine: table(f64::cos),
            sine: table(f64::sin),
        }
    }
}

/// Returns heads \[batch, length, heads, size\] with their even elements before the odd ones: neighbours
/// become the pairs that the kernel rotates.
pub(super) fn neighbours_apart(x: Tensor<4>) -> Tensor<4> {
    let [batch, length, heads, size] = x.dims();
    x.reshape([batch, length, heads, size / 2, 2])
        .swap_dims(3, 4)
        .reshape([batch, length, heads, size])
}
