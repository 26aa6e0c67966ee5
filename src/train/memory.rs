//! How much memory a training takes, before it starts.

use serde::Serialize;

use super::run::RunData;
use super::settings::TrainSettings;
use crate::adapter::{AdapterSettings, LoraSettings};
use crate::data::Sample;
use crate::device::Device;
use crate::error::Result;
use crate::model::ops::{Activation, Way};
use crate::model::{
    Block, CausalLm, DecoderConfig, FeedForwardKind, LayerConfig, NormKind, ParameterSpec,
};

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
/// That is the beginning of the backward pass, where all activations are there, or the step of the
/// optimiser, where all gradients are; whichever takes more. Tensors are counted as the decoder's
/// formulas make them; what a memory pool adds in rounding comes on top.
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
/// How much there is to do at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Load {
    /// Samples of a training batch.
    batch: u64,
    /// Inputs of the longest sample that is trained on.
    length: u64,
    /// Samples of an evaluated batch.
    evaluated_batch: u64,
    /// Inputs of the longest sample that is evaluated.
    evaluated_length: u64,
    /// Inputs of all samples whose teacher's hidden states are kept.
    seen: u64,
}

impl Load {
    fn new(data: &RunData, settings: &TrainSettings) -> Result<Self> {
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
            seen: data.train.iter().chain(replay).map(inputs).sum(),
        })
    }

    fn rows(&self) -> u64 {
        self.batch * self.length
    }
}

