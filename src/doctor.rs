//! Is this machine right? Every kernel on the device against its twin in plain Rust, on random and
//! extreme inputs, and against reference values from a file.

use std::path::Path;

use burn::tensor::{Int, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::device::{self, Device};
use crate::error::{Error, Result};
use crate::objective::twin::{self, MASKED};
use crate::objective::{self, Objective, Predictions, Scope, reference};

/// Errors on a device that are still right: WGSL allows `exp` a few units in the last place more at
/// large arguments.
pub const TOLERANCE: f64 = 2e-5;

/// A comparison and how it came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
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

/// JSON has no infinity.
fn finite_or_largest<S: serde::Serializer>(
    error: &f64,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_f64(error.min(f64::MAX))
}

/// Inputs of the loss: logits \[rows, vocabulary\], a label a row.
#[derive(Clone, Debug)]
struct Case {
    name: String,
    objective: Objective,
    vocabulary: usize,
    student: Vec<f32>,
    teacher: Vec<f32>,
    labels: Vec<i32>,
}

/// Outputs of the loss.
struct Results {
    target: Vec<f32>,
    losses: Vec<f32>,
    gradient: Vec<f32>,
}

/// Checks a device; `on_check` gets each result as it comes. `vectors` is a file in the format of
/// `tests/data/mft_loss.safetensors`.
///
/// # Errors
///
/// [`Error::Device`] if the device fails, [`Error::Io`] and [`Error::Weights`] for the file.
pub async fn examine(
    device: &Device,
    vectors: Option<&Path>,
    mut on_check: impl FnMut(&Check),
) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let mut report = |check: Check| {
        on_check(&check);
        checks.push(check);
    };
    let vectors = vectors.map(read_vectors).transpose()?;
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
    let largest = expected
        .gradient
        .iter()
        .fold(f32::MIN_POSITIVE, |a, b| a.max(b.abs()));
    for (what, found, expected, scale) in [
        ("target", &found.target, &expected.target, None),
        ("loss", &found.losses, &expected.losses, Some(None)),
        (
            "gradient",
            &found.gradient,
            &expected.gradient,
            Some(Some(largest)),
        ),
    ] {
        let max_error = largest_error(found, expected, |expected| match scale {
            None => 1.0,
            Some(None) => expected.abs().max(1.0),
            Some(Some(largest)) => largest,
        });
        report(Check {
            check: format!("{name}: {what}"),
            device: device.name(),
            max_error,
            tolerance: TOLERANCE,
            ok: max_error <= TOLERANCE,
        });
    }
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

impl Case {
    fn rows(&self) -> usize {
        self.labels.len()
    }

    fn scale(&self) -> f32 {
        1.0 / self.rows() as f32
    }

    fn on_twin(&self) -> Results {
        let mut target = self.teacher.clone();
        twin::corrected_target(&mut target, &self.labels, &self.objective);
        let mut gradient = self.student.clone();
        let mut losses = vec![0.0; self.rows()];
        let mut teacher = self.teacher.clone();
        twin::loss_and_gradient(
            &mut gradient,
            &mut teacher,
            &self.labels,
            &self.objective,
            self.scale(),
            &mut losses,
        );
        Results {
            target,
            losses,
            gradient,
        }
    }

    fn logits(&self, logits: &[f32], device: &Device) -> Tensor<2> {
        let data = TensorData::new(logits.to_vec(), [self.rows(), self.vocabulary]);
        Tensor::from_data(data, device.tensors())
    }

    fn labels(&self, device: &Device) -> Tensor<1, Int> {
        Tensor::from_data(
            TensorData::new(self.labels.clone(), [self.rows()]),
            device.tensors(),
        )
    }

    async fn on_device(&self, device: &Device) -> Result<Results> {
        let (teacher, labels) = (self.logits(&self.teacher, device), self.labels(device));
        let target = objective::corrected_target(teacher.clone(), labels.clone(), &self.objective);
        let (losses, gradient) = objective::loss_and_gradient(
            self.logits(&self.student, device),
            Some(teacher),
            labels,
            &self.objective,
            self.scale(),
        );
        Ok(Results {
            target: device::read(target).await?,
            losses: device::read(losses).await?,
            gradient: device::read(gradient).await?,
        })
    }

    async fn in_tensor_operations(&self, device: &Device) -> Result<Results> {
        let (teacher, labels) = (self.logits(&self.teacher, device), self.labels(device));
        let counts = labels
            .clone()
            .greater_equal_elem(0)
            .float()
            .unsqueeze_dim::<2>(1);
        let target = reference::corrected_target(
            teacher.clone(),
            labels.clone().clamp_min(0),
            &self.objective,
        );
        // Where nothing is to be predicted, the kernels give the teacher's own distribution.
        let own =
            burn::tensor::activation::softmax(teacher.clone() / self.objective.temperature, 1);
        let target = target * counts.clone() + own * (-counts + 1.0);
        let student = self.logits(&self.student, device).autodiff().require_grad();
        let losses =
            reference::distillation_loss(student.clone(), teacher, labels, &self.objective);
        let gradients = (losses.clone().sum() * self.scale()).backward();
        let gradient = student.grad(&gradients).ok_or_else(|| Error::Device {
            message: "autodiff gave no gradient".to_string(),
        })?;
        Ok(Results {
            target: device::read(target).await?,
            losses: device::read(losses.inner()).await?,
            gradient: device::read(gradient).await?,
        })
    }
}

/// Random and extreme inputs.
fn cases() -> Vec<Case> {
    let mut random = ChaCha8Rng::seed_from_u64(20_250_615);
    let mft = Objective::minifinetuning;
    let warm = Objective {
        temperature: 2.0,
        ..mft(0.25)
    };
    let incorrect = Objective {
        scope: Scope::Incorrect,
        ..mft(0.25)
    };
    let mut cases = vec![
        case("random, V = 2", mft(0.25), [37, 2], 3.0, &mut random),
        case(
            "random, V = 3, temperature 2",
            warm,
            [64, 3],
            3.0,
            &mut random,
        ),
        case(
            "random, V = 257, tau 0",
            mft(0.0),
            [33, 257],
            3.0,
            &mut random,
        ),
        case(
            "random, V = 1,000, finetuning",
            Objective::finetuning(),
            [65, 1000],
            3.0,
            &mut random,
        ),
        case(
            "random, V = 4,099, scope incorrect",
            incorrect,
            [17, 4099],
            3.0,
            &mut random,
        ),
        case(
            "random, V = 32,000",
            mft(0.25),
            [16, 32_000],
            3.0,
            &mut random,
        ),
        case(
            "random, V = 262,144",
            mft(0.25),
            [2, 262_144],
            3.0,
            &mut random,
        ),
        case(
            "random, 70,000 rows",
            mft(0.25),
            [70_000, 5],
            3.0,
            &mut random,
        ),
        case(
            "sharp: logits to ±100",
            mft(0.25),
            [64, 512],
            60.0,
            &mut random,
        ),
        case(
            "extreme: logits to ±10,000",
            mft(0.5),
            [64, 512],
            6000.0,
            &mut random,
        ),
    ];
    let mut shifted = case(
        "shifted: logits near 1,000",
        mft(0.25),
        [64, 512],
        3.0,
        &mut random,
    );
    for logit in shifted.student.iter_mut().chain(&mut shifted.teacher) {
        *logit = (*logit + 1000.0).round();
    }
    let mut flat = case(
        "flat: all logits equal",
        mft(0.25),
        [64, 1000],
        0.0,
        &mut random,
    );
    flat.labels[0] = 0;
    let mut certain = case(
        "certain: the teacher is sure",
        mft(0.25),
        [64, 512],
        3.0,
        &mut random,
    );
    for (row, &label) in certain.labels.clone().iter().enumerate() {
        let sure_of = if row % 2 == 0 {
            label as usize
        } else {
            511 - label as usize
        };
        certain.teacher[row * 512 + sure_of] = 80.0;
    }
    let mut masked = case(
        "masked: every third row",
        mft(0.25),
        [64, 1000],
        3.0,
        &mut random,
    );
    for label in masked.labels.iter_mut().step_by(3) {
        *label = MASKED;
    }
    cases.extend([shifted, flat, certain, masked]);
    cases
}

/// Logits spread evenly over ±`spread`, more or less, and random labels.
fn case(
    name: &str,
    objective: Objective,
    [rows, vocabulary]: [usize; 2],
    spread: f32,
    random: &mut ChaCha8Rng,
) -> Case {
    let mut logits = || -> Vec<f32> {
        let uniform = |random: &mut ChaCha8Rng| random.random_range(-1.0_f32..1.0);
        (0..rows * vocabulary)
            .map(|_| (uniform(random) + uniform(random)) * spread)
            .collect()
    };
    let (student, teacher) = (logits(), logits());
    let labels = (0..rows)
        .map(|_| random.random_range(0..vocabulary as i32))
        .collect();
    Case {
        name: name.to_string(),
        objective,
        vocabulary,
        student,
        teacher,
        labels,
    }
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
        let largest = expected
            .iter()
            .fold(f32::MIN_POSITIVE, |a, b| a.max(b.abs()));
        let max_error = largest_error(found, expected, |_| largest);
        report(Check {
            check: format!("from hidden states, in tiles: {what}"),
            device: device.name(),
            max_error,
            tolerance: TOLERANCE,
            ok: max_error <= TOLERANCE,
        });
    }
    Ok(())
}

