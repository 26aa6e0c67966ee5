//! Reads and writes safetensors files of weights, whole or sharded.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use safetensors::tensor::{Metadata, TensorInfo, TensorView};
use safetensors::{Dtype, SafeTensors};

use super::names::ParameterNames;
use super::parameters::{ParameterSpec, Parameters};
use super::quantized;
use super::stored::StoredTensor;
use crate::error::{Error, Result};
pub(crate) use crate::gguf::write::Put;
use crate::kernels::packed::Weight;

/// How weights files may name tensors.
pub(crate) struct Naming<'a> {
    /// Names of the family, of which model folders may have variants; `None` for exact names.
    pub(super) family: Option<&'a ParameterNames>,
    /// A parameter that the files hold under another name, and that name.
    pub renamed: Option<(&'a str, &'a str)>,
    /// Which tensors besides the parameters they may contain.
    pub may_ignore: &'a dyn Fn(&str) -> bool,
}

impl<'a> Naming<'a> {
    /// Exact names, and other tensors that `may_ignore` accepts.
    pub(crate) fn exact(may_ignore: &'a dyn Fn(&str) -> bool) -> Self {
        Self {
            family: None,
            renamed: None,
            may_ignore,
        }
    }

    /// Returns the name of a parameter in the files, where `has` returns whether they contain a name.
    fn in_files(&self, name: &str, has: impl Fn(&str) -> bool) -> String {
        let renamed = self.renamed.filter(|(renamed, _)| *renamed == name);
        let name = renamed.map_or(name, |(_, other)| other);
        let names = self.family.map(|family| family.in_files(name));
        let found = names.into_iter().flatten().find(|name| has(name));
        found.unwrap_or_else(|| name.to_string())
    }
}

/// Finds the tensors of `specs` in the bytes of safetensors files, in their order.
///
/// Paths are for messages; `path` is that of the index for a sharded model.
///
/// # Errors
///
/// Errors for a damaged file, and errors that name a missing, unexpected or duplicate tensor, or one of
/// another shape or an unsupported type.
pub(crate) fn find_tensors<'a>(
    files: &'a [(PathBuf, &'a [u8])],
    path: &Path,
    specs: &[ParameterSpec],
    naming: &Naming<'_>,
) -> Result<Vec<StoredTensor<'a>>> {
    let opened = files.iter().map(|(path, bytes)| open(bytes, path));
    let opened: Vec<SafeTensors<'_>> = opened.collect::<Result<_>>()?;
    let mut tensors: HashMap<&str, (&Path, TensorView<'_>)> = HashMap::new();
    for ((path, _), file) in files.iter().zip(&opened) {
        for (name, view) in file.iter() {
            if let Some((other, _)) = tensors.insert(name, (path, view)) {
                let other = other.display();
                return Err(Error::Weights {
                    path: path.clone(),
                    message: format!("tensor {name} is also in {other}: download the model again"),
                });
            }
        }
    }
    let names = specs
        .iter()
        .map(|spec| naming.in_files(&spec.name, |name| tensors.contains_key(name)));
    let names: Vec<String> = names.collect();
    let known: HashSet<&str> = names.iter().map(String::as_str).collect();
    let missing: Vec<String> = names
        .iter()
        .filter(|name| !tensors.contains_key(name.as_str()))
        .cloned()
        .collect();
    let mut extra: Vec<String> = tensors
        .keys()
        .filter(|name| !known.contains(*name) && !(naming.may_ignore)(name))
        .map(ToString::to_string)
        .collect();
    let quantized = extra.iter().map(String::as_str);
    if let Some(message) = quantized::by_tensors(quantized) {
        return Err(Error::Weights {
            path: path.to_path_buf(),
            message,
        });
    }
    if !missing.is_empty() {
        return Err(Error::MissingTensors {
            path: path.to_path_buf(),
            names: missing,
        });
    }
    if !extra.is_empty() {
        extra.sort();
        return Err(Error::UnexpectedTensors {
            path: path.to_path_buf(),
            names: extra,
        });
    }
    let found = specs.iter().zip(&names);
    found
        .map(|(spec, name)| {
            let (path, view) = &tensors[name.as_str()];
            let tensor = StoredTensor::of_view(view, name, path)?;
            tensor.check_shape(spec)?;
            Ok(tensor)
        })
        .collect()
}

/// Reads the parameters of `specs` onto a device, in float32.
///
/// # Errors
///
/// As [`find_tensors`], and [`Error::NonFiniteWeight`].
pub(crate) fn read_parameters(
    files: &[(PathBuf, &[u8])],
    path: &Path,
    specs: &[ParameterSpec],
    naming: &Naming<'_>,
    device: &Device,
) -> Result<Parameters> {
    let tensors = find_tensors(files, path, specs, naming)?;
    let tensors = specs.iter().zip(tensors);
    tensors
        .map(|(spec, tensor)| tensor.float(spec, device))
        .collect()
}