impl MemoryEstimate {
    /// For training `model` on `data`.
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidSetting`] for an adapter that does not fit the model.
    pub fn new(model: &CausalLm, data: &RunData, settings: &TrainSettings) -> Result<Self> {
        Self::of_load(model, settings, Load::new(data, settings)?)
    }

    fn of_load(model: &CausalLm, settings: &TrainSettings, load: Load) -> Result<Self> {
        let config = &model.config().decoder;
        let attention = Way::of_attention(&model.tensor_device(), config.head_size);
        let adapts = settings.adapter.is_some() || model.adapter().is_some();
        let minifinetunes = settings.objective.needs_teacher();
        let [hidden, vocabulary] = [config.hidden_size, config.vocabulary].map(|size| size as u64);
        let rows = load.rows();

        let parameters = model.parameter_count() as u64 * FLOAT;
        let trained = settings.trainable_count(model)? as u64 * FLOAT;
        let elements = model
            .decoder()
            .parameters()
            .iter()
            .map(ParameterSpec::elements);
        let largest_parameter = elements.max().unwrap_or(0) as u64 * FLOAT;
        let head = vocabulary * hidden * FLOAT;

        let of_layer = |layer: &LayerConfig| kept_by_layer(attention, config, layer, load);
        let layers = config.layers.iter().map(of_layer);
        let largest_layer = layers.clone().max().unwrap_or(0);
        let state = rows * hidden * FLOAT;
        let kept = if settings.gradient_checkpointing {
            layers.len() as u64 * state + largest_layer
        } else {
            layers.sum()
        };
        // The end of the decoder and what comes back from the loss.
        let activations = kept + 4 * state;
        let evaluated_rows = load.evaluated_batch * load.evaluated_length;
        let most = |size: fn(&LayerConfig) -> usize| {
            config.layers.iter().map(size).max().unwrap_or(0) as u64
        };
        let inner = most(|layer| layer.intermediate_size);
        let heads = most(|layer| layer.heads);
        let scores = |batch: u64, length: u64| batch * heads * length * length * FLOAT;
        let evaluation = evaluated_rows * (4 * hidden + 2 * inner) * FLOAT
            + match attention {
                Way::Fused => 0,
                Way::Composed => 2 * scores(load.evaluated_batch, load.evaluated_length),
            };
        let logits = rows.max(evaluated_rows) * vocabulary * FLOAT;
        let tile = logits
            .min(settings.tile_bytes as u64)
            .max(vocabulary * FLOAT);
        let tiles = tile * if minifinetunes { 2 } else { 1 };

        let of_head = if adapts { 0 } else { head };
        // Gradients, activations and tiles of logits, where most of them are there together.
        let backward = [of_head, activations.max(evaluation), tiles];
        let optimiser = [trained, 0, 0];
        let fullest = [backward, optimiser]
            .into_iter()
            .max_by_key(|parts| parts.iter().sum::<u64>())
            .unwrap_or(backward);
        let states = load.seen * hidden * settings.teacher_states.bytes() as u64;
        // What is kept on the host is memory of the device where that is the CPU.
        let on_host = match model.device().adapter() {
            None => settings.teacher_host_bytes as u64,
            Some(_) => 0,
        };
        let states = states.min((settings.teacher_cache_bytes as u64).saturating_add(on_host));
        let parts = [
            ("weights", parameters),
            // With an adapter the weights stay what they are.
            (
                if adapts {
                    "adapter"
                } else {
                    "untouched weights"
                },
                trained,
            ),
            ("optimiser moments", 2 * trained),
            (
                "importance of weights (EWC)",
                if settings.ewc > 0.0 { trained } else { 0 },
            ),
            (
                "teacher's hidden states",
                if minifinetunes { states + 2 * state } else { 0 },
            ),
            ("gradients", fullest[0]),
            ("activations", fullest[1]),
            ("logits, a tile at a time", fullest[2]),
        ];
        let tensors = [
            largest_parameter,
            match attention {
                Way::Fused => 0,
                Way::Composed => scores(load.batch, load.length),
            },
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

    /// Changes that would take less, each as it is asked for on the command line with the bytes that
    /// the training would then take; those that help most first.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn savings(
        model: &CausalLm,
        data: &RunData,
        settings: &TrainSettings,
    ) -> Result<Vec<(String, u64)>> {
        let load = Load::new(data, settings)?;
        let total = Self::of_load(model, settings, load)?.total;
        let mut changes: Vec<(String, TrainSettings, Load)> = Vec::new();
        if settings.adapter.is_none() && model.adapter().is_none() {
            let adapter = Some(AdapterSettings::Lora(LoraSettings::default()));
            let settings = TrainSettings {
                adapter,
                ..settings.clone()
            };
            changes.push(("--adapter lora".to_string(), settings, load));
        }
        if !settings.gradient_checkpointing {
            let settings = TrainSettings {
                gradient_checkpointing: true,
                ..settings.clone()
            };
            changes.push(("--gradient-checkpointing".to_string(), settings, load));
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
            changes.push((format!("--batch-size {batch}"), settings, load));
        }
        if load.length > 64 {
            let length = load.length.div_ceil(2);
            let load = Load {
                length,
                evaluated_length: load.evaluated_length.min(length),
                ..load
            };
            changes.push((
                format!("--max-length {}", length + 1),
                settings.clone(),
                load,
            ));
        }
        let mut savings = Vec::new();
        for (change, settings, load) in changes {
            let bytes = Self::of_load(model, &settings, load)?.total;
            if bytes < total {
                savings.push((change, bytes));
            }
        }
        savings.sort_by_key(|&(_, bytes)| bytes);
        Ok(savings)
    }

    /// What does not fit into a device and what to do about it, or `None`.
    pub fn excess(&self, device: &Device) -> Option<String> {
        let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
        let limits = device.adapter().map(|adapter| &adapter.limits);
        let binding = limits.map(|limits| limits.max_binding_bytes.min(limits.max_buffer_bytes));
        // What is free comes on top of the weights, which are there already; an address space does not.
        let bounded = usize::BITS == 32;
        let weights = self.parts.first().map_or(0, |part| part.bytes);
        let there = device
            .free_memory()
            .map(|free| if bounded { free } else { free + weights });
        let excess = if let Some(limit) = binding.filter(|&limit| self.largest_tensor > limit) {
            Some(format!(
                "the largest tensor needs {} MiB, but a kernel on this device sees at most {} MiB",
                mebibytes(self.largest_tensor),
                limit >> 20
            ))
        } else {
            there.filter(|&there| self.total > there).map(|there| {
                let there = there >> 20;
                let what = if bounded {
                    format!("the CPU has at most {there} MiB here")
                } else {
                    format!("{there} MiB are free")
                };
                format!("this takes about {} MiB, but {what}", mebibytes(self.total))
            })
        };
        excess.map(|excess| {
            format!("{excess}: take smaller batches, shorter samples or a smaller model")
        })
    }
}

/// Bytes that a layer keeps for its backward pass, as [`crate::model`] writes its formulas.
fn kept_by_layer(attention: Way, config: &DecoderConfig, layer: &LayerConfig, load: Load) -> u64 {
    let [hidden, size, heads, key_heads, inner] = [
        config.hidden_size,
        config.head_size,
        layer.heads,
        layer.key_heads,
        layer.intermediate_size,
    ]
    .map(|size| size as u64);
    let (queries, keys) = (heads * size, key_heads * size);
    let norms = match config.block {
        Block::Parallel => 1,
        Block::Sequential => 2,
        Block::Sandwiched => 4,
    };
    // A norm keeps what it takes, and what it gives is kept by the layers that take it; in tensor
    // operations also what is in between.
    let norm = match config.norm.kind {
        NormKind::Layer => 4,
        NormKind::RootMeanSquare | NormKind::RootMeanSquareFromOne => 2,
    };
    // Queries and keys before they are normalised, where they are.
    let before = if config.norms_of_heads {
        queries + keys
    } else {
        0
    };
    // What the activation takes, makes on its way, and gives; and what it is multiplied by.
    let feed_forward = match (config.feed_forward.kind, config.feed_forward.activation) {
        (FeedForwardKind::Plain, _) => 4,
        (_, Activation::Silu) => 3,
        (_, _) => 6,
    };
    let whole_gate = match config.feed_forward.kind {
        FeedForwardKind::FusedGated => 2 * inner,
        _ => 0,
    };
    let row = norms * norm * hidden
        + before
        + queries
        + 2 * keys
        + queries
        + feed_forward * inner
        + whole_gate;
    let scores = match attention {
        Way::Fused => 0,
        // The weights, and where a query must not see a key.
        Way::Composed => 2 * load.batch * heads * load.length * load.length,
    };
    (load.rows() * row + scores) * FLOAT
}