/// Whether every shader is valid with nothing but WebGPU's baseline, and what every graphics API
/// accepts: its name, and what is wrong with it.
pub fn check_shaders() -> Vec<(&'static str, Option<String>)> {
    objective::shaders()
        .into_iter()
        .map(|shader| (shader.name, translate(&shader.source).err()))
        .collect()
}

/// Parses, validates, and translates to SPIR-V (Vulkan), MSL (Metal) and HLSL (DX12).
fn translate(source: &str) -> std::result::Result<(), String> {
    use naga::back::{hlsl, msl, spv};
    use naga::valid::{Capabilities, ValidationFlags, Validator};

    let module =
        naga::front::wgsl::parse_str(source).map_err(|error| error.emit_to_string(source))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
        .validate(&module)
        .map_err(|error| error.emit_to_string(source))?;
    spv::write_vec(&module, &info, &spv::Options::default(), None)
        .map_err(|error| error.to_string())?;
    msl::write_string(
        &module,
        &info,
        &msl::Options::default(),
        &msl::PipelineOptions::default(),
    )
    .map_err(|error| error.to_string())?;
    let options = hlsl::Options::default();
    let mut text = String::new();
    hlsl::Writer::new(&mut text, &options, &hlsl::PipelineOptions::default())
        .write(&module, &info, None)
        .map_err(|error| error.to_string())?;
    Ok(())
}

