//! The head of a model whose configuration ties it to the embedding: the files may hold another one, or only
//! the head.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

use super::config::DecoderConfig;
use super::stored::StoredTensor;
use super::weights;
use crate::error::Result;

/// What the files hold of a tied embedding and head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TiedHead {
    /// The embedding, and maybe the same values as a head.
    Embedding,
    /// The head alone.
    HeadAlone,
    /// Two different tensors.
    Different,
}

impl TiedHead {
    /// Compares the tensors of the files as `transformers` does: by their values.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Parse`] for a damaged file.
    pub(super) fn find(files: &[(PathBuf, &[u8])], config: &DecoderConfig) -> Result<Self> {
        let names = config.family.tensors;
        let opened = files.iter().map(|(path, bytes)| weights::open(bytes, path));
        let opened: Vec<SafeTensors<'_>> = opened.collect::<Result<_>>()?;
        let find = |name: &str| {
            let candidates = names.in_files(&format!("{name}.weight"));
            let paths = files.iter().map(|(path, _)| &**path);
            let mut files = opened.iter().zip(paths);
            files.find_map(|(file, path)| {
                let mut views = candidates.iter().map(|name| file.tensor(name));
                Some((views.find_map(std::result::Result::ok)?, path))
            })
        };
        Ok(match (find(names.embedding), find(names.head)) {
            (None, Some(_)) => Self::HeadAlone,
            (Some((embedding, first)), Some((head, second)))
                if !equal((&embedding, first), (&head, second))? =>
            {
                Self::Different
            }
            _ => Self::Embedding,
        })
    }
}

type Found<'a, 'b> = (&'a safetensors::tensor::TensorView<'b>, &'a Path);

/// Returns whether two tensors have the same values, in any two types.
fn equal((a, of_a): Found<'_, '_>, (b, of_b): Found<'_, '_>) -> Result<bool> {
    if a.shape() != b.shape() {
        return Ok(false);
    }
    if a.dtype() == b.dtype() {
        return Ok(a.data() == b.data());
    }
    let values = |view, path| {
        StoredTensor::of_view(view, "lm_head.weight", path).map(|tensor| tensor.values())
    };
    Ok(values(a, of_a)? == values(b, of_b)?)
}
