//! Rotary positions: how fast each pair of elements turns, and the tables for a batch.

use burn::tensor::{Tensor, TensorData};

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

/// How queries and keys turn with their position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotary {
    /// Elements of a head that turn, from the first on; even.
    pub size: usize,
    /// Base of the wavelengths.
    pub theta: f64,
    /// How they are stretched.
    pub scaling: RopeScaling,
}

impl Rotary {
    /// What is wrong with it, for heads of that size.
    pub(super) fn check(&self, head_size: usize) -> Result<(), String> {
        let Self {
            size,
            theta,
            scaling,
        } = *self;
        if !size.is_multiple_of(2) || size == 0 || size > head_size {
            return Err(format!(
                "rotary embeddings turn {size} of a head's {head_size} elements: expected an even \
                 number, 2 to {head_size}"
            ));
        }
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if !positive(theta) {
            return Err(format!("rope_theta is {theta}: expected more than 0"));
        }
        let valid = match scaling {
            RopeScaling::None => true,
            RopeScaling::Linear { factor } => positive(factor),
            RopeScaling::Llama3 {
                factor,
                low_frequency,
                high_frequency,
                original_length,
            } => {
                let values = [factor, low_frequency, original_length];
                values.into_iter().all(positive)
                    && high_frequency.is_finite()
                    && high_frequency > low_frequency
            }
        };
        if valid {
            return Ok(());
        }
        Err(format!(
            "the RoPE scaling {scaling:?} is not valid: expected numbers above 0, and a high frequency \
             factor above the low one"
        ))
    }
}

/// Cosines and sines \[length, rotary size / 2\] of the positions of a batch.
#[derive(Clone)]
pub(super) struct RotaryTables {
    pub cosine: Tensor<2>,
    pub sine: Tensor<2>,
}

impl RotaryTables {
    /// For `length` positions from `first` on. The angle of pair i at position p is
    /// p · theta^(−2i / rotary size), scaled as the model is.
    pub fn new(
        rotary: &Rotary,
        first: usize,
        length: usize,
        device: &burn::tensor::Device,
    ) -> Self {
        let half = rotary.size / 2;
        let frequencies: Vec<f32> = (0..half)
            .map(|pair| {
                let exponent = -2.0 * pair as f64 / rotary.size as f64;
                // The frequency is a float32 in the models' own training, the product too.
                rotary.scaling.scale(rotary.theta.powf(exponent)) as f32
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