/// Settings of a case in a file of reference values.
#[derive(Deserialize)]
struct VectorSettings {
    tau: f32,
    temperature: f32,
    scope: Scope,
}

/// The cases of a file of reference values: `CASE.student_logits`, `.teacher_logits`, `.labels`,
/// `.target`, `.loss_per_token`, `.grad_student_logits` (of the mean), settings in the metadata.
fn read_vectors(path: &Path) -> Result<Vec<(Case, Results)>> {
    let fault = |message: String| Error::Weights {
        path: path.to_path_buf(),
        message,
    };
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let damaged = |error: safetensors::SafeTensorError| {
        fault(format!("not a whole safetensors file: {error}"))
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    // Settings are JSON objects; other entries, such as the format of a model file, are no cases.
    let mut names: Vec<(String, String)> = header
        .metadata()
        .clone()
        .unwrap_or_default()
        .into_iter()
        .filter(|(_, settings)| settings.trim_start().starts_with('{'))
        .collect();
    names.sort();
    if names.is_empty() {
        return Err(fault("its metadata names no case".to_string()));
    }
    names
        .into_iter()
        .map(|(name, settings)| {
            let settings: VectorSettings = serde_json::from_str(&settings)
                .map_err(|error| fault(format!("settings of case {name}: {error}")))?;
            let tensor = |kind: &str| -> Result<(Vec<usize>, Vec<f64>)> {
                let view = file
                    .tensor(&format!("{name}.{kind}"))
                    .map_err(|error| fault(format!("{name}.{kind}: {error}")))?;
                let values = numbers(view.dtype(), view.data())
                    .ok_or_else(|| fault(format!("{name}.{kind} is of type {:?}", view.dtype())))?;
                Ok((view.shape().to_vec(), values))
            };
            let floats = |kind: &str, length: usize| -> Result<Vec<f32>> {
                let (shape, values) = tensor(kind)?;
                if values.len() != length {
                    return Err(fault(format!("{name}.{kind} has shape {shape:?}")));
                }
                Ok(values.into_iter().map(|value| value as f32).collect())
            };
            let (shape, labels) = tensor("labels")?;
            let (logits_shape, _) = tensor("student_logits")?;
            let &[rows, vocabulary] = &logits_shape[..] else {
                return Err(fault(format!(
                    "{name}.student_logits has shape {logits_shape:?}"
                )));
            };
            let fits = |label: &f64| label.fract() == 0.0 && *label < vocabulary as f64;
            if rows == 0 || vocabulary < 2 || shape != [rows] || !labels.iter().all(fits) {
                return Err(fault(format!("{name}.labels do not fit its logits")));
            }
            let objective = Objective {
                tau: settings.tau,
                temperature: settings.temperature,
                scope: settings.scope,
            };
            objective.validate()?;
            let results = Results {
                target: floats("target", rows * vocabulary)?,
                losses: floats("loss_per_token", rows)?,
                gradient: floats("grad_student_logits", rows * vocabulary)?,
            };
            let case = Case {
                objective,
                vocabulary,
                student: floats("student_logits", rows * vocabulary)?,
                teacher: floats("teacher_logits", rows * vocabulary)?,
                labels: labels.into_iter().map(|label| label as i32).collect(),
                name,
            };
            Ok((case, results))
        })
        .collect()
}

fn numbers(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f64>> {
    fn read<const N: usize>(bytes: &[u8], number: fn([u8; N]) -> f64) -> Vec<f64> {
        let (numbers, _) = bytes.as_chunks::<N>();
        numbers.iter().map(|&bytes| number(bytes)).collect()
    }
    match dtype {
        Dtype::F32 => Some(read(bytes, |bytes| f64::from(f32::from_le_bytes(bytes)))),
        Dtype::F64 => Some(read(bytes, f64::from_le_bytes)),
        Dtype::I32 => Some(read(bytes, |bytes| f64::from(i32::from_le_bytes(bytes)))),
        Dtype::I64 => Some(read(bytes, |bytes| i64::from_le_bytes(bytes) as f64)),
        _ => None,
    }
}
