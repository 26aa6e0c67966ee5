//! The teacher: the model before training. It is frozen, so its last hidden states are computed once per
//! sample and cached: on the device, then in host memory, and optionally in a file across runs.

#[cfg(not(target_arch = "wasm32"))]
mod file;
mod host;

use std::collections::HashMap;
#[cfg(not(target_arch = "wasm32"))]
use std::{fs, path::Path, sync::Arc};

use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::device;
#[cfg(feature = "cli")]
use crate::device::ranks::Ranks;
#[cfg(not(target_arch = "wasm32"))]
use crate::error::Error;
use crate::error::Result;
use crate::kernels::distillation::Predictions;
use crate::kernels::half::HalfBackend;
use crate::model::Batch;
use crate::model::CausalLm;
#[cfg(not(target_arch = "wasm32"))]
use crate::text::Sample;
#[cfg(not(target_arch = "wasm32"))]
use file::StatesFile;

/// Data type of the cached teacher hidden states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[cfg_attr(all(test, feature = "cli"), derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum KeptStates {
    /// As computed.
    #[default]
    Float32,
    /// Half the memory, rounded to 11 bits, which changes losses by less than 1e-3 (2e-5 on the embedded
    /// model). Hidden states are rounded even when used directly, without the cache, so that a resumed run
    /// computes the same values.
    Float16,
}

impl KeptStates {
    /// Returns the bytes per value.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Float16 => 2,
        }
    }
}

/// Statistics of the teacher cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TeacherCache {
    /// Tokens whose hidden states were cached.
    pub reused_tokens: usize,
    /// Tokens whose hidden states were computed.
    pub computed_tokens: usize,
    /// Bytes cached on the device.
    pub device_bytes: usize,
    /// Bytes cached in host memory.
    pub host_bytes: usize,
}

impl TeacherCache {
    /// Returns the share of tokens whose hidden states were cached; 0 before the first batch.
    pub fn hit_rate(&self) -> f64 {
        let all = self.reused_tokens + self.computed_tokens;
        self.reused_tokens as f64 / all.max(1) as f64
    }

    /// Returns the sum over the ranks.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Rank`] if one has failed.
    #[cfg(feature = "cli")]
    pub(crate) fn over_ranks(self, ranks: &Ranks) -> Result<Self> {
        let of_rank = [
            self.reused_tokens,
            self.computed_tokens,
            self.device_bytes,
            self.host_bytes,
        ];
        let sums = ranks.sum(of_rank.map(|count| count as f64))?;
        let [reused_tokens, computed_tokens, device_bytes, host_bytes] =
            sums.map(|sum| sum as usize);
        Ok(Self {
            reused_tokens,
            computed_tokens,
            device_bytes,
            host_bytes,
        })
    }
}

/// Settings of the teacher cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeping {
    pub numbers: KeptStates,
    /// Maximum bytes on the device.
    pub device_bytes: usize,
    /// Maximum bytes in host memory.
    pub host_bytes: usize,
}

/// The frozen model and its cached hidden states per sample.
#[derive(Clone, Debug)]
pub(super) struct Teacher {
    model: CausalLm,
    keeping: Keeping,
    on_device: HashMap<usize, States>,
    on_host: HashMap<usize, Vec<u8>>,
    /// Hidden states of an earlier run: a file per rank that it had.
    #[cfg(not(target_arch = "wasm32"))]
    files: Vec<Arc<StatesFile>>,
    cache: TeacherCache,
    /// Whether only the head's weights are left.
    released: bool,
}

/// Last hidden states \[length, hidden size\] of a sample.
#[derive(Clone, Debug)]
enum States {
    Float32(Tensor<2>),
    /// Two values per element, with the shape of the hidden states.
    Float16(Tensor<1, Int>, [usize; 2]),
}

impl States {
    fn new(states: Tensor<2>, kept: KeptStates) -> Self {
        match kept {
            KeptStates::Float32 => Self::Float32(states),
            KeptStates::Float16 => {
                let shape = states.dims();
                let halves = Dispatch::pack(states.into_dispatch());
                Self::Float16(Tensor::from_dispatch(halves), shape)
            }
        }
    }

    fn float32(&self) -> Tensor<2> {
        match self {
            Self::Float32(states) => states.clone(),
            Self::Float16(halves, [rows, columns]) => {
                let halves = halves.clone().into_dispatch();
                Tensor::from_dispatch(Dispatch::unpack(halves, *rows, *columns))
            }
        }
    }
}

impl Teacher {
    pub(super) fn new(model: CausalLm, keeping: Keeping) -> Self {
        Self {
            model,
            keeping,
            on_device: HashMap::new(),
            on_host: HashMap::new(),
            #[cfg(not(target_arch = "wasm32"))]
            files: Vec::new(),
            cache: TeacherCache::default(),
            released: false,
        }
    }

