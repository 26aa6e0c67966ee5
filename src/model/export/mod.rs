//! Exports models and adapters as GGUF files, which llama.cpp and programs built on it run.
//!
//! Metadata and names are those of llama.cpp's own converter (`convert_hf_to_gguf.py`).

#[cfg(feature = "cli")]
mod adapter;
mod checks;
mod metadata;
pub(crate) mod modelfile;
mod provenance;
mod rope;
mod tensors;
mod tokens;

#[cfg(feature = "cli")]
use std::collections::BTreeMap;

use super::causal_lm::CausalLm;
use super::names::Family;
use crate::error::{Error, Result};
use crate::gguf::architectures::ARCHITECTURES;
use crate::gguf::names::Architecture;
use crate::gguf::write::{GgufWriter, MetadataList, Put};
use crate::quantization::WeightType;

pub(crate) use provenance::Provenance;

/// What is particular about an exported file, for the user.
pub(crate) type Notes = Vec<String>;

impl CausalLm {
    /// Writes the model as a GGUF file, with weights of a type. At most one tensor at a time is in host
    /// memory. Returns notes about the file.
    ///
    /// # Errors
    ///
    /// [`Error::UnsupportedArchitecture`] for a family that llama.cpp does not have, [`Error::Config`] for a
    /// computation and [`Error::Tokenizer`] for a tokenizer that it does not have,
    /// [`Error::InvalidSetting`] for a value beyond the range of the type, [`Error::Device`], and the errors
    /// of `put`.
    pub(crate) async fn write_gguf(
        &self,
        kind: WeightType,
        provenance: &Provenance,
        put: Put<'_>,
    ) -> Result<Notes> {
        let architecture = architecture(self.config().decoder.family)?;
        let mut notes = Notes::new();
        checks::check(self, architecture, &mut notes)?;
        let mut list = MetadataList::default();
        list.add("general.architecture", architecture.gguf);
        list.add("general.type", "model");
        provenance.add(&mut list, Some(self.parameter_count()));
        let factors = metadata::add(self, architecture, &mut list)?;
        tokens::add(self, architecture, &mut list, &mut notes)?;
        list.add("general.quantization_version", QUANTIZATION_VERSION);
        list.add("general.file_type", file_type(kind));
        let plan = tensors::plan(self, architecture, kind, factors, &mut notes)?;
        let entries = plan.iter().flat_map(tensors::Planned::entries);
        let entries: Vec<_> = entries.cloned().collect();
        let mut writer = GgufWriter::begin(&list, &entries, put)?;
        for planned in &plan {
            planned.write(self, &mut writer).await?;
        }
        Ok(notes)
    }

    /// Returns the type of an exported model that keeps the weights as they are: the one that most of them
    /// have in the model's files, or float16 for blocks that are not written.
    ///
    /// # Errors
    ///
    /// [`Error::Parse`] for a damaged weights file.
    #[cfg(feature = "cli")]
    pub(crate) fn export_type(&self) -> Result<WeightType> {
        let specs = self.decoder().parameters().iter();
        let mut elements: BTreeMap<u32, usize> = BTreeMap::new();
        for (kind, spec) in self.stored_types()?.into_iter().zip(specs) {
            if let Some(kind) = kind {
                *elements.entry(kind.ggml()).or_default() += spec.elements();
            }
        }
        let most = elements.into_iter().max_by_key(|(_, count)| *count);
        let kind = most.and_then(|(number, _)| WeightType::from_ggml(number));
        Ok(kind
            .filter(|kind| kind.is_written())
            .unwrap_or(WeightType::Float16))
    }
}

/// Version of the quantized formats (`GGML_QNT_VERSION`).
const QUANTIZATION_VERSION: u32 = 2;

/// Returns llama.cpp's number of a file mostly of a type (`llama_ftype`).
fn file_type(kind: WeightType) -> u32 {
    match kind {
        WeightType::Float16 => 1,
        WeightType::Q4_0 => 2,
        WeightType::Q8_0 => 7,
        WeightType::Bfloat16 => 32,
        _ => 0,
    }
}

/// Returns the architecture of a family.
fn architecture(family: Family) -> Result<&'static Architecture> {
    let name = match family.name {
        "Llama" | "Mistral" => "llama",
        "Qwen2" => "qwen2",
        "Qwen3" => "qwen3",
        "Gemma 2" => "gemma2",
        "Gemma 3" => "gemma3",
        "Gemma 4" => "gemma4",
        "GPT-2" => "gpt2",
        "Phi" => "phi2",
        "OpenELM" => "openelm",
        "SmolLM3" => "smollm3",
        "Granite" => "granite",
        "Phi-3" => "phi3",
        "OLMo 2" | "OLMo 3" => "olmo2",
        "ERNIE 4.5" => "ernie4_5",
        "Hunyuan" => "hunyuan-dense",
        "GPT-NeoX" => "gptneox",
        "LFM2" => "lfm2",
        "Qwen3.5" => "qwen35",
        _ => "",
    };
    Architecture::of_gguf(name).ok_or_else(|| {
        let names = ARCHITECTURES.iter().flat_map(|known| known.hugging_face);
        Error::UnsupportedArchitecture {
            found: format!("{family} in llama.cpp"),
            supported: names.copied().collect::<Vec<_>>().join(", "),
        }
    })
}
