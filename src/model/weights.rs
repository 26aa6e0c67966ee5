//! Reading and writing `model.safetensors`, whole or in parts.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use half::{bf16, f16};
use safetensors::tensor::TensorView;
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

/// A tensor's name, shape and float32 values, ready to be written.
pub type NamedTensor = (String, Vec<usize>, Vec<f32>);

/// The values of parameters, brought to the host.
///
/// # Errors
///
/// [`Error::Device`] if the device fails.
pub async fn download(
    specs: &[ParameterSpec],
    parameters: &[Tensor<2>],
) -> Result<Vec<NamedTensor>> {
    let mut tensors = Vec::with_capacity(specs.len());
    for (spec, parameter) in specs.iter().zip(parameters) {
        let values = crate::device::read(parameter.clone()).await?;
        tensors.push((spec.name.clone(), spec.shape.clone(), values));
    }
    Ok(tensors)
}

/// The bytes of a safetensors file of float32 tensors with such metadata. Python's libraries want
/// `format` = `pt` there to read it as a model.
pub fn serialize(tensors: &[NamedTensor], metadata: HashMap<String, String>) -> Vec<u8> {
    let views = tensors
        .iter()
        .map(|(name, shape, values)| (name.as_str(), Floats { shape, values }));
    safetensors::serialize(views, Some(metadata))
        .expect("float32 tensors of their own shapes can always be written")
}

/// A float32 tensor as the safetensors crate takes it.
struct Floats<'a> {
    shape: &'a [usize],
    values: &'a [f32],
}

impl safetensors::View for Floats<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        if cfg!(target_endian = "little") {
            bytemuck::cast_slice(self.values).into()
        } else {
            self.values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect::<Vec<_>>()
                .into()
        }
    }

    fn data_len(&self) -> usize {
        size_of_val(self.values)
    }
}