    /// Returns the statistics of the cache.
    pub(super) fn cache(&self) -> TeacherCache {
        self.cache
    }

    /// Returns the teacher's predictions for a batch, one row per token like the student's.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Device`] if the device fails.
    pub(super) async fn predictions(&mut self, batch: &Batch) -> Result<Predictions> {
        let tokens: usize = batch.lengths.iter().sum();
        // Check first: a batch that is cached only in part would be uploaded for nothing.
        let all_cached = batch.samples.iter().all(|&sample| self.is_cached(sample));
        let cached = match all_cached {
            true => batch.samples.iter().map(|&i| self.recall(i)).collect(),
            false => None,
        };
        let hidden = match cached {
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
            head: self.model.decoder().head(&self.model.weights(None)),
        })
    }

    /// Frees the weights but those of the head, if the hidden states of all of these samples are cached. Returns
    /// whether it did.
    pub(super) fn release(&mut self, mut samples: impl Iterator<Item = usize>) -> bool {
        let complete = !self.released && samples.all(|sample| self.is_cached(sample));
        if complete {
            self.model = self.model.only_head();
            self.released = true;
        }
        complete
    }

    fn width(&self) -> usize {
        self.model.config().decoder.hidden_size
    }

    /// Returns whether the hidden states of a sample are cached.
    fn is_cached(&self, sample: usize) -> bool {
        #[cfg(not(target_arch = "wasm32"))]
        if self.stored(sample).is_some() {
            return true;
        }
        self.on_device.contains_key(&sample) || self.on_host.contains_key(&sample)
    }

    /// Returns the cached hidden states of a sample.
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
        if let Some(bytes) = self.stored(sample) {
            let states = numbers.decode(bytes, width, &device);
            self.keep_on_device(sample, &states);
            return Some(states);
        }
        None
    }

    /// Caches the hidden states of a sample on the device if they fit. Returns whether they did.
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

    /// Caches the hidden states of a batch's samples where they fit.
    async fn keep(&mut self, hidden: &Tensor<2>, batch: &Batch) -> Result<()> {
        let Keeping {
            numbers,
            host_bytes,
            ..
        } = self.keeping;
        let width = self.width();
        // Read back at most once per batch.
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
    /// Loads the hidden states of these samples that an earlier run wrote to a folder. Returns whether it
    /// found any.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Io`], and [`crate::Error::TeacherStates`] for a damaged file.
    pub(super) fn read(&mut self, folder: &Path, samples: &[Sample]) -> Result<bool> {
        let numbers = self.keeping.numbers;
        let name = file::name_of(&self.model, samples, numbers);
        let mut files = Vec::new();
        for path in file::paths_in(folder, &name)? {
            let file = StatesFile::open(&path, samples, self.width(), numbers)?;
            files.push(Arc::new(file));
        }
        self.files = files;
        Ok(!self.files.is_empty())
    }

    /// Returns the encoded hidden states of a sample that an earlier run left.
    fn stored(&self, sample: usize) -> Option<&[u8]> {
        self.files.iter().find_map(|file| file.get(sample))
    }

    /// Writes the cached hidden states of these samples to a folder, unless nothing was computed; each rank those of its
    /// own.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Io`], and [`crate::Error::Device`] if the device fails.
    pub(super) async fn write(&self, folder: &Path, samples: &[Sample]) -> Result<()> {
        if self.cache.computed_tokens == 0 {
            return Ok(());
        }
        let numbers = self.keeping.numbers;
        let cached = self.on_device.keys().chain(self.on_host.keys()).copied();
        let ranks = self.model.device().ranks();
        let kept = self.files.iter().filter(|_| ranks.rank() == 0);
        let in_files = kept.flat_map(|file| file.samples());
        let inputs = cached.chain(in_files).map(|i| (i, samples[i].inputs()));
        let name = file::name_of(&self.model, samples, numbers);
        let path = folder.join(file::of_rank(&name, ranks));
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        file::write(&path, &inputs.collect(), self.width(), numbers, async |i| {
            if let Some(states) = self.on_device.get(&i) {
                return Ok(numbers.encode(&device::read(states.float32()).await?));
            }
            let bytes = self.on_host.get(&i).map(Vec::as_slice);
            let bytes = bytes.or_else(|| self.stored(i));
            Ok(bytes
                .expect("every sample to write is in one of the caches")
                .to_vec())
        })
        .await
    }
}

/// Concatenates the rows of the samples, each padded to the length of the batch.
fn assemble(parts: Vec<Tensor<2>>, length: usize) -> Tensor<2> {
    let mut rows = Vec::with_capacity(2 * parts.len());
    for part in parts {
        let [rows_of_part, width] = part.dims();
        let padding = length - rows_of_part;
        let device = part.device();
        rows.push(part);
        if padding > 0 {
            rows.push(Tensor::zeros([padding, width], &device));
        }
    }
    Tensor::cat(rows, 0)
}
