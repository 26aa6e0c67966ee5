//! Estimates the memory of a training before it starts.

mod activations;

use serde::Serialize;

use super::data::RunData;
use super::settings::TrainSettings;
use crate::device::Device;
use crate::error::Result;
use crate::kernels::{Impl, attention};
use crate::model::{AttentionConfig, CausalLm, LayerConfig, ParameterSpec, WeightType};
use crate::text::Sample;
use activations::kept_by_layer;

/// A component of the memory estimate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct MemoryPart {
    /// The component.
    pub name: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The estimated peak device memory of a training, per component.
///
/// The peak is at the start of the backward pass, which holds all activations, at the optimizer step, which
/// holds all gradients, or in an evaluation, whichever is larger. The estimate counts the tensors of the decoder's
/// formulas, without the overhead of the memory pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct MemoryEstimate {
    /// The components, without empty ones.
    pub parts: Vec<MemoryPart>,
    /// The total in bytes.
    pub total: u64,
    /// The largest single tensor in bytes.
    pub largest_tensor: u64,
}

const FLOAT: u64 = size_of::<f32>() as u64;

/// The sizes that the estimate depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// Samples per training batch.
    pub batch: u64,
    /// Inputs of the longest training sample.
    pub length: u64,
    /// Samples per evaluation batch.
    pub evaluated_batch: u64,
    /// Inputs of the longest evaluation sample.
    pub evaluated_length: u64,
    /// Inputs of all samples whose teacher hidden states are cached.
    pub cached: u64,
    /// The type that weights are converted to, instead of the types that they have.
    pub weights: Option<WeightType>,
}

impl Load {
    pub(super) fn new(data: &RunData, settings: &TrainSettings) -> Result<Self> {
        let inputs = |sample: &Sample| sample.inputs() as u64;
        let longest = |samples: &[Sample]| samples.iter().map(inputs).max().unwrap_or(0);
        let replays = settings.replay_ratio > 0.0;
        let replay: &[Sample] = if replays { &data.replay } else { &[] };
        let samples = data.train.len() + settings.replayed(data.train.len())?;
        Ok(Self {
            batch: settings.batch_size.min(samples) as u64,
            length: longest(&data.train).max(longest(replay)),
            evaluated_batch: settings.batch_size as u64,
            evaluated_length: longest(&data.domain).max(longest(&data.general)),
            cached: data.train.iter().chain(replay).map(inputs).sum(),
            weights: None,
        })
    }

    fn rows(&self) -> u64 {
        self.batch * self.length
    }
}

