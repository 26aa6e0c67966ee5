//! Is this machine right? Every kernel on the device against its twin in plain Rust, on random and
//! extreme inputs, and against reference values from a file.

mod cases;
#[cfg(not(target_arch = "wasm32"))]
mod shaders;
mod vectors;

use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::device::{self, Device};
use crate::error::{Error, Result};
use crate::objective::{self, Objective, Predictions};
use cases::{Results, cases};
use vectors::read_vectors;

#[cfg(not(target_arch = "wasm32"))]
pub use shaders::check_shaders;

/// Errors on a device that are still right: WGSL allows `exp` a few units in the last place more at
/// large arguments.
pub const TOLERANCE: f64 = 2e-5;

/// A comparison and how it came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct Check {
    /// What was compared.
    pub check: String,
    /// On which device.
    pub device: String,
    /// The largest error: absolute for targets, relative to the larger of 1 and the loss for losses,
    /// relative to the largest entry for gradients. Infinite where there was a NaN.
    #[serde(serialize_with = "finite_or_largest")]
    pub max_error: f64,
    /// The largest error that is right.
    pub tolerance: f64,
    /// Whether it is.
    pub ok: bool,
}

impl Check {
    /// A comparison of values on a device.
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

/// JSON has no infinity.
fn finite_or_largest<S: serde::Serializer>(
    error: &f64,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_f64(error.min(f64::MAX))
}

/// Checks a device; `on_check` gets each result as it comes. `vectors` are path (for
/// messages) and bytes of a file in the format of `tests/data/mft_loss.safetensors`. The translation of
/// the shaders for other graphics APIs is checked too, but not in a browser, which has its own.
///
/// # Errors
///
/// [`Error::Device`] if the device fails, [`Error::Weights`] for the file.
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
    #[cfg(not(target_arch = "wasm32"))]
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
        let expected = case.on_twin();
        let found = case.on_device(device).await?;
        compare(&case.name, device, &found, &expected, &mut report);
        // Beyond some length it is burn's own sums that lose digits, not what is checked here.
        if case.vocabulary <= 32_000 {
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

/// The largest absolute value, never 0.
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

/// The loss from hidden states in tiles, with both gradients, against the same on the CPU at once.
async fn tiled(device: &Device, report: &mut impl FnMut(Check)) -> Result<()> {
    let [rows, width, vocabulary] = [301, 24, 1000];
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut values = |length: usize| -> Vec<f32> {
        (0..length)
            .map(|_| random.random_range(-1.0_f32..1.0))
            .collect()
    };
    let inputs = [rows, vocabulary, rows, vocabulary].map(|rows| (rows, values(rows * width)));
    let labels: Vec<i32> = (0..rows as i32).map(|row| (row * 37) % 1000 - 3).collect();
    let positions = labels.iter().filter(|&&label| label >= 0).count();

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
        let loss = objective::distillation_loss(
            Predictions {
                hidden: hidden.clone(),
                head: head.clone(),
            },
            Some(Predictions {
                hidden: teacher_hidden,
                head: teacher_head,
            }),
            Tensor::from_data(TensorData::new(labels.clone(), [rows]), tensors),
            &Objective::default(),
            positions,
            tile * vocabulary * size_of::<f32>(),
        );
        let gradients = loss.backward();
        let missing = || Error::Device {
            message: "autodiff gave no gradient".to_string(),
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
