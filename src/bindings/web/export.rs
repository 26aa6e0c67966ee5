//! Finished models in other formats, for JavaScript: GGUF files with their `Modelfile`.

use js_sys::{Array, Uint8Array};
use serde::{Deserialize, Serialize};
use tsify::{Ts, Tsify};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::model::Model;
use super::{Thrown, not_as_declared, thrown};
use crate::model::export::Provenance;
use crate::model::export::modelfile::modelfile;
use crate::quantization::WeightType;

/// A type of exported weights, by llama.cpp's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
pub enum GgufType {
    /// 16-bit floats.
    #[serde(rename = "f16")]
    Float16,
    /// Blocks of 8-bit integers: 8.5 bits per weight.
    #[serde(rename = "q8_0")]
    Q8_0,
}

impl From<GgufType> for WeightType {
    fn from(kind: GgufType) -> Self {
        match kind {
            GgufType::Float16 => Self::Float16,
            GgufType::Q8_0 => Self::Q8_0,
        }
    }
}

/// Where an exported model comes from, as its metadata says.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
pub struct ModelOrigin {
    /// Name of the model.
    name: String,
    /// Name of the model that it was trained from.
    base: String,
    /// Origin of its training data.
    data: String,
    /// Training method, such as `mft`.
    method: String,
}

/// A file in GGUF that was written.
#[wasm_bindgen]
#[derive(Debug)]
pub struct GgufFile {
    parts: Array,
    notes: Vec<String>,
}

#[wasm_bindgen]
impl GgufFile {
    /// Returns the bytes of the file, in order.
    #[wasm_bindgen(getter, unchecked_return_type = "Uint8Array<ArrayBuffer>[]")]
    pub fn parts(&self) -> Array {
        self.parts.clone()
    }

    /// Returns notes about the file, for the user.
    #[wasm_bindgen(getter)]
    pub fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

#[wasm_bindgen]
impl Model {
    /// Writes the model as a GGUF file, with its adapter merged.
    #[wasm_bindgen(js_name = toGguf)]
    pub async fn to_gguf(&self, kind: Ts<GgufType>, origin: Ts<ModelOrigin>) -> Thrown<GgufFile> {
        let kind: GgufType = kind.to_rust().map_err(not_as_declared)?;
        let origin: ModelOrigin = origin.to_rust().map_err(not_as_declared)?;
        let provenance = Provenance {
            name: origin.name,
            license: None,
            base: Some(origin.base),
            data: Some(origin.data),
            method: Some(origin.method),
        };
        let model = self.model.try_merged().map_err(thrown)?;
        let parts = Array::new();
        // Copied out of WebAssembly's memory part by part: a whole file may not fit there beside the model.
        let mut put = |part: &[u8]| {
            parts.push(&JsValue::from(Uint8Array::from(part)));
            Ok(())
        };
        let notes = model.write_gguf(kind.into(), &provenance, &mut put).await;
        Ok(GgufFile {
            notes: notes.map_err(thrown)?,
            parts,
        })
    }

    /// Returns the `Modelfile` with which Ollama imports the model from the GGUF file `file` in the same folder.
    pub fn modelfile(&self, file: &str) -> Thrown<String> {
        modelfile(self.model.reader(), file).map_err(thrown)
    }
}