impl MemoryEstimate {
    /// Estimates the memory of training `model` on `data`.
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidSetting`] for an adapter that the model does not support.
    pub fn new(model: &CausalLm, data: &RunData, settings: &TrainSettings) -> Result<Self> {
        Self::of_load(model, settings, Load::new(data, settings)?)
    }

    /// Estimates the memory of training `model` with other sizes than its own.
    pub(super) fn of_load(model: &CausalLm, settings: &TrainSettings, load: Load) -> Result<Self> {
        let config = &model.config().decoder;
        let device = model.tensor_device();
        let composed = |attention: &AttentionConfig| {
            attention::available(&device, attention.head_size) == Impl::Composed
        };
        let adapts = settings.adapter.is_some() || model.adapter().is_some();
        let has_teacher = settings.objective.needs_teacher();
        let [hidden, vocabulary] = [config.hidden_size, config.vocab_size].map(|size| size as u64);
        let rows = load.rows();

        let trained = settings.trainable_count(model)? as u64 * FLOAT;
        let specs = model.decoder().parameters().iter();
        let stored = model.stored().iter().zip(specs);
        let stored = stored.map(|(weight, spec)| converted(spec, load.weights, weight.bytes()));
        let weights: u64 = stored.clone().sum();
        let elements = model
            .decoder()
            .parameters()
            .iter()
            .map(ParameterSpec::elements);
        // Frozen weights are as they are stored, trained ones in float32.
        let largest_parameter = if adapts {
            stored.max().unwrap_or(0)
        } else {
            elements.max().unwrap_or(0) as u64 * FLOAT
        };
        let head = vocabulary * hidden * FLOAT;

        let tokens = [load.batch, load.length];
        let of_layer = |layer: &LayerConfig| {
            let composed = layer.mixer.attention().is_some_and(composed);
            kept_by_layer(composed, config, layer, tokens) * FLOAT
        };
        let layers = config.layers.iter().map(of_layer);
        let largest_layer = layers.clone().max().unwrap_or(0);
        let state = rows * hidden * FLOAT;
        let kept = if settings.gradient_checkpointing {
            layers.len() as u64 * state + largest_layer
        } else {
            layers.sum()
        };
        // The inputs of all layers: projected, normalized and of each layer.
        let layer_inputs = config.per_layer_inputs.map_or(0, |inputs| inputs.size);
        let layer_inputs = 3 * (config.layers.len() * layer_inputs) as u64 * FLOAT;
        // The end of the decoder and the gradients of the loss.
        let activations = kept + 4 * state + rows * layer_inputs;
        let evaluated_rows = load.evaluated_batch * load.evaluated_length;
        let inner = config.layers.iter().map(|layer| layer.intermediate_size);
        let inner = inner.max().unwrap_or(0) as u64;
        let composed = config.attentions().filter(|attention| composed(attention));
        let heads = composed.map(|attention| attention.heads);
        let heads = heads.max().unwrap_or(0) as u64;
        let scores = |batch: u64, length: u64| batch * heads * length * length * FLOAT;
        let evaluation = evaluated_rows * ((4 * hidden + 2 * inner) * FLOAT + layer_inputs)
            + 2 * scores(load.evaluated_batch, load.evaluated_length);
        let logits = rows.max(evaluated_rows) * vocabulary * FLOAT;
        let tile = logits
            .min(settings.tile_bytes as u64)
            .max(vocabulary * FLOAT);
        // The gradient of a soft cap needs the logits that the loss's own gradient would overwrite.
        let tiles = [true, has_teacher, config.logits_soft_cap.is_some()];
        let tiles = tile * tiles.into_iter().filter(|&is_held| is_held).count() as u64;

        let of_head = if adapts { 0 } else { head };
        // Gradients, activations and tiles of logits, at the peak of the phases.
        let backward = [of_head, activations.max(evaluation), tiles];
        let optimizer = [trained, 0, 0];
        // A trained model is evaluated beside the untouched one.
        let evaluating = [0, evaluation, 2 * tile];
        let peak = [backward, optimizer, evaluating]
            .into_iter()
            .max_by_key(|parts| parts.iter().sum::<u64>())
            .unwrap_or(backward);
        let states = load.cached * hidden * settings.teacher_states.bytes() as u64;
        // On the CPU the host cache is device memory.
        let on_host = match model.device().adapter() {
            None => settings.teacher_host_bytes as u64,
            Some(_) => 0,
        };
        let states = states.min((settings.teacher_cache_bytes as u64).saturating_add(on_host));
        // Files that are read into memory, as in browsers, stay there beside the weights.
        let files: u64 = match model.device().adapter() {
            None => model.weight_files().map(|file| file.owned() as u64).sum(),
            Some(_) => 0,
        };
        let parts = [
            // Without an adapter the weights are trained, and the initial ones are kept as they are stored.
            (if adapts { "weights" } else { "initial weights" }, weights),
            (if adapts { "adapter" } else { "weights" }, trained),
            ("optimiser moments", 2 * trained),
            (
                "EWC importance",
                if settings.ewc > 0.0 { trained } else { 0 },
            ),
            (
                "teacher hidden states",
                if has_teacher { states + 2 * state } else { 0 },
            ),
            ("gradients", peak[0]),
            ("activations", peak[1]),
            ("logits (one tile at a time)", peak[2]),
            ("files of the model", files),
        ];
        let tensors = [
            largest_parameter,
            scores(load.batch, load.length),
            rows * (inner.max(hidden) * FLOAT).max(layer_inputs / 3),
            tile,
        ];
        Ok(Self {
            total: parts.iter().map(|(_, bytes)| bytes).sum(),
            largest_tensor: tensors.into_iter().max().unwrap_or(0),
            parts: parts
                .into_iter()
                .filter(|&(_, bytes)| bytes > 0)
                .map(|(name, bytes)| MemoryPart { name, bytes })
                .collect(),
        })
    }

    /// Describes what does not fit the device and how to reduce it, or returns `None` if all fits.
    pub fn excess(&self, device: &Device) -> Option<String> {
        let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
        let limits = device.adapter().map(|adapter| &adapter.limits);
        let binding = limits.map(|limits| limits.max_binding_bytes.min(limits.max_buffer_bytes));
        // The weights are already allocated, so they add to the free memory; but not to a 32-bit address
        // space, whose size is fixed.
        let bounded = usize::BITS == 32;
        let weights = self.parts.first().map_or(0, |part| part.bytes);
        let available = device
            .free_memory()
            .map(|free| if bounded { free } else { free + weights });
        let excess = if let Some(limit) = binding.filter(|&limit| self.largest_tensor > limit) {
            Some(format!(
                "the largest tensor requires {} MiB, but a binding on this device holds at most {} MiB",
                mebibytes(self.largest_tensor),
                limit >> 20
            ))
        } else {
            available
                .filter(|&available| self.total > available)
                .map(|available| {
                    let available = available >> 20;
                    let what = if bounded {
                        format!("the CPU has at most {available} MiB here")
                    } else {
                        format!("only {available} MiB are free")
                    };
                    format!(
                        "training takes about {} MiB, but {what}",
                        mebibytes(self.total)
                    )
                })
        };
        excess.map(|excess| {
            format!("{excess}: use smaller batches, shorter samples or a smaller model")
        })
    }
}

/// Returns the bytes of a parameter that has `bytes` now, if it is converted to a type.
fn converted(spec: &ParameterSpec, kind: Option<WeightType>, bytes: usize) -> u64 {
    let [rows, columns] = spec.matrix_shape();
    let row = kind
        .filter(|_| spec.shape.len() > 1)
        .and_then(|kind| kind.row_bytes(columns));
    row.map_or(bytes, |row| rows * row) as u64
}
