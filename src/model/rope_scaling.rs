//! Scaling of rotary frequencies, as `transformers` computes it.

use std::f64::consts::TAU;
use std::sync::Arc;

use super::fields::MAX_SIZE;

/// Scaling of rotary frequencies, which extends a model's context.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum RopeScaling {
    /// No scaling.
    #[default]
    None,
    /// Divides every frequency by a factor (position interpolation, Chen et al., arXiv:2306.15595).
    Linear {
        /// Divisor of the frequencies.
        factor: f64,
    },
    /// Rotates only the pairs with the highest frequencies, as far apart as whole heads are wide (Gemma 4).
    Proportional {
        /// Fraction of the pairs that are rotated.
        proportion: f64,
        /// Divisor of the frequencies.
        factor: f64,
    },
    /// Divides low frequencies, and interpolates in a band above them (Llama 3.1, Grattafiori et al.,
    /// arXiv:2407.21783).
    Llama3 {
        /// Divisor of the frequencies.
        factor: f64,
        /// Frequencies with wavelengths above `original_length / low_frequency` are divided.
        low_frequency: f64,
        /// Frequencies with wavelengths below `original_length / high_frequency` are kept.
        high_frequency: f64,
        /// Context length of the original training.
        original_length: f64,
    },
    /// Raises the base for sequences beyond the original length, the more the longer they are (dynamic NTK).
    Dynamic {
        /// How many times longer than the original length sequences may be.
        factor: f64,
        /// Context length of the original training.
        original_length: f64,
    },
    /// Divides low frequencies, keeps high ones, and interpolates between them by the number of rotations
    /// within the original length (YaRN, Peng et al., arXiv:2309.00071).
    Yarn {
        /// Divisor of the frequencies.
        factor: f64,
        /// Factor of cosines and sines.
        attention_factor: f64,
        /// Frequencies with more rotations are kept.
        fast_rotations: f64,
        /// Frequencies with fewer rotations are divided.
        slow_rotations: f64,
        /// Whether the bounds of the band are rounded to whole pairs.
        truncate: bool,
        /// Context length of the original training.
        original_length: f64,
    },
    /// Divides each frequency by its own factor, of one list up to the original length and of another beyond
    /// it (LongRoPE, Ding et al., arXiv:2402.13753).
    LongRope {
        /// Divisors for sequences up to the original length.
        short: Arc<[f64]>,
        /// Divisors for longer sequences.
        long: Arc<[f64]>,
        /// Factor of cosines and sines.
        attention_factor: f64,
        /// Context length of the original training.
        original_length: f64,
    },
}

impl RopeScaling {
    /// Checks the settings for an embedding of that size.
    pub(super) fn check(&self, size: usize) -> Result<(), String> {
        let positive =
            |values: &[f64]| values.iter().all(|&value| value.is_finite() && value > 0.0);
        let (valid, expected) = match self {
            Self::None => (true, ""),
            Self::Linear { factor } => (positive(&[*factor]), ""),
            Self::Proportional { proportion, factor } => (
                positive(&[*proportion, *factor]) && *proportion <= 1.0,
                ", and a partial_rotary_factor of at most 1",
            ),
            Self::Llama3 {
                factor,
                low_frequency,
                high_frequency,
                original_length,
            } => (
                positive(&[*factor, *low_frequency, *high_frequency, *original_length])
                    && high_frequency > low_frequency,
                ", and high_freq_factor above low_freq_factor",
            ),
            Self::Dynamic {
                factor,
                original_length,
            } => (
                positive(&[*factor - 1.0 + f64::EPSILON, *original_length]) && size > 2,
                ", and a factor of at least 1",
            ),
            Self::Yarn {
                factor,
                attention_factor,
                fast_rotations,
                slow_rotations,
                original_length,
                truncate: _,
            } => {
                let rotations = [*fast_rotations, *slow_rotations];
                let others = [*factor, *attention_factor, *original_length];
                (
                    positive(&others) && positive(&rotations) && fast_rotations >= slow_rotations,
                    ", and beta_fast of at least beta_slow",
                )
            }
            Self::LongRope {
                short,
                long,
                attention_factor,
                original_length,
            } => {
                for (name, list) in [("short_factor", short), ("long_factor", long)] {
                    if list.len() != size / 2 {
                        return Err(format!(
                            "the RoPE scaling's {name} has {} numbers: expected {}, one per rotated pair",
                            list.len(),
                            size / 2
                        ));
                    }
                }
                let others = [*attention_factor, *original_length];
                (positive(short) && positive(long) && positive(&others), "")
            }
        };
        if valid {
            return Ok(());
        }
        Err(format!(
            "the RoPE scaling {self:?} is invalid: expected numbers above 0{expected}"
        ))
    }

