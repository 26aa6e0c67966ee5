//! Reference values in safetensors format.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::cases::{Case, Results};
use crate::error::{Error, Result};
use crate::kernels::distillation::{Objective, Scope, Target};
use crate::model::weights;

/// The settings of a case.
#[derive(Deserialize)]
struct VectorSettings {
    tau: f32,
    temperature: f32,
    scope: Scope,
}

/// Reads the cases of a file. Each consists of the tensors `CASE.student_logits`, `.teacher_logits`,
/// `.labels`, `.target`, `.loss_per_token` and `.grad_student_logits` (of the mean), and of settings in the
/// metadata.
pub(super) fn read_vectors(path: &Path, bytes: &[u8]) -> Result<Vec<(Case, Results)>> {
    let fault = |message: String| Error::Weights {
        path: path.to_path_buf(),
        message,
    };
    let file = weights::open(bytes, path)?;
    let (_, header) =
        SafeTensors::read_metadata(bytes).map_err(Error::parse(path, weights::SAFETENSORS))?;
    // The settings of a case are a JSON object. Other entries are, for example, the format of a model file.
    let mut names: Vec<(String, String)> = header
        .metadata()
        .clone()
        .unwrap_or_default()
        .into_iter()
        .filter(|(_, settings)| settings.trim_start().starts_with('{'))
        .collect();
    names.sort();
    if names.is_empty() {
        return Err(fault("no test case in the metadata".to_string()));
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
                let values = numbers(view.dtype(), view.data()).ok_or_else(|| {
                    fault(format!(
                        "{name}.{kind} has unsupported dtype {:?}",
                        view.dtype()
                    ))
                })?;
                Ok((view.shape().to_vec(), values))
            };
            let floats = |kind: &str, length: usize| -> Result<Vec<f32>> {
                let (shape, values) = tensor(kind)?;
                if values.len() != length {
                    return Err(fault(format!(
                        "{name}.{kind} has shape {shape:?}, expected {length} elements"
                    )));
                }
                Ok(values.into_iter().map(|value| value as f32).collect())
            };
            let (shape, labels) = tensor("labels")?;
            let (logits_shape, _) = tensor("student_logits")?;
            let &[rows, vocab_size] = &logits_shape[..] else {
                return Err(fault(format!(
                    "{name}.student_logits has shape {logits_shape:?}, expected two dimensions"
                )));
            };
            let fits = |label: &f64| label.fract() == 0.0 && *label < vocab_size as f64;
            if rows == 0 || vocab_size < 2 || shape != [rows] || !labels.iter().all(fits) {
                return Err(fault(format!("{name}.labels do not match the logits")));
            }
            let objective = Objective {
                target: Target::Corrected {
                    tau: settings.tau,
                    scope: settings.scope,
                },
                temperature: settings.temperature,
            };
            objective.validate()?;
            let results = Results {
                target: floats("target", rows * vocab_size)?,
                losses: floats("loss_per_token", rows)?,
                gradient: floats("grad_student_logits", rows * vocab_size)?,
            };
            let case = Case {
                objective,
                vocab_size,
                student: floats("student_logits", rows * vocab_size)?,
                teacher: floats("teacher_logits", rows * vocab_size)?,
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
