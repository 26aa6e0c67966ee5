//! Changes of a training that take less memory.

use std::fmt;
use std::mem::discriminant;

use super::data::RunData;
use super::memory::{Load, MemoryEstimate};
use super::settings::TrainSettings;
use crate::error::Result;
use crate::model::adapter::{AdapterSettings, LoraSettings};
use crate::model::{CausalLm, WeightType};

/// A change of the settings that takes less memory. It displays as the setting and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemorySaving {
    /// Train a LoRA adapter instead of all weights.
    Lora,
    /// Recompute activations in the backward pass.
    GradientCheckpointing,
    /// A smaller batch size.
    BatchSize(u64),
    /// Shorter samples, in tokens.
    MaxLength(u64),
    /// Frozen weights in a smaller type.
    Weights(WeightType),
}

impl fmt::Display for MemorySaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lora => write!(f, "adapter = lora"),
            Self::GradientCheckpointing => write!(f, "gradient_checkpointing = true"),
            Self::BatchSize(size) => write!(f, "batch_size = {size}"),
            Self::MaxLength(length) => write!(f, "max_length = {length}"),
            Self::Weights(kind) => write!(f, "weights = {kind}"),
        }
    }
}

/// Maximum number of changes of an advice. Halving a length of 32,768 to the shortest takes nine.
const MAX_CHANGES: usize = 20;
/// Length in tokens below which samples are not shortened.
const SHORT: u64 = 64;

/// Returns single changes of a training, those that change its results least first.
fn changes(
    model: &CausalLm,
    settings: &TrainSettings,
    load: Load,
) -> Vec<(MemorySaving, TrainSettings, Load)> {
    let mut changes = Vec::new();
    let adapts = settings.adapter.is_some() || model.adapter().is_some();
    if !settings.gradient_checkpointing {
        let settings = TrainSettings {
            gradient_checkpointing: true,
            ..settings.clone()
        };
        changes.push((MemorySaving::GradientCheckpointing, settings, load));
    }
    if load.batch > 1 {
        let batch = load.batch.div_ceil(4);
        let settings = TrainSettings {
            batch_size: batch as usize,
            ..settings.clone()
        };
        let load = Load {
            batch,
            evaluated_batch: batch,
            ..load
        };
        changes.push((MemorySaving::BatchSize(batch), settings, load));
    }
    if load.length > SHORT {
        let length = load.length.div_ceil(2);
        let load = Load {
            length,
            evaluated_length: load.evaluated_length.min(length),
            ..load
        };
        changes.push((MemorySaving::MaxLength(length + 1), settings.clone(), load));
    }
    if !adapts {
        let adapter = Some(AdapterSettings::Lora(LoraSettings::default()));
        let settings = TrainSettings {
            adapter,
            ..settings.clone()
        };
        changes.push((MemorySaving::Lora, settings, load));
    }
    // Trained weights are in float32.
    if adapts && load.weights.is_none() && model.converted().is_none() {
        let kind = WeightType::Q8_0;
        let load = Load {
            weights: Some(kind),
            ..load
        };
        changes.push((MemorySaving::Weights(kind), settings.clone(), load));
    }
    changes
}

impl MemoryEstimate {
    /// Returns changes that reduce the memory, each with the estimated total in bytes, lowest first.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn savings(
        model: &CausalLm,
        data: &RunData,
        settings: &TrainSettings,
    ) -> Result<Vec<(MemorySaving, u64)>> {
        let load = Load::new(data, settings)?;
        let total = Self::of_load(model, settings, load)?.total;
        let mut savings = Vec::new();
        for (change, settings, load) in changes(model, settings, load) {
            let bytes = Self::of_load(model, &settings, load)?.total;
            if bytes < total {
                savings.push((change, bytes));
            }
        }
        savings.sort_by_key(|&(_, bytes)| bytes);
        Ok(savings)
    }

    /// Returns the changes after which a training fits, with the estimate after all of them; `None` if it fits
    /// without, or if no changes are enough. One change is preferred to several, and of those the one that changes
    /// the results least.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn advice(
        model: &CausalLm,
        data: &RunData,
        settings: &TrainSettings,
        fits: impl Fn(&Self) -> bool,
    ) -> Result<Option<(Vec<MemorySaving>, Self)>> {
        let mut load = Load::new(data, settings)?;
        let mut settings = settings.clone();
        let mut estimate = Self::of_load(model, &settings, load)?;
        if fits(&estimate) {
            return Ok(None);
        }
        let mut made: Vec<MemorySaving> = Vec::new();
        while made.len() < MAX_CHANGES {
            let mut best: Option<(_, _, _, Self)> = None;
            for (change, settings, load) in changes(model, &settings, load) {
                let found = Self::of_load(model, &settings, load)?;
                let is_enough = fits(&found);
                let is_better = match &best {
                    None => found.total < estimate.total,
                    Some((_, _, _, best)) => found.total < best.total,
                };
                if is_enough || is_better {
                    best = Some((change, settings, load, found));
                }
                if is_enough {
                    break;
                }
            }
            let Some((change, changed, smaller, found)) = best else {
                return Ok(None);
            };
            made.retain(|made| discriminant(made) != discriminant(&change));
            made.push(change);
            if fits(&found) {
                return Ok(Some((made, found)));
            }
            (settings, load, estimate) = (changed, smaller, found);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::text::Sample;

    /// Returns the advice for training the embedded model on 16 samples of 200 tokens within a number of bytes.
    fn advice(
        settings: &TrainSettings,
        limit: impl Fn(u64) -> u64,
    ) -> Option<(Vec<MemorySaving>, u64)> {
        let model = CausalLm::embedded(&Device::cpu()).expect("the embedded model loads");
        let samples: Vec<Sample> = (0..16).map(|_| (0..200).collect()).collect();
        let data = RunData {
            train: samples.clone(),
            domain: samples.clone(),
            general: samples,
            ..RunData::default()
        };
        let before = MemoryEstimate::new(&model, &data, settings).expect("valid settings");
        let limit = limit(before.total);
        let found =
            MemoryEstimate::advice(&model, &data, settings, |estimate| estimate.total <= limit);
        let (changes, estimate) = found.expect("valid settings")?;
        assert!(estimate.total <= limit);
        Some((changes, estimate.total))
    }

    #[test]
    fn advice_fits_with_as_little_change_as_possible() {
        let settings = TrainSettings::default();
        assert_eq!(advice(&settings, |total| total), None);
        assert_eq!(advice(&settings, |_| 1000), None);
        // A little too much: activations are recomputed, which changes no result.
        let (changes, _) = advice(&settings, |total| total - 1).expect("something to save");
        assert_eq!(changes, [MemorySaving::GradientCheckpointing]);
        // Without that, a smaller batch.
        let recomputed = settings.clone().with_gradient_checkpointing(true);
        let (changes, _) = advice(&recomputed, |total| total - 1).expect("something to save");
        assert!(matches!(changes[..], [MemorySaving::BatchSize(_)]));
        // Far too much: several changes, each of a kind once.
        let (changes, _) = advice(&settings, |total| total / 12).expect("enough to save");
        assert!(changes.len() > 1, "{changes:?}");
        let kinds = changes.iter().map(discriminant);
        let distinct: std::collections::HashSet<_> = kinds.collect();
        assert_eq!(distinct.len(), changes.len());
    }
}
