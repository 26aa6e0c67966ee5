//! Reading and writing `model.safetensors`, whole or in parts.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use half::{bf16, f16};
use safetensors::tensor::{Metadata, TensorInfo, TensorView};
use safetensors::{Dtype, SafeTensors};

use super::parameters::{ParameterSpec, Parameters};
use crate::error::{Error, Result};

/// What files of weights may do with names.
pub struct Naming<'a> {
    /// What they may leave out before every name; empty for nothing.
    pub prefix: &'a str,
    /// Which tensors they may hold beside the parameters.
    pub may_ignore: &'a dyn Fn(&str) -> bool,
}

impl Naming<'_> {
    /// Every name in full, and nothing else.
    pub const EXACT: Self = Self {
        prefix: "",
        may_ignore: &|_| false,
    };

    /// The name by which the files have a parameter, of which `has` tells what they have.
    fn in_files<'a>(&self, name: &'a str, has: impl Fn(&str) -> bool) -> &'a str {
        match name.strip_prefix(self.prefix) {
            Some(short) if !has(name) && has(short) => short,
            _ => name,
        }
    }
}

/// The parameters of that description in the bytes of safetensors files, as float32 on a device.
///
/// `naming` says how the files may call them, and what they may hold beside them.
///
/// # Errors
///
/// Errors for a damaged file, and for tensors that are missing, extra, there twice, of another shape
/// or type, or not finite, each by name. Paths are for messages; `path` is that of the whole.
pub fn read_parameters(
    files: &[(PathBuf, &[u8])],
    path: &Path,
    specs: &[ParameterSpec],
    naming: &Naming<'_>,
    device: &burn::tensor::Device,
) -> Result<Parameters> {
    let opened = files.iter().map(|(path, bytes)| open(bytes, path));
    let opened: Vec<SafeTensors<'_>> = opened.collect::<Result<_>>()?;
    let mut tensors: HashMap<&str, (&Path, TensorView<'_>)> = HashMap::new();
    for ((path, _), file) in files.iter().zip(&opened) {
        for (name, view) in file.iter() {
            if let Some((other, _)) = tensors.insert(name, (path, view)) {
                let other = other.display();
                return Err(Error::Weights {
                    path: path.clone(),
                    message: format!("tensor {name} is in {other} too: download the model again"),
                });
            }
        }
    }
    let names = specs
        .iter()
        .map(|spec| naming.in_files(&spec.name, |name| tensors.contains_key(name)));
    let names: Vec<&str> = names.collect();
    let known: HashSet<&str> = names.iter().copied().collect();
    let missing: Vec<String> = names
        .iter()
        .filter(|name| !tensors.contains_key(*name))
        .map(ToString::to_string)
        .collect();
    if !missing.is_empty() {
        return Err(Error::MissingTensors {
            path: path.to_path_buf(),
            names: missing,
        });
    }
    let mut extra: Vec<String> = tensors
        .keys()
        .filter(|name| !known.contains(*name) && !(naming.may_ignore)(name))
        .map(ToString::to_string)
        .collect();
    if !extra.is_empty() {
        extra.sort();
        return Err(Error::UnexpectedTensors {
            path: path.to_path_buf(),
            names: extra,
        });
    }
    specs
        .iter()
        .zip(names)
        .map(|(spec, name)| {
            let (path, view) = &tensors[name];
            let values = read_tensor(view, spec, path)?;
            Ok(Tensor::from_data(
                TensorData::new(values, spec.matrix_shape()),
                device,
            ))
        })
        .collect()
}

/// The tensors in the bytes of a safetensors file; `path` is for messages.
///
/// # Errors
///
/// [`Error::Weights`] for a damaged file.
pub fn open<'a>(bytes: &'a [u8], path: &Path) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(|error| Error::Weights {
        path: path.to_path_buf(),
        message: format!("not a whole safetensors file: {error}; download or export it again"),
    })
}

fn read_tensor(view: &TensorView<'_>, spec: &ParameterSpec, path: &Path) -> Result<Vec<f32>> {
    if view.shape() != spec.shape {
        return Err(Error::TensorShape {
            path: path.to_path_buf(),
            name: spec.name.clone(),
            expected: spec.shape.clone(),
            found: view.shape().to_vec(),
        });
    }
    let bytes = view.data();
    let pairs = || bytes.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => bytes
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
            .collect(),
        Dtype::F16 => pairs()
            .map(|pair| f16::from_le_bytes(pair).to_f32())
            .collect(),
        Dtype::BF16 => pairs()
            .map(|pair| bf16::from_le_bytes(pair).to_f32())
            .collect(),
        other => {
            return Err(Error::TensorType {
                path: path.to_path_buf(),
                name: spec.name.clone(),
                found: format!("{other:?}"),
            });
        }
    };
    if let Some((index, &value)) = values
        .iter()
        .enumerate()
        .find(|(_, value)| !value.is_finite())
    {
        return Err(Error::NonFiniteWeight {
            path: path.to_path_buf(),
            name: spec.name.clone(),
            index,
            value,
        });
    }
    Ok(values)
}

/// A tensor to write, which is still on its device.
#[derive(Debug)]
pub struct NamedTensor<'a> {
    /// Its name in the file.
    pub name: String,
    /// Its shape in the file.
    pub shape: &'a [usize],
    /// Its values.
    pub values: &'a Tensor<2>,
}

impl<'a> NamedTensor<'a> {
    /// Values by the specs of what they are.
    pub fn list(specs: &'a [ParameterSpec], values: &'a [Tensor<2>]) -> Vec<Self> {
        let tensors = specs.iter().zip(values);
        let named = tensors.map(|(spec, values)| Self {
            name: spec.name.clone(),
            shape: &spec.shape,
            values,
        });
        named.collect()
    }
}

/// Where bytes go, piece by piece.
pub type Put<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// The beginning of a safetensors file of tensors that follow one after the other, each by its name.
///
/// # Panics
///
/// If they do not.
pub fn header(tensors: Vec<(String, TensorInfo)>, metadata: HashMap<String, String>) -> Vec<u8> {
    /// What follows the header begins at a multiple of this.
    const ALIGNMENT: usize = 8;
    let metadata = Some(metadata).filter(|metadata| !metadata.is_empty());
    let header = Metadata::new(metadata, tensors)
        .expect("tensors of their own shapes, one after the other, make a file");
    let mut json =
        serde_json::to_vec(&header).expect("names, shapes and offsets can always be written");
    json.resize(json.len().next_multiple_of(ALIGNMENT), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.append(&mut json);
    header
}

/// Writes a safetensors file of float32 tensors with such metadata, one tensor after the other: no more
/// than one of them is held beside those on the device. Python's libraries want `format` = `pt` in the
/// metadata to read it as a model.
///
/// # Errors
///
/// [`Error::Device`] if the device fails, and the errors of `put`.
pub async fn write(
    mut tensors: Vec<NamedTensor<'_>>,
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
    put(&header(infos.collect(), metadata))?;
    for tensor in tensors {
        let values = crate::device::read(tensor.values.clone()).await?;
        if cfg!(target_endian = "little") {
            put(bytemuck::cast_slice(&values))?;
        } else {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes());
            put(&bytes.collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

/// The same as bytes.
///
/// # Errors
///
/// [`Error::Device`] if the device fails.
pub async fn to_bytes(
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

/// What Python's libraries want to see in a file of weights.
pub fn pytorch_metadata() -> HashMap<String, String> {
    [("format".to_string(), "pt".to_string())].into()
}