/// The format of a weights file, for [`Error::parse`].
pub(crate) const SAFETENSORS: &str = "a complete safetensors file";

/// Opens the bytes of a safetensors file; `path` is for messages.
///
/// # Errors
///
/// [`Error::Parse`] for a damaged file.
pub(crate) fn open<'a>(bytes: &'a [u8], path: &Path) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(Error::parse(path, SAFETENSORS))
}

/// A tensor to write, still on its device.
#[derive(Debug)]
pub(crate) struct NamedTensor<'a> {
    /// Name in the file.
    pub name: String,
    /// Shape in the file.
    pub shape: &'a [usize],
    /// Values.
    pub values: Weight,
}

impl<'a> NamedTensor<'a> {
    /// Pairs specs with their values.
    pub(crate) fn list(
        specs: &'a [ParameterSpec],
        values: impl IntoIterator<Item = impl Into<Weight>>,
    ) -> Vec<Self> {
        let tensors = specs.iter().zip(values);
        let named = tensors.map(|(spec, values)| Self {
            name: spec.name.clone(),
            shape: &spec.shape,
            values: values.into(),
        });
        named.collect()
    }
}

/// A one-dimensional tensor at the end of a file, whose values the caller writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trailer {
    /// Its name in the file.
    pub name: &'static str,
    /// Its element type.
    pub dtype: Dtype,
    /// Its size.
    pub bytes: usize,
}

/// Returns the header of a safetensors file with contiguous tensors.
///
/// # Panics
///
/// If the tensors are not contiguous.
pub(crate) fn header(
    tensors: Vec<(String, TensorInfo)>,
    metadata: HashMap<String, String>,
) -> Vec<u8> {
    /// Alignment of the data after the header.
    const ALIGNMENT: usize = 8;
    let metadata = Some(metadata).filter(|metadata| !metadata.is_empty());
    let header = Metadata::new(metadata, tensors).expect("the tensors are contiguous");
    let mut json =
        serde_json::to_value(&header).expect("names, shapes and offsets can always be written");
    // In a fixed order, so that equal files have equal bytes.
    if let Some(serde_json::Value::Object(metadata)) = json.get_mut("__metadata__") {
        metadata.sort_keys();
    }
    let mut json = json.to_string().into_bytes();
    json.resize(json.len().next_multiple_of(ALIGNMENT), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.append(&mut json);
    header
}

/// Writes a safetensors file of float32 tensors. At most one tensor at a time is copied from the device.
/// Python's `transformers` requires the metadata of [`pytorch_metadata`].
///
/// # Errors
///
/// [`Error::Device`] if the device fails, and the errors of `put`.
pub(crate) async fn write(
    tensors: Vec<NamedTensor<'_>>,
    metadata: HashMap<String, String>,
    put: Put<'_>,
) -> Result<()> {
    write_before(tensors, None, metadata, put).await
}

/// Writes a file like [`write`], up to the values of `trailer`, which the caller writes last.
///
/// # Errors
///
/// [`Error::Device`] if the device fails, and the errors of `put`.
pub(crate) async fn write_before(
    mut tensors: Vec<NamedTensor<'_>>,
    trailer: Option<Trailer>,
    metadata: HashMap<String, String>,
    put: Put<'_>,
) -> Result<()> {
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let mut end = 0;
    let infos = tensors.iter().map(|tensor| {
        let start = end;
        end += tensor.shape.iter().product::<usize>() * size_of::<f32>();
        let info = TensorInfo {
            dtype: Dtype::F32,
            shape: tensor.shape.to_vec(),
            data_offsets: (start, end),
        };
        (tensor.name.clone(), info)
    });
    let mut infos: Vec<(String, TensorInfo)> = infos.collect();
    infos.extend(trailer.map(|trailer| {
        let info = TensorInfo {
            dtype: trailer.dtype,
            shape: vec![trailer.bytes * 8 / trailer.dtype.bitsize()],
            data_offsets: (end, end + trailer.bytes),
        };
        (trailer.name.to_string(), info)
    }));
    put(&header(infos, metadata))?;
    for tensor in tensors {
        let values = crate::device::read(tensor.values.float()).await?;
        if cfg!(target_endian = "little") {
            put(bytemuck::cast_slice(&values))?;
        } else {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes());
            put(&bytes.collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

/// Returns the bytes of the file that [`write`] writes.
///
/// # Errors
///
/// [`Error::Device`] if the device fails.
pub(crate) async fn to_bytes(
    tensors: Vec<NamedTensor<'_>>,
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    write(tensors, metadata, &mut |part| {
        bytes.extend_from_slice(part);
        Ok(())
    })
    .await?;
    Ok(bytes)
}

/// The metadata that Python's `transformers` requires in a weights file.
pub(crate) fn pytorch_metadata() -> HashMap<String, String> {
    [("format".to_string(), "pt".to_string())].into()
}
