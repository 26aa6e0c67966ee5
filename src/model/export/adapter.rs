//! Exports LoRA adapters as GGUF files, which llama.cpp applies to their base model.

use std::path::Path;

use super::tensors::{changed, head_sizes, packed};
use super::{Provenance, architecture, file_type};
use crate::error::{Error, Result};
use crate::gguf::names::{Change, Parameter};
use crate::gguf::value_heads::HeadSizes;
use crate::gguf::write::{GgufWriter, MetadataList, Put, TensorEntry};
use crate::model::CausalLm;
use crate::model::adapter::LowRankLayer;
use crate::quantization::WeightType;

/// A layer of the file.
struct Planned<'a> {
    layer: LowRankLayer<'a>,
    change: Change,
    /// Factor of B.
    factor: f32,
    /// A and B, or two of each, of half the outputs.
    entries: Vec<[TensorEntry; 2]>,
}

impl CausalLm {
    /// Writes the model's LoRA adapter as a GGUF file; `folder` is the adapter's, for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`] for an adapter with more than low-rank updates of tensors that llama.cpp has,
    /// [`Error::UnsupportedArchitecture`], [`Error::InvalidSetting`] without an adapter or for a value beyond
    /// the range of the type, [`Error::Device`], and the errors of `put`.
    pub(crate) async fn write_gguf_adapter(
        &self,
        kind: WeightType,
        provenance: &Provenance,
        folder: &Path,
        put: Put<'_>,
    ) -> Result<()> {
        let Some(adapter) = self.adapter() else {
            return Err(Error::setting(
                "adapter_only",
                true,
                "a model with an adapter",
            ));
        };
        let architecture = architecture(self.config().decoder.family)?;
        let fault = |what: String| Error::Adapter {
            path: folder.to_path_buf(),
            message: format!(
                "a GGUF adapter cannot have {what}: export the merged model, without adapter_only"
            ),
        };
        if self.resizes_vocabulary() {
            return Err(fault("a resized vocabulary".to_string()));
        }
        let (alpha, layers) = adapter.low_rank().map_err(fault)?;
        // llama.cpp takes 0 for a factor of 1.
        let alpha = if alpha == 0.0 { 1.0 } else { alpha };
        let tied = self.without_adapter().config().decoder.tie_word_embeddings;
        let plan = layers.into_iter().map(|layer| {
            let parameter = architecture.parameter(&layer.weight);
            let parameter = parameter.filter(|found| !(tied && found.name.gguf == "output"));
            let parameter = parameter.ok_or_else(|| {
                fault(format!(
                    "an update of {}, which llama.cpp has no tensor for",
                    layer.weight
                ))
            })?;
            Ok(planned(layer, &parameter, alpha, kind))
        });
        let plan: Vec<Planned<'_>> = plan.collect::<Result<_>>()?;

        let mut list = MetadataList::default();
        list.add("general.architecture", architecture.gguf);
        list.add("general.type", "adapter");
        provenance.add(&mut list, None);
        list.add("general.file_type", file_type(kind));
        list.add("adapter.type", "lora");
        list.add("adapter.lora.alpha", alpha as f32);
        let entries = plan.iter().flat_map(|planned| planned.entries.concat());
        let entries: Vec<TensorEntry> = entries.collect();
        let mut writer = GgufWriter::begin(&list, &entries, put)?;
        for planned in &plan {
            planned
                .write(head_sizes(&self.config().decoder), &mut writer)
                .await?;
        }
        Ok(())
    }
}

fn planned<'a>(
    layer: LowRankLayer<'a>,
    parameter: &Parameter,
    alpha: f64,
    kind: WeightType,
) -> Planned<'a> {
    let [rank, inputs] = layer.a.dims();
    let [outputs, _] = layer.b.dims();
    let change = parameter.name.change;
    let name = parameter.gguf_name();
    let names = match change {
        Change::Upper { lower } => vec![name, parameter.gguf_sibling(lower)],
        _ => vec![name],
    };
    let outputs = outputs / names.len();
    let entries = names.into_iter().map(|name| {
        [("a", [rank, inputs]), ("b", [outputs, rank])].map(|(part, shape)| TensorEntry {
            name: format!("{name}.lora_{part}"),
            kind,
            shape: shape.to_vec(),
        })
    });
    Planned {
        change,
        // llama.cpp's factor is α / rank.
        factor: (layer.scale * rank as f64 / alpha) as f32,
        entries: entries.collect(),
        layer,
    }
}

impl Planned<'_> {
    async fn write(&self, heads: HeadSizes, writer: &mut GgufWriter<'_>) -> Result<()> {
        let a = crate::device::read(self.layer.a.clone()).await?;
        let b = crate::device::read(self.layer.b.clone()).await?;
        let b: Vec<f32> = b.into_iter().map(|value| value * self.factor).collect();
        // The matrices of an adapter are never transposed.
        let b = match self.change {
            Change::HeadRows | Change::HeadParts | Change::ValueRows | Change::ValueHeads => {
                changed(b, self.layer.b.dims(), self.change, heads)
            }
            _ => b,
        };
        let a = match self.change {
            Change::ValueColumns => changed(a, self.layer.a.dims(), self.change, heads),
            _ => a,
        };
        let rows = b.chunks_exact(b.len() / self.entries.len());
        for ([of_a, of_b], b) in self.entries.iter().zip(rows) {
            writer.tensor(&packed(of_a, &a)?)?;
            writer.tensor(&packed(of_b, b)?)?;
        }
        Ok(())
    }
}
