//! Recognizes weights in formats that are not read, and says what to do about them.

use super::file_names::{INDEX, WEIGHTS, WEIGHTS_ENDING};

/// A file with weights in a format that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OtherWeights<'a> {
    /// Name of the file.
    pub file: &'a str,
    format: Format,
}

/// A format of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Adapter,
    Gguf,
    Pickle,
    TensorFlow,
    Flax,
    Onnx,
    Numpy,
    OtherName,
}

/// How the names of files end, in the order in which they count.
const ENDINGS: [(&str, Format); 13] = [
    ("adapter_config.json", Format::Adapter),
    (".bin", Format::Pickle),
    (".bin.index.json", Format::Pickle),
    (".pt", Format::Pickle),
    (".pth", Format::Pickle),
    (".gguf", Format::Gguf),
    (".npz", Format::Numpy),
    (".h5", Format::TensorFlow),
    (".msgpack", Format::Flax),
    (".msgpack.index.json", Format::Flax),
    (".onnx", Format::Onnx),
    (".onnx_data", Format::Onnx),
    (WEIGHTS_ENDING, Format::OtherName),
];

impl<'a> OtherWeights<'a> {
    /// Finds them among the names of a folder's files, if it has no others.
    pub(crate) fn find(names: impl Iterator<Item = &'a str> + Clone) -> Option<Self> {
        if names.clone().any(|name| name == WEIGHTS || name == INDEX) {
            return None;
        }
        ENDINGS.iter().find_map(|&(ending, format)| {
            let mut names = names.clone();
            let file = names.find(|name| name.to_ascii_lowercase().ends_with(ending))?;
            Some(Self { file, format })
        })
    }

    /// Returns whether Python's `transformers` converts them.
    #[cfg(feature = "hub")]
    pub(crate) fn is_pickle(&self) -> bool {
        self.format == Format::Pickle
    }

    /// Returns what they are and what to do; `source` is the folder or name that `transformers` loads them
    /// from.
    pub(crate) fn advice(&self, source: &str) -> String {
        let instead = "use the Hugging Face folder of the model";
        match self.format {
            Format::Adapter => {
                "an adapter, not a model: load its base model, and this folder as its adapter"
                    .to_string()
            }
            Format::Gguf => {
                "weights in GGUF: download one of these files, and load it by its path".to_string()
            }
            Format::Pickle => format!(
                "weights in a pickle, which can run any code and is never read: convert it once, with \
                 transformers, and use the new folder: {}",
                conversion(source)
            ),
            Format::TensorFlow => {
                format!("weights of TensorFlow, which are unsupported: {instead}")
            }
            Format::Flax => format!("weights of Flax, which are unsupported: {instead}"),
            Format::Onnx => {
                format!("an ONNX export, which is for inference: {instead} that it was made from")
            }
            Format::Numpy => format!(
                "weights in NumPy's format, as of an early MLX conversion: {instead} that it was made from"
            ),
            Format::OtherName => format!(
                "weights under another name: expected {WEIGHTS}, or {INDEX} and the files that it lists"
            ),
        }
    }
}

/// Returns the command that saves a model with its tokenizer as a folder that minift reads.
fn conversion(source: &str) -> String {
    format!(
        "python -c 'from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; \
         [c.from_pretrained({source:?}).save_pretrained(\"converted\") for c in (M, T)]'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_recognized_by_the_names_of_files() {
        for (names, file, part) in [
            (
                &["config.json", "pytorch_model.bin"][..],
                "pytorch_model.bin",
                "pickle",
            ),
            (
                &["pytorch_model.bin.index.json"],
                "pytorch_model.bin.index.json",
                "M, T",
            ),
            (
                &["a.safetensors", "consolidated.00.pth"],
                "consolidated.00.pth",
                "never read",
            ),
            (
                &["Model.Q4_K_M.GGUF", "README.md"],
                "Model.Q4_K_M.GGUF",
                "by its path",
            ),
            (
                &["tf_model.h5", "flax_model.msgpack"],
                "tf_model.h5",
                "TensorFlow",
            ),
            (&["flax_model.msgpack"], "flax_model.msgpack", "Flax"),
            (
                &["decoder_model.onnx", "decoder_model.onnx_data"],
                "decoder_model.onnx",
                "ONNX",
            ),
            (&["weights.npz"], "weights.npz", "MLX"),
            (
                &["consolidated.safetensors"],
                "consolidated.safetensors",
                "model.safetensors",
            ),
            (
                &["adapter_model.bin", "adapter_config.json"],
                "adapter_config.json",
                "base model",
            ),
        ] {
            let found = OtherWeights::find(names.iter().copied()).unwrap();
            let advice = found.advice("models/a");
            assert!(
                found.file == file && advice.contains(part),
                "{names:?}: {advice}"
            );
        }
        let others = [
            &["config.json", "LICENSE"][..],
            &["model.safetensors", "model.gguf"],
        ];
        for names in others {
            assert_eq!(OtherWeights::find(names.iter().copied()), None);
        }
    }
}
