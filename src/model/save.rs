//! Saves models and adapters.

use std::collections::BTreeMap;
#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;

use safetensors::tensor::TensorInfo;

use super::causal_lm::CausalLm;
use super::file_names::{CONFIG, INDEX};
use super::save_type::{SaveType, most_common};
use super::{shards, weights};
use crate::error::Result;
#[cfg(not(target_arch = "wasm32"))]
use crate::files::{FolderWriter, PartWriter};

impl CausalLm {
    /// Saves the model as a Hugging Face folder, which Python's `transformers` loads. The weights have the
    /// types of the files that the model was loaded from, or that of [`Self::with_save_type`]; above 5 GB
    /// they are split into several files. Of a model with an adapter only the adapter is saved, in float32,
    /// as a folder that Python's PEFT loads.
    ///
    /// The folder appears once it is complete, also if the process is killed.
    ///
    /// # Errors
    ///
    /// [`crate::Error::OutputExists`] if `path` exists and is not an empty folder,
    /// [`crate::Error::InUse`] while another process writes it, [`crate::Error::InvalidSetting`] for a value
    /// beyond the range of the requested type, [`crate::Error::Io`] and [`crate::Error::Device`].
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let folder = FolderWriter::new(path.as_ref(), false)?;
        self.write(&folder, "").await?;
        folder.finish()
    }

    /// Writes the files of [`Self::save`] to a subfolder of a folder that is being written, or to the folder
    /// itself if `subfolder` is empty.
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidSetting`] for a value beyond the range of the requested type,
    /// [`crate::Error::Io`] and [`crate::Error::Device`].
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn write(&self, folder: &FolderWriter, subfolder: &str) -> Result<()> {
        self.write_shards(folder, subfolder, shards::MAX_SHARD_BYTES)
            .await
    }

    /// Writes the files of [`Self::write`], with weights files of at most `limit` bytes.
    #[cfg(not(target_arch = "wasm32"))]
    #[doc(hidden)]
    pub async fn write_shards(
        &self,
        folder: &FolderWriter,
        subfolder: &str,
        limit: u64,
    ) -> Result<()> {
        let mut sink = FolderSink {
            folder,
            subfolder: Path::new(subfolder),
            file: None,
        };
        self.put_files(&mut sink, limit).await
    }

    /// Returns names and bytes of the files of [`Self::write`].
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidSetting`] for a value beyond the range of the requested type, and
    /// [`crate::Error::Device`].
    pub async fn to_files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = Vec::new();
        self.put_files(&mut files, shards::MAX_SHARD_BYTES).await?;
        Ok(files)
    }

    async fn put_files(&self, sink: &mut impl Sink, limit: u64) -> Result<()> {
        if let Some(adapter) = self.adapter() {
            for (name, bytes) in adapter.to_peft().await? {
                sink.file(&name, &bytes)?;
            }
            return Ok(());
        }
        let types = self.checked_types().await?;
        let specs = self.decoder().parameters();
        let elements = specs.iter().map(|spec| spec.elements());
        let main = most_common(types.iter().copied().zip(elements));
        let config = serde_json::to_vec_pretty(&self.config().to_json_as(main));
        sink.file(CONFIG, &config.expect("a JSON object serializes"))?;
        sink.file("tokenizer.json", self.reader().tokenizer_bytes())?;
        for (name, bytes) in self.reader().companions() {
            sink.file(name, bytes)?;
        }
        self.put_weights(sink, &types, limit).await
    }

    /// Returns the type of each parameter. One whose values are beyond the range of float16 is saved as
    /// float32, unless float16 was requested.
    async fn checked_types(&self) -> Result<Vec<SaveType>> {
        let mut types = self.save_types()?;
        for (index, kind) in types.iter_mut().enumerate() {
            if *kind != SaveType::Float16 {
                continue;
            }
            let name = &self.decoder().parameters()[index].name;
            if let Some(value) = kind.beyond(&self.parameter_values(index).await?) {
                if self.save_type.is_some() {
                    return Err(kind.fault(name, value));
                }
                log::warn!(
                    "tensor {name} is saved as float32: its value {value} is beyond the range of float16"
                );
                *kind = SaveType::Float32;
            }
        }
        Ok(types)
    }

    /// Writes the weights files, and their index if there are several. At most one tensor at a time is copied
    /// from the device.
    async fn put_weights(
        &self,
        sink: &mut impl Sink,
        types: &[SaveType],
        limit: u64,
    ) -> Result<()> {
        let specs = self.decoder().parameters();
        let family = self.config().decoder.family.tensors;
        let names = specs.iter().map(|spec| family.saved(&spec.name));
        let names: Vec<String> = names.collect();
        let sizes = specs.iter().zip(types);
        let sizes = sizes.map(|(spec, kind)| (spec.elements() * kind.dtype().bitsize() / 8) as u64);
        let sizes: Vec<u64> = sizes.collect();
        let mut shards = shards::split(&sizes, limit);
        let mut files = BTreeMap::new();
        let count = shards.len();
        for (number, tensors) in shards.iter_mut().enumerate() {
            // In the order of their names, as safetensors sorts tensors of one type.
            tensors.sort_by_key(|&index| &names[index]);
            let name = shards::name(number, count);
            let mut end = 0;
            let infos = tensors.iter().map(|&index| {
                let start = end;
                end += sizes[index] as usize;
                let info = TensorInfo {
                    dtype: types[index].dtype(),
                    shape: specs[index].shape.clone(),
                    data_offsets: (start, end),
                };
                (names[index].clone(), info)
            });
            sink.begin(&name)?;
            let infos = infos.collect();
            sink.put(&weights::header(infos, weights::pytorch_metadata()))?;
            for &index in &*tensors {
                let values = self.parameter_values(index).await?;
                if let Some(value) = types[index].beyond(&values) {
                    return Err(types[index].fault(&names[index], value));
                }
                let mut bytes = Vec::with_capacity(sizes[index] as usize);
                types[index].stored().pack(&values, &mut bytes);
                drop(values);
                sink.put(&bytes)?;
                files.insert(names[index].as_str(), name.clone());
            }
            sink.finish()?;
        }
        if count > 1 {
            sink.file(INDEX, &shards::index(&files, sizes.iter().sum()))?;
        }
        Ok(())
    }

    /// Copies the values of a parameter from the device.
    pub(super) async fn parameter_values(&self, index: usize) -> Result<Vec<f32>> {
        crate::device::read(self.stored()[index].float()).await
    }
}

