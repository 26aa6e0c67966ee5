//! Compares the logits of a model with those of another program.

use burn::tensor::{Int, Tensor, TensorData};
use rayon::prelude::*;
use serde::Serialize;

use super::expected::ExpectedLogits;
use super::finite_or_largest;
use crate::device;
use crate::error::Result;
use crate::kernels::distillation::{DEFAULT_TILE_BYTES, Predictions};
use crate::model::CausalLm;
use crate::quantization::WeightType;

/// Number of positions in [`LogitsCheck::worst`].
const WORST: usize = 10;

/// The logits of a model compared with those of another program.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogitsCheck {
    /// The device.
    pub device: String,
    /// The largest absolute error of a logit. Infinite for NaN.
    #[serde(serialize_with = "finite_or_largest")]
    pub max_error: f64,
    /// The largest acceptable error.
    pub tolerance: f64,
    /// Whether the largest error is within the tolerance.
    pub ok: bool,
    /// The mean absolute error of all logits. Infinite for NaN.
    #[serde(serialize_with = "finite_or_largest")]
    pub mean_error: f64,
    /// Number of compared positions, each with one logit per token of the vocabulary.
    pub positions: usize,
    /// Number of positions where both have the same most likely token.
    pub same_most_likely: usize,
    /// Mean cross-entropies of the tokens that follow; `None` for rows of one token.
    pub cross_entropy: Option<CrossEntropies>,
    /// The positions with the largest errors, largest first.
    pub worst: Vec<PositionError>,
}

/// Mean negative log-likelihoods of the same tokens, in nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CrossEntropies {
    /// By the expected logits.
    pub expected: f64,
    /// By the model's logits.
    pub found: f64,
}

/// A position of a row, both counted from 0, and the largest error of its logits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PositionError {
    /// The row.
    pub row: usize,
    /// The position in the row.
    pub position: usize,
    /// The token at this position.
    pub token: u32,
    /// The largest absolute error. Infinite for NaN.
    #[serde(serialize_with = "finite_or_largest")]
    pub max_error: f64,
    /// The token whose logit has this error.
    pub logit_of: usize,
    /// The expected logit.
    pub expected: f32,
    /// The model's logit.
    pub found: f32,
}

/// Returns the largest error that is acceptable by default: it depends on the type that the weights were
/// converted to when the model was loaded, and on the type of the expected logits.
pub fn logits_tolerance(model: &CausalLm, expected: &ExpectedLogits<'_>) -> f64 {
    let converted = model.converted().unwrap_or(WeightType::Float32);
    tolerance_of(converted).max(tolerance_of(expected.kind()))
}

/// The default tolerance for logits of a few tens, where one of both sides is rounded to a type.
fn tolerance_of(kind: WeightType) -> f64 {
    match kind {
        WeightType::Float32 => 2e-3,
        WeightType::Float16 => 5e-2,
        WeightType::Bfloat16 => 0.5,
        WeightType::Q8_0 => 1.0,
        _ => 5.0,
    }
}

/// Computes the logits of a model row by row, and compares them with the expected ones. `on_row` receives the
/// number of rows done.
///
/// A tile of logits is in memory at a time.
///
/// # Errors
///
/// [`Error::Weights`](crate::Error::Weights) if the expected logits are of another vocabulary, of rows that are
/// too long for the model or of unknown tokens, or not finite; [`Error::Device`](crate::Error::Device) if the
/// device fails.
pub async fn check_logits(
    model: &CausalLm,
    expected: &ExpectedLogits<'_>,
    tolerance: f64,
    mut on_row: impl FnMut(usize),
) -> Result<LogitsCheck> {
    let config = &model.config().decoder;
    expected.check_fits(config.vocab_size, config.max_length)?;
    let [rows, length, vocab_size] = expected.dims();
    let tile = (DEFAULT_TILE_BYTES / (vocab_size * size_of::<f32>())).max(1);
    let mut compared = Vec::with_capacity(rows * length);
    for row in 0..rows {
        let ids: Vec<i32> = expected.row(row).iter().map(|&id| id as i32).collect();
        let ids = TensorData::new(ids, [1, length]);
        let tokens = Tensor::<2, Int>::from_data(ids, &model.tensor_device());
        let Predictions { hidden, head } = model.predictions(tokens);
        for first in (0..length).step_by(tile) {
            let count = tile.min(length - first);
            let logits = head.logits(hidden.clone().narrow(0, first, count));
            let logits = device::read(logits).await?;
            let of_positions = logits.par_chunks_exact(vocab_size).enumerate();
            let of_tile: Result<Vec<Compared>> = of_positions
                .map_init(Vec::new, |values, (index, found)| {
                    values.resize(vocab_size, 0.0);
                    expected.read(row, first + index, values)?;
                    Ok(Compared::new(expected, [row, first + index], values, found))
                })
                .collect();
            compared.extend(of_tile?);
        }
        on_row(row + 1);
    }
    Ok(summary(
        compared,
        vocab_size,
        tolerance,
        model.device().name(),
    ))
}

