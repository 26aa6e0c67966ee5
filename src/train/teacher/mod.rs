//! The teacher: the model before training. It never changes, so its last hidden states are computed
//! once a sample and kept.

mod backend;
mod cpu;
mod wgsl;

use std::collections::HashMap;

use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::data::Batch;
use crate::model::CausalLm;
use crate::objective::Predictions;
use backend::HalvesBackend;

/// In what numbers the teacher's hidden states are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[serde(rename_all = "lowercase")]
pub enum KeptStates {
    /// As they were computed.
    #[default]
    Float32,
    /// In half the memory, rounded to 11 bits. The first time that a sample is seen its loss is what
    /// float32 makes of it, from then on it is off by less than a thousandth (a fifty-thousandth on the
    /// embedded model).
    Float16,
}

impl KeptStates {
    /// Bytes of a number.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Float16 => 2,
        }
    }
}

/// What came of keeping the teacher's hidden states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TeacherCache {
    /// Tokens whose states were there.
    pub reused_tokens: usize,
    /// Tokens whose states were computed.
    pub computed_tokens: usize,
    /// Bytes that are kept.
    pub bytes: usize,
}

impl TeacherCache {
    /// The share of tokens whose states were there; 0 before there were any.
    pub fn hit_rate(&self) -> f64 {
        let all = self.reused_tokens + self.computed_tokens;
        self.reused_tokens as f64 / all.max(1) as f64
    }
}

/// The frozen model and what it said of each sample.
#[derive(Clone, Debug)]
pub(super) struct Teacher {
    model: CausalLm,
    states: HashMap<usize, States>,
    kept: KeptStates,
    /// Bytes that may be kept.
    most_bytes: usize,
    cache: TeacherCache,
}

/// Last hidden states \[length, hidden size\] of a sample.
#[derive(Clone, Debug)]
enum States {
    Float32(Tensor<2>),
    /// Two numbers an element.
    Float16(Tensor<1, Int>, [usize; 2]),
}

impl States {
    fn new(states: Tensor<2>, kept: KeptStates) -> Self {
        match kept {
            KeptStates::Float32 => Self::Float32(states),
            KeptStates::Float16 => {
                let shape = states.dims();
                let halves = Dispatch::to_halves(states.into_dispatch());
                Self::Float16(Tensor::from_dispatch(halves), shape)
            }
        }
    }

    fn float32(&self) -> Tensor<2> {
        match self {
            Self::Float32(states) => states.clone(),
            Self::Float16(halves, [rows, columns]) => {
                let halves = halves.clone().into_dispatch();
                Tensor::from_dispatch(Dispatch::from_halves(halves, *rows, *columns))
            }
        }
    }
}

impl Teacher {
    pub fn new(model: CausalLm, most_bytes: usize, kept: KeptStates) -> Self {
        Self {
            model,
            states: HashMap::new(),
            kept,
            most_bytes,
            cache: TeacherCache::default(),
        }
    }

    /// What came of keeping states so far.
    pub fn cache(&self) -> TeacherCache {
        self.cache
    }

    /// The teacher's predictions for a batch, one row a token as the student's.
    pub fn predictions(&mut self, batch: &Batch) -> Predictions {
        let tokens: usize = batch.lengths.iter().sum();
        let known = batch
            .samples
            .iter()
            .map(|sample| self.states.get(sample).map(States::float32))
            .collect();
        let hidden = match known {
            Some(parts) => {
                self.cache.reused_tokens += tokens;
                assemble(parts, batch.length)
            }
            None => {
                self.cache.computed_tokens += tokens;
                let device = self.model.tensor_device();
                let hidden = self.model.predictions(batch.inputs(&device)).hidden;
                self.keep(&hidden, batch);
                hidden
            }
        };
        Predictions {
            hidden,
            head: self.model.decoder().head(self.model.parameters()),
        }
    }

    fn keep(&mut self, hidden: &Tensor<2>, batch: &Batch) {
        let [_, width] = hidden.dims();
        let rows = batch.samples.iter().zip(&batch.lengths).enumerate();
        for (row, (&sample, &length)) in rows {
            let bytes = length * width * self.kept.bytes();
            if self.cache.bytes + bytes <= self.most_bytes && !self.states.contains_key(&sample) {
                self.cache.bytes += bytes;
                let states = hidden.clone().narrow(0, row * batch.length, length);
                self.states.insert(sample, States::new(states, self.kept));
            }
        }
    }
}

/// Rows of each sample, padded to the batch's length.
fn assemble(parts: Vec<Tensor<2>>, length: usize) -> Tensor<2> {
    let mut rows = Vec::with_capacity(2 * parts.len());
    for part in parts {
        let [own, width] = part.dims();
        let padding = length - own;
        let device = part.device();
        rows.push(part);
        if padding > 0 {
            rows.push(Tensor::zeros([padding, width], &device));
        }
    }
    Tensor::cat(rows, 0)
}