/// Receives the files of a model, one after the other.
trait Sink {
    /// Starts a file.
    fn begin(&mut self, name: &str) -> Result<()>;

    /// Appends bytes to it.
    fn put(&mut self, bytes: &[u8]) -> Result<()>;

    /// Completes it.
    fn finish(&mut self) -> Result<()>;

    /// Writes a whole file.
    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.begin(name)?;
        self.put(bytes)?;
        self.finish()
    }
}

impl Sink for Vec<(String, Vec<u8>)> {
    fn begin(&mut self, name: &str) -> Result<()> {
        self.push((name.to_string(), Vec::new()));
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some((_, file)) = self.last_mut() {
            file.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Writes to a subfolder of a folder that is being written.
#[cfg(not(target_arch = "wasm32"))]
struct FolderSink<'a> {
    folder: &'a FolderWriter,
    subfolder: &'a Path,
    file: Option<PartWriter>,
}

#[cfg(not(target_arch = "wasm32"))]
impl Sink for FolderSink<'_> {
    fn begin(&mut self, name: &str) -> Result<()> {
        let path = self.subfolder.join(name);
        self.file = Some(self.folder.begin(&path.to_string_lossy())?);
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let mut files = self.file.iter_mut();
        files.try_for_each(|file| file.write(bytes))
    }

    fn finish(&mut self) -> Result<()> {
        self.file.take().map_or(Ok(()), PartWriter::finish)
    }
}
