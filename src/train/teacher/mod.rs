//! The teacher: the model before training. It never changes, so its last hidden states are computed
//! once a sample and kept: on the device, then in the host's memory, and from one run to the next in a
//! file if that is wanted.

mod backend;
mod cpu;
#[cfg(not(target_arch = "wasm32"))]
mod file;
mod host;
mod wgsl;

use std::collections::HashMap;
#[cfg(not(target_arch = "wasm32"))]
use std::{fs, path::Path, sync::Arc};

use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::data::Batch;
#[cfg(not(target_arch = "wasm32"))]
use crate::data::Sample;
use crate::device;
#[cfg(not(target_arch = "wasm32"))]
use crate::error::Error;
use crate::error::Result;
use crate::model::CausalLm;
use crate::objective::Predictions;
use backend::HalvesBackend;
#[cfg(not(target_arch = "wasm32"))]
use file::StatesFile;

/// In what numbers the teacher's hidden states are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[serde(rename_all = "lowercase")]
pub enum KeptStates {
    /// As they were computed.
    #[default]
    Float32,
    /// In half the memory, rounded to 11 bits, which puts losses off by less than a thousandth (a
    /// fifty-thousandth on the embedded model). They are rounded wherever they come from, also where
    /// they are used at once, so that a run which goes on later does so exactly.
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
    /// Bytes that are kept on the device.
    pub device_bytes: usize,
    /// Bytes that are kept in the host's memory.
    pub host_bytes: usize,
}

impl TeacherCache {
    /// The share of tokens whose states were there; 0 before there were any.
    pub fn hit_rate(&self) -> f64 {
        let all = self.reused_tokens + self.computed_tokens;
        self.reused_tokens as f64 / all.max(1) as f64
    }
}

/// How the teacher's states are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeping {
    pub numbers: KeptStates,
    /// Bytes that may be kept on the device.
    pub device_bytes: usize,
    /// Bytes that may be kept in the host's memory.
    pub host_bytes: usize,
}

/// The frozen model and what it said of each sample.
#[derive(Clone, Debug)]
pub(super) struct Teacher {
    model: CausalLm,
    keeping: Keeping,
    on_device: HashMap<usize, States>,
    on_host: HashMap<usize, Vec<u8>>,
    /// What an earlier run left.
    #[cfg(not(target_arch = "wasm32"))]
    file: Option<Arc<StatesFile>>,
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
    pub fn new(model: CausalLm, keeping: Keeping) -> Self {
        Self {
            model,
            keeping,
            on_device: HashMap::new(),
            on_host: HashMap::new(),
            #[cfg(not(target_arch = "wasm32"))]
            file: None,
            cache: TeacherCache::default(),
        }
    }

    /// What came of keeping states so far.
    pub fn cache(&self) -> TeacherCache {
        self.cache
    }

    /// The teacher's predictions for a batch, one row a token as the student's.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Device`] if the device fails.
    pub async fn predictions(&mut self, batch: &Batch) -> Result<Predictions> {
        let tokens: usize = batch.lengths.iter().sum();
        // Looked for first: what is recalled in part would be brought to the device for nothing.
        let are_known = batch.samples.iter().all(|&sample| self.is_known(sample));
        let known = match are_known {
            true => batch.samples.iter().map(|&i| self.recall(i)).collect(),
            false => None,
        };
        let hidden = match known {
            Some(parts) => {
                self.cache.reused_tokens += tokens;
                assemble(parts, batch.length)
            }
            None => {
                self.cache.computed_tokens += tokens;
                let device = self.model.tensor_device();
                let hidden = self.model.predictions(batch.inputs(&device)).hidden;
                let hidden = States::new(hidden, self.keeping.numbers).float32();
                self.keep(&hidden, batch).await?;
                hidden
            }
        };
        Ok(Predictions {
            hidden,
            head: self.model.decoder().head(self.model.parameters()),
        })
    }

    fn width(&self) -> usize {
        self.model.config().decoder.hidden_size
    }

    /// Whether the states of a sample are anywhere.
    fn is_known(&self, sample: usize) -> bool {
        #[cfg(not(target_arch = "wasm32"))]
        if self
            .file
            .as_ref()
            .and_then(|file| file.get(sample))
            .is_some()
        {
            return true;
        }
        self.on_device.contains_key(&sample) || self.on_host.contains_key(&sample)
    }

