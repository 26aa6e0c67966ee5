//! Verifies that a device computes correct results: compares its loss kernels with the CPU kernel on random
//! and extreme inputs and with reference values from a file, and its products with packed weights with those
//! of unpacked ones. Verifies a model by logits that another program computed.

mod cases;
mod expected;
mod logits;
mod packed;
#[cfg(all(feature = "shader-validation", not(target_arch = "wasm32")))]
mod shaders;
mod vectors;

use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::device::{self, Device};
use crate::error::{Error, Result};
use crate::kernels::distillation::{self, Objective, Predictions};
use cases::{Results, cases};
use vectors::read_vectors;

pub use expected::ExpectedLogits;
pub use logits::{CrossEntropies, LogitsCheck, PositionError, check_logits, logits_tolerance};
#[cfg(all(feature = "shader-validation", not(target_arch = "wasm32")))]
pub use shaders::check_shaders;

/// Tolerance for a device: WGSL lets `exp` err by a few units in the last place for large arguments.
pub const TOLERANCE: f64 = 2e-5;

/// A comparison and its result.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct Check {
    /// The compared quantity.
    pub check: String,
    /// The device.
    pub device: String,
    /// The largest error: absolute for targets, relative to max(1, loss) for losses, relative to the
    /// largest entry for gradients. Infinite for NaN.
    #[serde(serialize_with = "finite_or_largest")]
    pub max_error: f64,
    /// The largest acceptable error.
    pub tolerance: f64,
    /// Whether the error is within the tolerance.
    pub ok: bool,
}

impl Check {
    /// Returns the check of an error against [`TOLERANCE`].
    fn of(check: String, device: &Device, max_error: f64) -> Self {
        Self {
            check,
            device: device.name(),
            max_error,
            tolerance: TOLERANCE,
            ok: max_error <= TOLERANCE,
        }
    }
}

/// Serializes an error, limited to the largest finite number since JSON has no infinity.
fn finite_or_largest<S: serde::Serializer>(
    error: &f64,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_f64(error.min(f64::MAX))
}

/// Checks a device and passes each result to `on_check`. `vectors` are the path (for messages) and bytes of a
/// file in the format of `tests/data/mft_loss.safetensors`. Outside browsers, also translates the shaders for
/// all graphics APIs.
///
/// # Errors
///
/// [`Error::Device`] if the device fails, [`Error::Parse`] or [`Error::Weights`] if the file is invalid.
pub async fn examine(
    device: &Device,
    vectors: Option<(&Path, &[u8])>,
    mut on_check: impl FnMut(&Check),
) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let mut report = |check: Check| {
        on_check(&check);
        checks.push(check);
    };
    let vectors = vectors
        .map(|(path, bytes)| read_vectors(path, bytes))
        .transpose()?;
    #[cfg(all(feature = "shader-validation", not(target_arch = "wasm32")))]
    for (name, problem) in check_shaders() {
        report(Check {
            check: format!(
                "shader {name}{}",
                problem.as_ref().map_or(String::new(), |p| format!(": {p}"))
            ),
            device: device.name(),
            max_error: if problem.is_some() {
                f64::INFINITY
            } else {
                0.0
            },
            tolerance: 0.0,
            ok: problem.is_none(),
        });
    }
    for case in cases() {
        let expected = case.on_cpu();
        let found = case.on_device(device).await?;
        compare(&case.name, device, &found, &expected, &mut report);
        // For larger vocabularies the sums of tensor operations lose precision.
        if case.vocab_size <= 32_000 {
            let found = case.in_tensor_operations(device).await?;
            compare(
                &format!("{}, tensor operations", case.name),
                device,
                &found,
                &expected,
                &mut report,
            );
        }
    }
    tiled(device, &mut report).await?;
    packed::check(device, &mut report).await?;
    for (case, expected) in vectors.into_iter().flatten() {
        let found = case.on_device(device).await?;
        compare(&case.name, device, &found, &expected, &mut report);
    }
    Ok(checks)
}

fn compare(
    name: &str,
    device: &Device,
    found: &Results,
    expected: &Results,
    report: &mut impl FnMut(Check),
) {
    let largest = largest_entry(&expected.gradient);
    let target = largest_error(&found.target, &expected.target, |_| 1.0);
    let loss = largest_error(&found.losses, &expected.losses, |loss| loss.abs().max(1.0));
    let gradient = largest_error(&found.gradient, &expected.gradient, |_| largest);
    for (what, max_error) in [("target", target), ("loss", loss), ("gradient", gradient)] {
        report(Check::of(format!("{name}: {what}"), device, max_error));
    }
}

/// Returns the largest absolute value, at least the smallest positive number.
fn largest_entry(values: &[f32]) -> f32 {
    values
        .iter()
        .fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()))
}

fn largest_error(found: &[f32], expected: &[f32], scale: impl Fn(f32) -> f32) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    found
        .iter()
        .zip(expected)
        .map(|(&found, &expected)| {
            let error = (f64::from(found) - f64::from(expected)).abs() / f64::from(scale(expected));
            if error.is_nan() { f64::INFINITY } else { error }
        })
        .fold(0.0, f64::max)
}

/// Checks the tiled loss from hidden states, with both gradients, against the untiled one on the CPU.
async fn tiled(device: &Device, report: &mut impl FnMut(Check)) -> Result<()> {
    let [rows, width, vocab_size] = [301, 24, 1000];
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut values = |length: usize| -> Vec<f32> {
        (0..length)
            .map(|_| random.random_range(-1.0_f32..1.0))
            .collect()
    };
    let inputs = [rows, vocab_size, rows, vocab_size].map(|rows| (rows, values(rows * width)));
    let labels: Vec<i32> = (0..rows as i32).map(|row| (row * 37) % 1000 - 3).collect();
    let predicted = labels.iter().filter(|&&label| label >= 0).count();

    let mut results = Vec::new();
    for (device, tile) in [(&Device::cpu(), rows), (device, 100)] {
        let tensors = device.tensors();
        let [hidden, head, teacher_hidden, teacher_head] = inputs.clone().map(|(rows, values)| {
            Tensor::<2>::from_data(TensorData::new(values, [rows, width]), tensors)
        });
        let (hidden, head) = (
            hidden.autodiff().require_grad(),
            head.autodiff().require_grad(),
        );
        let loss = distillation::distillation_loss(
            Predictions {
                hidden: hidden.clone(),
                head: head.clone().into(),
            },
            Some(Predictions {
                hidden: teacher_hidden,
                head: teacher_head.into(),
            }),
            Tensor::from_data(TensorData::new(labels.clone(), [rows]), tensors),
            None,
            &Objective::default(),
            predicted,
            tile * vocab_size * size_of::<f32>(),
        );
        let gradients = loss.backward();
        let missing = || Error::Device {
            message: "autodiff returned no gradient".to_string(),
        };
        results.push([
            device::read(loss.inner()).await?,
            device::read(hidden.grad(&gradients).ok_or_else(missing)?).await?,
            device::read(head.grad(&gradients).ok_or_else(missing)?).await?,
        ]);
    }
    for (index, what) in [
        "loss",
        "gradient of the hidden states",
        "gradient of the head",
    ]
    .iter()
    .enumerate()
    {
        let (expected, found) = (&results[0][index], &results[1][index]);
        let largest = largest_entry(expected);
        let max_error = largest_error(found, expected, |_| largest);
        let check = format!("from hidden states, in tiles: {what}");
        report(Check::of(check, device, max_error));
    }
    Ok(())
}
