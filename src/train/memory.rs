//! How much memory a training takes, before it starts.

use serde::Serialize;

use super::run::RunData;
use super::settings::TrainSettings;
use crate::data::Sample;
use crate::device::Device;
use crate::error::Result;
use crate::model::{CausalLm, LayerConfig};

/// A part of what a training keeps on its device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct MemoryPart {
    /// What it is.
    pub name: &'static str,
    /// Its size.
    pub bytes: u64,
}

/// What a training keeps on its device at its fullest, by part.
///
/// Exact for what lasts from step to step. Activations are counted operation by operation as the
/// decoder is written; a memory pool's rounding comes on top.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct MemoryEstimate {
    /// The parts, none of them 0.
    pub parts: Vec<MemoryPart>,
    /// Their sum.
    pub total: u64,
    /// The largest single tensor.
    pub largest_tensor: u64,
}

const FLOAT: u64 = size_of::<f32>() as u64;
/// Bytes that an address of 32 bits reaches.
const ADDRESSABLE: u64 = 1 << 32;

impl MemoryEstimate {
    /// For training `model` on `data`.
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidSetting`] for an adapter that does not fit the model.
    pub fn new(model: &CausalLm, data: &RunData, settings: &TrainSettings) -> Result<Self> {
        let config = &model.config().decoder;
        let inputs = |samples: &[Sample]| -> u64 {
            let inputs = samples.iter().map(|sample| sample.len() as u64 - 1);
            inputs.max().unwrap_or(0)
        };
        let replays = settings.replay_ratio > 0.0;
        let replay: &[Sample] = if replays { &data.replay } else { &[] };
        let samples = data.train.len() + settings.replayed(data.train.len())?;
        let length = inputs(&data.train).max(inputs(replay));
        let batch = settings.batch_size.min(samples) as u64;
        let rows = batch * length;
        let evaluated = inputs(&data.domain).max(inputs(&data.general));
        let evaluated_rows = settings.batch_size as u64 * evaluated;

        let [hidden, vocabulary, head_size] =
            [config.hidden_size, config.vocabulary, config.head_size].map(|size| size as u64);
        let most = |size: fn(&LayerConfig) -> usize| {
            config.layers.iter().map(size).max().unwrap_or(0) as u64
        };
        let (inner, heads) = (
            most(|layer| layer.intermediate_size),
            most(|layer| layer.heads),
        );
        let parameters = model.parameter_count() as u64 * FLOAT;
        let trained = settings.trainable_count(model)? as u64 * FLOAT;
        let scores = batch * heads * length * length * FLOAT;
        // Kept for the backward pass, a layer: two norms and their inputs, queries, keys and values
        // before and after they turn, the attention's output, gate, up and their product; and the
        // scores, masked and as weights.
        let kept = |layer: &LayerConfig| {
            let [heads, key_heads, inner] =
                [layer.heads, layer.key_heads, layer.intermediate_size].map(|size| size as u64);
            let projections = (heads + 2 * key_heads) * head_size;
            let row = 6 * hidden + 2 * projections + heads * head_size + 4 * inner;
            rows * row * FLOAT + 2 * batch * heads * length * length * FLOAT
        };
        let layers = config.layers.iter().map(kept);
        // The largest layer's gradients are there together with everything that is kept.
        let largest_layer = layers.clone().max().unwrap_or(0);
        let activations = layers.sum::<u64>() + largest_layer / 2 + 2 * rows * hidden * FLOAT;
        let evaluation = evaluated_rows * (4 * hidden + 2 * inner) * FLOAT
            + 2 * settings.batch_size as u64 * heads * evaluated * evaluated * FLOAT;

        let minifinetuning = settings.objective.needs_teacher();
        let logits = rows.max(evaluated_rows) * vocabulary * FLOAT;
        let tile = logits
            .min(settings.tile_bytes as u64)
            .max(vocabulary * FLOAT);
        let seen = crate::data::positions(&data.train) + crate::data::positions(replay);
        let states = seen as u64 * hidden * FLOAT;
        let parts = [
            ("weights", parameters),
            // With an adapter the weights stay what they are.
            (
                if settings.adapter.is_some() {
                    "adapter"
                } else {
                    "untouched weights"
                },
                trained,
            ),
            ("gradients", trained),
            ("optimiser moments", 2 * trained),
            (
                "importance of weights (EWC)",
                if settings.ewc > 0.0 { trained } else { 0 },
            ),
            ("activations", activations.max(evaluation)),
            (
                "teacher's hidden states",
                if minifinetuning {
                    states.min(settings.teacher_cache_bytes as u64) + 2 * rows * hidden * FLOAT
                } else {
                    0
                },
            ),
            (
                "logits, a tile at a time",
                tile * if minifinetuning { 2 } else { 1 },
            ),
        ];
        let largest_parameter = model
            .decoder()
            .parameters()
            .iter()
            .map(|spec| spec.elements() as u64 * FLOAT)
            .max();
        let tensors = [
            largest_parameter.unwrap_or(0),
            scores,
            rows * inner.max(hidden) * FLOAT,
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

    /// What does not fit into a device and what to do about it, or `None`.
    pub fn excess(&self, device: &Device) -> Option<String> {
        let excess = match device.adapter().map(|adapter| &adapter.limits) {
            Some(limits) => {
                let limit = limits.max_binding_bytes.min(limits.max_buffer_bytes);
                (self.largest_tensor > limit).then(|| {
                    format!(
                        "the largest tensor needs {} MiB, but a kernel on this device sees at most \
                         {} MiB",
                        self.largest_tensor.div_ceil(1 << 20),
                        limit >> 20
                    )
                })
            }
            // Where addresses have 32 bits, as in a browser, the CPU has no more than they reach.
            None => (usize::BITS == 32 && self.total > ADDRESSABLE).then(|| {
                format!(
                    "this takes about {} MiB, but the CPU has at most {} MiB here",
                    self.total.div_ceil(1 << 20),
                    ADDRESSABLE >> 20
                )
            }),
        };
        excess.map(|excess| {
            format!("{excess}: take smaller batches, shorter samples or a smaller model")
        })
    }
}
