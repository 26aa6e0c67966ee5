//! Adapter folders: their files, and the base model that they name.

#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;

use serde_json::{Map, Value};

#[cfg(not(target_arch = "wasm32"))]
use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::model::file_bytes::FileBytes;

/// File name of an adapter's configuration.
pub const CONFIG: &str = "adapter_config.json";
/// File name of an adapter's parameters.
pub const WEIGHTS: &str = "adapter_model.safetensors";

/// File name of parameters as a Python pickle.
#[cfg(not(target_arch = "wasm32"))]
const PICKLE: &str = "adapter_model.bin";
/// File names of the parameters of mlx-lm's adapters.
#[cfg(not(target_arch = "wasm32"))]
const MLX_WEIGHTS: [&str; 2] = ["adapters.safetensors", "adapters.npz"];

/// What to do with an adapter of mlx-lm.
pub(super) const OF_MLX: &str = "this adapter is in the format of mlx-lm, not of PEFT: fuse it into its model \
    with mlx_lm.fuse --model MODEL --adapter-path ADAPTER --save-path FUSED, and use the fused model";

/// Returns whether a configuration was written by mlx-lm.
pub(super) fn is_of_mlx(fields: &Map<String, Value>) -> bool {
    let has = |name: &str| fields.contains_key(name);
    !has("peft_type") && (has("fine_tune_type") || has("lora_parameters") || has("adapter_path"))
}

/// The files of an adapter folder.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) struct AdapterFiles {
    /// `adapter_config.json`.
    pub config: FileBytes,
    /// `adapter_model.safetensors`.
    pub values: FileBytes,
}

#[cfg(not(target_arch = "wasm32"))]
impl AdapterFiles {
    /// Reads the files of a folder.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if one cannot be read, and [`Error::Adapter`] for adapters in other formats.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let has = |name: &str| folder.join(name).exists();
        let fault = |name: &str, message: String| {
            Err(Error::Adapter {
                path: folder.join(name),
                message,
            })
        };
        if !has(WEIGHTS) {
            if let Some(name) = MLX_WEIGHTS.into_iter().find(|name| has(name)) {
                return fault(name, OF_MLX.to_string());
            }
            if has(PICKLE) {
                return fault(
                    PICKLE,
                    format!(
                        "is a Python pickle, which can run any code and is never read: convert it with \
                         safetensors.torch.save_file(torch.load(\"{PICKLE}\", weights_only=True), \"{WEIGHTS}\")"
                    ),
                );
            }
        }
        if !has(CONFIG) && has("config.json") {
            let message =
                format!("this is a model folder without {CONFIG}: expected an adapter folder");
            return fault("config.json", message);
        }
        Ok(Self {
            config: FileBytes::read(&folder.join(CONFIG))?,
            values: FileBytes::map(&folder.join(WEIGHTS))?,
        })
    }
}

/// The base model that an adapter names.
#[cfg(feature = "cli")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BaseModel {
    /// Path of a folder, or name on the Hub.
    pub name: String,
    /// Branch, tag or commit of a model on the Hub.
    pub revision: Option<String>,
}

#[cfg(feature = "cli")]
impl BaseModel {
    /// Reads the base model from the configuration in an adapter folder; `None` if it names none.
    ///
    /// # Errors
    ///
    /// As [`AdapterFiles::read`], and [`Error::Parse`] for invalid JSON.
    pub(crate) fn of(folder: &Path) -> Result<Option<Self>> {
        let files = AdapterFiles::read(folder)?;
        Self::in_config(&files.config, &folder.join(CONFIG))
    }

    /// Reads the base model from the bytes of `adapter_config.json`; `path` is for messages.
    fn in_config(config: &[u8], path: &Path) -> Result<Option<Self>> {
        let fields: Map<String, Value> =
            serde_json::from_slice(config).map_err(Error::parse(path, "a JSON object"))?;
        let text = |name: &str| {
            let text = fields.get(name).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(str::to_string)
        };
        Ok(text("base_model_name_or_path").map(|name| Self {
            name,
            revision: text("revision"),
        }))
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Returns the error of an adapter folder with these files.
    fn error(files: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let read = AdapterFiles::read(folder.path());
        read.err().unwrap().to_string()
    }

    #[test]
    fn adapters_in_other_formats_are_refused_with_what_to_do() {
        let message = error(&[(CONFIG, "{}"), (PICKLE, "")]);
        assert!(
            message.contains("adapter_model.bin: is a Python pickle"),
            "{message}"
        );
        assert!(
            message.contains("safetensors.torch.save_file("),
            "{message}"
        );
        let message = error(&[(CONFIG, "{}"), (MLX_WEIGHTS[0], "")]);
        assert!(message.contains("mlx_lm.fuse --model MODEL"), "{message}");
        let message = error(&[("config.json", "{}"), (WEIGHTS, "")]);
        assert!(
            message.contains("a model folder without adapter_config.json"),
            "{message}"
        );
        assert!(error(&[]).contains(CONFIG));
    }

    #[cfg(feature = "cli")]
    #[test]
    fn the_base_model_is_read_from_the_configuration() {
        let base = |config: &str| BaseModel::in_config(config.as_bytes(), Path::new(CONFIG));
        let named = |name: &str, revision: Option<&str>| BaseModel {
            name: name.to_string(),
            revision: revision.map(str::to_string),
        };
        let config = r#"{"base_model_name_or_path": "a/b", "revision": "v1"}"#;
        assert_eq!(base(config).unwrap(), Some(named("a/b", Some("v1"))));
        let config = r#"{"base_model_name_or_path": "folder", "revision": null}"#;
        assert_eq!(base(config).unwrap(), Some(named("folder", None)));
        for config in [
            "{}",
            r#"{"base_model_name_or_path": ""}"#,
            r#"{"base_model_name_or_path": null}"#,
        ] {
            assert_eq!(base(config).unwrap(), None);
        }
        assert!(base("[]").is_err());
    }
}
