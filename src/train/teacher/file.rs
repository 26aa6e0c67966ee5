//! Teacher hidden states in a file, for reuse by later runs: a safetensors file with a tensor
//! \[inputs, hidden size\] per sample, named by its index, and a checksum. A folder holds any number of
//! these files.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorInfo;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use super::KeptStates;
use crate::device::ranks::Ranks;
use crate::error::{Error, Result};
use crate::files::FileWriter;
use crate::model::{CausalLm, FileBytes, weights};
use crate::text::Sample;

/// Version of the layout, part of the hash in the file name.
const LAYOUT: &str = "minift teacher states 1";
/// The last tensor, of one U32: the CRC-32 of the other tensors.
const CHECKSUM: &str = "crc32";

impl KeptStates {
    fn dtype(self) -> Dtype {
        match self {
            Self::Float32 => Dtype::F32,
            Self::Float16 => Dtype::F16,
        }
    }
}

/// Returns the name of the hidden states of a model on these samples: a hash of everything they depend on, which is
/// the model's configuration and weights, the tokens and the segment bounds.
pub(super) fn name_of(model: &CausalLm, samples: &[Sample], kept: KeptStates) -> String {
    let mut hash = Sha256::new();
    put(&mut hash, LAYOUT.as_bytes());
    put(&mut hash, &[kept.bytes() as u8]);
    put(&mut hash, model.config_bytes());
    for file in model.weight_files() {
        hash.update((file.len() as u64).to_le_bytes());
        file.parts().for_each(|part| hash.update(part));
    }
    if let Some(converted) = model.converted() {
        put(&mut hash, converted.name().as_bytes());
    }
    for sample in samples {
        let numbers = sample.tokens().iter().flat_map(|token| token.to_le_bytes());
        put(&mut hash, &numbers.collect::<Vec<u8>>());
        let bounds = sample.segment_starts().iter();
        let bounds = bounds.flat_map(|&beginning| (beginning as u64).to_le_bytes());
        put(&mut hash, &bounds.collect::<Vec<u8>>());
    }
    let mut name = String::new();
    for byte in &hash.finalize()[..16] {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// Returns the file name of the hidden states that a rank has cached.
pub(super) fn of_rank(name: &str, ranks: &Ranks) -> String {
    match ranks.count() {
        1 => format!("{name}.safetensors"),
        count => format!("{name}.{}-of-{count}.safetensors", ranks.rank() + 1),
    }
}

/// Lists the files of hidden states of this name, of any number of ranks.
///
/// # Errors
///
/// [`Error::Io`] if the folder cannot be read.
pub(super) fn paths_in(folder: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    if !folder.exists() {
        return Ok(paths);
    }
    for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?.file_name();
        let found = entry.to_string_lossy();
        let rest = found
            .strip_prefix(name)
            .and_then(|rest| rest.strip_suffix(".safetensors"));
        if rest.is_some_and(|rest| rest.is_empty() || rest.contains("-of-")) {
            paths.push(folder.join(entry));
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Adds bytes to a hash, after their number.
fn put(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// An open file of hidden states.
#[derive(Debug)]
pub(super) struct StatesFile {
    bytes: FileBytes,
    /// Byte range of the hidden states of each sample.
    ranges: HashMap<usize, Range<usize>>,
}

impl StatesFile {
    /// Opens a file of the hidden states of these samples and verifies its checksum.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read, [`Error::TeacherStates`] if it is damaged or of other samples.
    pub(super) fn open(
        path: &Path,
        samples: &[Sample],
        width: usize,
        kept: KeptStates,
    ) -> Result<Self> {
        let fault = |message: String| Error::TeacherStates {
            path: path.to_path_buf(),
            message,
        };
        let bytes = FileBytes::map(path)?;
        let (header, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|error| fault(error.to_string()))?;
        // The tensors follow the header's length and the header.
        let data = size_of::<u64>() + header;
        let mut tensors = metadata.tensors();
        let (start, end) = match tensors.remove(CHECKSUM) {
            Some(info) if info.dtype == Dtype::U32 => info.data_offsets,
            _ => return Err(fault("missing checksum".to_string())),
        };
        let checksum = crc32fast::hash(&bytes[data..data + start]);
        if bytes[data + start..data + end] != checksum.to_le_bytes() {
            return Err(fault("checksum mismatch".to_string()));
        }
        let mut ranges = HashMap::new();
        for (name, info) in tensors {
            let sample: Option<usize> = name.parse().ok();
            let Some((index, sample)) = sample.and_then(|i| Some((i, samples.get(i)?))) else {
                return Err(fault(format!("tensor {name:?} matches no sample")));
            };
            let expected = [sample.inputs(), width];
            if info.dtype != kept.dtype() || info.shape != expected {
                return Err(fault(format!(
                    "tensor {name:?} is {:?} {:?}, expected {:?} {expected:?}",
                    info.dtype,
                    info.shape,
                    kept.dtype()
                )));
            }
            let (start, end) = info.data_offsets;
            ranges.insert(index, data + start..data + end);
        }
        Ok(Self { bytes, ranges })
    }

    /// Returns the encoded hidden states of a sample.
    pub(super) fn get(&self, sample: usize) -> Option<&[u8]> {
        let range = self.ranges.get(&sample)?;
        Some(&self.bytes[range.clone()])
    }

    /// Returns the indices of the samples in the file.
    pub(super) fn samples(&self) -> impl Iterator<Item = usize> {
        self.ranges.keys().copied()
    }
}

/// Writes a file of hidden states, given the number of inputs of each sample; `bytes_of` returns the encoded
/// hidden states of a sample.
///
/// # Errors
///
/// [`Error::Io`], and the errors of `bytes_of`.
pub(super) async fn write(
    path: &Path,
    inputs: &BTreeMap<usize, usize>,
    width: usize,
    kept: KeptStates,
    mut bytes_of: impl AsyncFnMut(usize) -> Result<Vec<u8>>,
) -> Result<()> {
    let mut end = 0;
    let infos = inputs.iter().map(|(sample, &inputs)| {
        let start = end;
        end += inputs * width * kept.bytes();
        let info = TensorInfo {
            dtype: kept.dtype(),
            shape: vec![inputs, width],
            data_offsets: (start, end),
        };
        (sample.to_string(), info)
    });
    let mut infos: Vec<(String, TensorInfo)> = infos.collect();
    let checksum = TensorInfo {
        dtype: Dtype::U32,
        shape: vec![1],
        data_offsets: (end, end + size_of::<u32>()),
    };
    infos.push((CHECKSUM.to_string(), checksum));
    let header = weights::header(infos, HashMap::new());
    let mut file = FileWriter::new(path)?;
    file.write(&header)?;
    let mut checksum = crc32fast::Hasher::new();
    for &sample in inputs.keys() {
        let bytes = bytes_of(sample).await?;
        checksum.update(&bytes);
        file.write(&bytes)?;
    }
    file.write(&checksum.finalize().to_le_bytes())?;
    file.finish()
}