/// The comparison of one position.
struct Compared {
    worst: PositionError,
    sum_of_errors: f64,
    same_most_likely: bool,
    /// Negative log-likelihoods of the next token; `None` at the end of a row.
    next: Option<CrossEntropies>,
}

impl Compared {
    /// Compares the logits \[vocab_size\] at a row and position.
    fn new(
        file: &ExpectedLogits<'_>,
        [row, position]: [usize; 2],
        expected: &[f32],
        found: &[f32],
    ) -> Self {
        let ids = file.row(row);
        let mut sum_of_errors = 0.0;
        let (mut logit_of, mut max_error) = (0, 0.0);
        for (token, (&expected, &found)) in expected.iter().zip(found).enumerate() {
            let error = (f64::from(found) - f64::from(expected)).abs();
            let error = if error.is_nan() { f64::INFINITY } else { error };
            sum_of_errors += error;
            if error > max_error {
                (logit_of, max_error) = (token, error);
            }
        }
        let next = ids.get(position + 1).map(|&next| CrossEntropies {
            expected: negative_log_likelihood(expected, next as usize),
            found: negative_log_likelihood(found, next as usize),
        });
        Self {
            worst: PositionError {
                row,
                position,
                token: ids[position],
                max_error,
                logit_of,
                expected: expected[logit_of],
                found: found[logit_of],
            },
            sum_of_errors,
            same_most_likely: most_likely(expected) == most_likely(found),
            next,
        }
    }
}

fn summary(
    mut compared: Vec<Compared>,
    vocab_size: usize,
    tolerance: f64,
    device: String,
) -> LogitsCheck {
    let positions = compared.len();
    let sum: f64 = compared.iter().map(|each| each.sum_of_errors).sum();
    let followed: Vec<CrossEntropies> = compared.iter().filter_map(|each| each.next).collect();
    let mean = |of: fn(&CrossEntropies) -> f64| {
        followed.iter().map(of).sum::<f64>() / followed.len() as f64
    };
    let same_most_likely = compared.iter().filter(|each| each.same_most_likely).count();
    // Stable: equal errors stay in the order of the file.
    compared.sort_by(|a, b| b.worst.max_error.total_cmp(&a.worst.max_error));
    let worst: Vec<PositionError> = compared.iter().take(WORST).map(|each| each.worst).collect();
    let max_error = worst.first().map_or(0.0, |worst| worst.max_error);
    LogitsCheck {
        device,
        max_error,
        tolerance,
        ok: max_error <= tolerance,
        mean_error: sum / (positions * vocab_size) as f64,
        positions,
        same_most_likely,
        cross_entropy: (!followed.is_empty()).then(|| CrossEntropies {
            expected: mean(|next| next.expected),
            found: mean(|next| next.found),
        }),
        worst,
    }
}

/// Returns the first of the largest logits.
fn most_likely(logits: &[f32]) -> usize {
    let best = |best: usize, token: usize| {
        if logits[token] > logits[best] {
            token
        } else {
            best
        }
    };
    (0..logits.len()).fold(0, best)
}

/// Returns −ln softmax(logits) of a token.
fn negative_log_likelihood(logits: &[f32], token: usize) -> f64 {
    let largest = f64::from(logits[most_likely(logits)]);
    let sum: f64 = logits
        .iter()
        .map(|&logit| (f64::from(logit) - largest).exp())
        .sum();
    sum.ln() + largest - f64::from(logits[token])
}