    /// The states of a sample, if they are anywhere.
    fn recall(&mut self, sample: usize) -> Option<Tensor<2>> {
        if let Some(states) = self.on_device.get(&sample) {
            return Some(states.float32());
        }
        let Keeping { numbers, .. } = self.keeping;
        let (width, device) = (self.width(), self.model.tensor_device());
        if let Some(bytes) = self.on_host.get(&sample) {
            return Some(numbers.decode(bytes, width, &device));
        }
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(bytes) = self.file.as_ref().and_then(|file| file.get(sample)) {
            let states = numbers.decode(bytes, width, &device);
            self.keep_on_device(sample, &states);
            return Some(states);
        }
        None
    }

    /// Keeps the states of a sample on the device if there is room.
    fn keep_on_device(&mut self, sample: usize, states: &Tensor<2>) -> bool {
        let Keeping {
            numbers,
            device_bytes,
            ..
        } = self.keeping;
        let bytes = states.shape().num_elements() * numbers.bytes();
        let fits = self.cache.device_bytes + bytes <= device_bytes;
        if fits {
            self.cache.device_bytes += bytes;
            self.on_device
                .insert(sample, States::new(states.clone(), numbers));
        }
        fits
    }

    /// Keeps the states of a batch's samples where there is room.
    async fn keep(&mut self, hidden: &Tensor<2>, batch: &Batch) -> Result<()> {
        let Keeping {
            numbers,
            host_bytes,
            ..
        } = self.keeping;
        let width = self.width();
        // Read once for all that go to the host.
        let mut on_host: Option<Vec<f32>> = None;
        let rows = batch.samples.iter().zip(&batch.lengths).enumerate();
        for (row, (&sample, &length)) in rows {
            if self.on_device.contains_key(&sample) || self.on_host.contains_key(&sample) {
                continue;
            }
            let first = row * batch.length;
            if self.keep_on_device(sample, &hidden.clone().narrow(0, first, length)) {
                continue;
            }
            let bytes = length * width * numbers.bytes();
            if self.cache.host_bytes + bytes <= host_bytes {
                let values = match &mut on_host {
                    Some(values) => values,
                    None => on_host.insert(device::read(hidden.clone()).await?),
                };
                let states = &values[first * width..(first + length) * width];
                self.on_host.insert(sample, numbers.encode(states));
                self.cache.host_bytes += bytes;
            }
        }
        Ok(())
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Teacher {
    /// Begins with the states of those samples that an earlier run left in a folder; whether there were
    /// any.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Io`], and [`crate::Error::TeacherStates`] for a file that cannot be used.
    pub fn read(&mut self, folder: &Path, samples: &[Sample]) -> Result<bool> {
        let numbers = self.keeping.numbers;
        let path = file::place(folder, &self.model, samples, numbers);
        if !path.exists() {
            return Ok(false);
        }
        let file = StatesFile::open(&path, samples, self.width(), numbers)?;
        self.file = Some(Arc::new(file));
        Ok(true)
    }

    /// Leaves the states of those samples in a folder for later runs, unless all are there.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Io`], and [`crate::Error::Device`] if the device fails.
    pub async fn write(&self, folder: &Path, samples: &[Sample]) -> Result<()> {
        if self.cache.computed_tokens == 0 {
            return Ok(());
        }
        let numbers = self.keeping.numbers;
        let known = self.on_device.keys().chain(self.on_host.keys()).copied();
        let in_file = self.file.iter().flat_map(|file| file.samples());
        let inputs = known.chain(in_file).map(|i| (i, samples[i].inputs()));
        let path = file::place(folder, &self.model, samples, numbers);
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        file::write(&path, &inputs.collect(), self.width(), numbers, async |i| {
            if let Some(states) = self.on_device.get(&i) {
                return Ok(numbers.encode(&device::read(states.float32()).await?));
            }
            let in_file = || self.file.as_ref()?.get(i);
            let bytes = self.on_host.get(&i).map(Vec::as_slice).or_else(in_file);
            Ok(bytes.expect("it is in one of the three").to_vec())
        })
        .await
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