    /// Returns the longest sequence that the scaling is made for, where the configuration says `length`.
    pub(super) fn extended(&self, length: usize) -> usize {
        match self {
            Self::Dynamic {
                factor,
                original_length,
            }
            | Self::Yarn {
                factor,
                original_length,
                ..
            } => length.max(((factor * original_length) as usize).min(MAX_SIZE)),
            _ => length,
        }
    }

    /// Returns a number that is the same for sequences whose lengths give the same frequencies.
    pub(super) fn variant(&self, sequence: usize) -> usize {
        match self {
            Self::Dynamic {
                original_length, ..
            } if sequence as f64 > *original_length => sequence,
            Self::LongRope {
                original_length, ..
            } if sequence as f64 > *original_length => 1,
            _ => 0,
        }
    }

    /// Returns the factor of cosines and sines.
    pub(super) fn attention_factor(&self) -> f64 {
        match self {
            Self::Yarn {
                attention_factor, ..
            }
            | Self::LongRope {
                attention_factor, ..
            } => *attention_factor,
            _ => 1.0,
        }
    }

    /// Returns the frequencies of the `size / 2` pairs of an embedding with base `theta`, for sequences of up
    /// to `sequence` tokens.
    pub(super) fn frequencies(&self, size: usize, theta: f64, sequence: usize) -> Vec<f64> {
        let width = size as f64;
        let base = match self {
            Self::Dynamic {
                factor,
                original_length,
            } => {
                let times = (sequence as f64 / original_length).max(1.0);
                theta * (factor * times - (factor - 1.0)).powf(width / (width - 2.0))
            }
            _ => theta,
        };
        let frequencies = (0..size / 2).map(|pair| base.powf(-2.0 * pair as f64 / width));
        match self {
            Self::None | Self::Dynamic { .. } => frequencies.collect(),
            Self::Linear { factor } => frequencies.map(|frequency| frequency / factor).collect(),
            Self::Proportional { proportion, factor } => {
                let rotated = (proportion * width / 2.0) as usize;
                let scale = |(pair, frequency): (usize, f64)| match pair < rotated {
                    true => frequency / factor,
                    false => 0.0,
                };
                frequencies.enumerate().map(scale).collect()
            }
            Self::Llama3 {
                factor,
                low_frequency,
                high_frequency,
                original_length,
            } => {
                let scale = |frequency: f64| {
                    let wavelength = TAU / frequency;
                    if wavelength > original_length / low_frequency {
                        frequency / factor
                    } else if wavelength < original_length / high_frequency {
                        frequency
                    } else {
                        let kept = (original_length / wavelength - low_frequency)
                            / (high_frequency - low_frequency);
                        (1.0 - kept) * frequency / factor + kept * frequency
                    }
                };
                frequencies.map(scale).collect()
            }
            Self::Yarn {
                factor,
                fast_rotations,
                slow_rotations,
                truncate,
                original_length,
                attention_factor: _,
            } => {
                // The pair that makes a number of rotations within the original length.
                let pair = |rotations: f64| {
                    width * (original_length / (rotations * TAU)).ln() / (2.0 * theta.ln())
                };
                let (mut first, mut last) = (pair(*fast_rotations), pair(*slow_rotations));
                if *truncate {
                    (first, last) = (first.floor(), last.ceil());
                }
                let first = first.max(0.0);
                let mut last = last.min(width - 1.0);
                if first == last {
                    last += 0.001;
                }
                let scale = |(pair, frequency): (usize, f64)| {
                    let divided = ((pair as f64 - first) / (last - first)).clamp(0.0, 1.0);
                    frequency / factor * divided + frequency * (1.0 - divided)
                };
                frequencies.enumerate().map(scale).collect()
            }
            Self::LongRope {
                short,
                long,
                original_length,
                ..
            } => {
                let factors = if sequence as f64 > *original_length {
                    long
                } else {
                    short
                };
                let pairs = frequencies.zip(factors.iter());
                pairs
                    .map(|(frequency, factor)| frequency / factor)
                    .collect()
            }
        }
    }
}
