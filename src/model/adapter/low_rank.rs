//! The layers of a LoRA adapter, for other formats than PEFT's.

use burn::tensor::Tensor;

use super::Adapter;
use super::layout::Role;
use super::settings::AdapterSettings;

/// A layer of a LoRA adapter: weight + scale · B · A.
#[derive(Debug)]
pub(crate) struct LowRankLayer<'a> {
    /// Name of the adapted weight in the model's file.
    pub weight: String,
    /// A \[rank, in\].
    pub a: &'a Tensor<2>,
    /// B \[out, rank\].
    pub b: &'a Tensor<2>,
    /// Factor of the update.
    pub scale: f64,
}

impl Adapter {
    /// Returns α and the layers of an adapter that consists of low-rank updates of linear layers.
    ///
    /// # Errors
    ///
    /// What else the adapter has.
    pub(crate) fn low_rank(&self) -> Result<(f64, Vec<LowRankLayer<'_>>), String> {
        let AdapterSettings::Lora(lora) = self.settings() else {
            return Err("IA³ factors".to_string());
        };
        if self.saved.as_ref().is_some_and(|saved| saved.replaces()) {
            return Err("weights that replace some of its base model".to_string());
        }
        let layers = self.layout.layers.iter().map(|layer| {
            let fault = |what: &str| Err(format!("{what} ({})", layer.module));
            match layer.role {
                Role::LowRank {
                    magnitude: Some(_), ..
                } => fault("magnitudes of DoRA"),
                Role::LowRank { bias: Some(_), .. } => fault("biases"),
                _ if layer.is_embedding => fault("an update of an embedding"),
                Role::LowRank { a, b, scale, .. } => Ok(LowRankLayer {
                    weight: format!("{}.weight", layer.module),
                    a: &self.values[a],
                    b: &self.values[b],
                    scale,
                }),
                Role::ScaleInput(_) | Role::ScaleOutput(_) => fault("IA³ factors"),
            }
        });
        Ok((lora.alpha, layers.collect::<Result<_, _>>()?))
    }
}
