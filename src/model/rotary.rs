//! Rotary positions: how fast each pair of elements turns, and the tables for a batch.

use burn::tensor::{Tensor, TensorData};

use super::config::DecoderConfig;

/// How a model was taught to reach further than it was first trained for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    #[default]
    None,
    /// Every frequency divided by a factor (position interpolation, Chen et al., arXiv:2306.15595).
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Only slow frequencies divided, and a band between them partly (Llama 3.1, Grattafiori et al.,
    /// arXiv:2407.21783).
    Llama3 {
        /// The factor.
        factor: f64,
        /// Wavelengths above `original_length` over this are divided whole.
        low_frequency: f64,
        /// Wavelengths below `original_length` over this are kept.
        high_frequency: f64,
        /// Longest sequence of the first training.
        original_length: f64,
    },
}

impl RopeScaling {
    /// The frequency that a pair of elements turns with, from what it would be without scaling.
    fn scale(self, frequency: f64) -> f64 {
        match self {
            Self::None => frequency,
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 {
                factor,
                low_frequency,
                high_frequency,
                original_length,
            } => {
                let wavelength = std::f64::consts::TAU / frequency;
                if wavelength > original_length / low_frequency {
                    frequency / factor
                } else if wavelength < original_length / high_frequency {
                    frequency
                } else {
                    let kept = (original_length / wavelength - low_frequency)
                        / (high_frequency - low_frequency);
                    (1.0 - kept) * frequency / factor + kept * frequency
                }
            }
        }
    }
}

/// Cosines and sines \[length, head size / 2\] of the positions of a batch.
pub(super) struct RotaryTables {
    pub cosine: Tensor<2>,
    pub sine: Tensor<2>,
}

impl RotaryTables {
    /// For `length` positions from `first` on. The angle of pair i at position p is
    /// p · theta^(−2i / head size), scaled as the model is.
    pub fn new(
        config: &DecoderConfig,
        first: usize,
        length: usize,
        device: &burn::tensor::Device,
    ) -> Self {
        let half = config.head_size / 2;
        let frequencies: Vec<f32> = (0..half)
            .map(|pair| {
                let exponent = -2.0 * pair as f64 / config.head_size as f64;
                // The frequency is a float32 in the models' own training, the product too.
                config.rope_scaling.scale(config.rope_theta.powf(exponent)) as f32
            })
            .collect();
        let table = |f: fn(f64) -> f64| {
            let values: Vec<f32> = (first..first + length)
                .flat_map(|position| {
                    frequencies
                        .iter()
                        .map(move |&frequency| (position, frequency))
                })
                .map(|(position, frequency)| f(f64::from(position as f32 * frequency)) as f32)
                .collect();
            Tensor::from_data(TensorData::new(values, [length, half]), device)
        };
        Self {
            cosine: table(f64::cos),
            sine: table(f64::sin),
        }
    }
}
