//! The dial: the strength of a finetuning, chosen after training.
//!
//! The weights of a trained model are moved back towards those of the model that it was trained from,
//! θ(w) = θ₀ + w (θ − θ₀) with w in \[0, 1\] (WiSE-FT, Wortsman et al., arXiv:2109.01903). One training gives a
//! whole front of gain against forgetting.

use serde::{Deserialize, Serialize};

use super::adapter::{Adapter, Embeddings};
use super::causal_lm::CausalLm;
use super::parameters::ParameterSpec;
use crate::error::{Error, Result};

/// How the strength of a finetuning is spread over its layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[cfg_attr(all(test, feature = "cli"), derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DialProfile {
    /// The same strength everywhere.
    #[default]
    Uniform,
    /// A strength that grows linearly with depth up to 1 in the last layer (LiNeS, Wang et al.,
    /// arXiv:2410.17146): shallow layers, whose features are the most general, are moved back the most.
    ByDepth,
}

impl DialProfile {
    /// Returns the strength of a parameter of a layer, counted from 0, of `layers`, or of one outside all
    /// layers (`None`).
    ///
    /// By depth it is λ(ℓ) = α + β (ℓ − 1) / (L − 1) for ℓ from 1 to L, with α = w and β = 1 − w as for a single
    /// task in the paper, and α outside the layers as in the authors' code.
    pub fn strength(self, weight: f64, layer: Option<usize>, layers: usize) -> f64 {
        match (self, layer) {
            (Self::ByDepth, Some(layer)) if layers > 1 => {
                let depth = layer as f64 / (layers - 1) as f64;
                // Exact at both ends.
                weight * (1.0 - depth) + depth
            }
            _ => weight,
        }
    }

    /// Returns whether a weight of 0 gives the untouched model.
    pub fn ends_untouched(self) -> bool {
        self == Self::Uniform
    }
}

/// A finetuning whose strength is chosen after training.
///
/// A weight of 1 gives the trained model and 0 the untouched one, bit for bit. What lies between them:
///
/// * LoRA: the adapter with its `lora_alpha` times the weight; at 0 with B = 0.
/// * IA³: the adapter with its factors between 1 and the trained ones.
/// * Fully finetuned models, DoRA, whose norm is not linear in its update, and adapters that replace weights:
///   interpolated weights, with adapters merged first.
///
/// Scaled adapters share all weights of the model, which may be quantized. Interpolated weights are float32.
///
/// ```
/// use minift::device::Device;
/// use minift::model::adapter::{AdapterSettings, LoraSettings};
/// use minift::model::{CausalLm, Dial};
///
/// # fn main() -> minift::Result<()> {
/// let model = CausalLm::embedded(&Device::cpu())?;
/// let adapter = AdapterSettings::Lora(LoraSettings::default());
/// let trained = model.with_new_adapter(adapter, 0)?; // and trained
///
/// let dial = Dial::of_training(&model, trained)?;
/// let half = dial.at(0.5)?; // a model: evaluate, generate, save
/// assert!(half.adapter().is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Dial {
    untouched: CausalLm,
    trained: CausalLm,
    profile: DialProfile,
    /// Both models without adapters and with the same parameters, where weights are interpolated.
    aligned: Option<Box<[CausalLm; 2]>>,
}

impl Dial {
    /// Creates the dial of any two models of the same architecture: the one that was trained, and the trained
    /// one. Adapters are merged.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for models with different parameters, and for an adapter that cannot be merged.
    pub fn new(untouched: CausalLm, trained: CausalLm) -> Result<Self> {
        let aligned = aligned(&untouched, &trained)?;
        Ok(Self {
            untouched,
            trained,
            profile: DialProfile::default(),
            aligned: Some(Box::new(aligned)),
        })
    }

    /// Creates the dial of a model's adapter: 0 is the model without it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a model without an adapter, one whose adapter resizes the vocabulary, and
    /// one whose adapter replaces weights and cannot be merged.
    pub fn of_adapter(trained: CausalLm) -> Result<Self> {
        let untouched = trained.without_adapter();
        match trained.adapter() {
            None => {
                let expected = "a model with one";
                Err(Error::setting("adapter", "none", expected))
            }
            Some(adapter) if adapter.is_scalable() => Ok(Self {
                untouched,
                trained,
                profile: DialProfile::default(),
                aligned: None,
            }),
            Some(_) => Self::new(untouched, trained),
        }
    }

    /// Creates the dial of a training of `model`, whose result is `trained`.
    ///
    /// # Errors
    ///
    /// As [`Self::new`] and [`Self::of_adapter`].
    pub fn of_training(model: &CausalLm, trained: CausalLm) -> Result<Self> {
        match (model.adapter(), trained.adapter()) {
            (None, Some(_)) => Self::of_adapter(trained),
            _ => Self::new(model.clone(), trained),
        }
    }

    /// Returns the dial with another profile.
    #[must_use]
    pub fn with_profile(self, profile: DialProfile) -> Self {
        Self { profile, ..self }
    }

    /// Returns how the strength is spread over the layers.
    pub fn profile(&self) -> DialProfile {
        self.profile
    }

    /// Returns the model before training.
    pub fn untouched(&self) -> &CausalLm {
        &self.untouched
    }

    /// Returns the trained model.
    pub fn trained(&self) -> &CausalLm {
        &self.trained
    }

    /// Returns the model at a strength from 0, untouched, to 1, trained. It shares all weights that are not
    /// interpolated. By depth, 0 is not the untouched model, see [`DialProfile::strength`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a weight out of range.
    pub fn at(&self, weight: f64) -> Result<CausalLm> {
        if !(0.0..=1.0).contains(&weight) {
            return Err(Error::setting("weight", weight, "0 to 1"));
        }
        if weight == 1.0 {
            return Ok(self.trained.clone());
        }
        // An adapter that unties embedding and head computes with other weights than the model without it.
        let is_apart = self.aligned.is_some() || self.trained.untouched.is_some();
        if weight == 0.0 && self.profile.ends_untouched() && is_apart {
            return Ok(self.untouched.clone());
        }
        Ok(match &self.aligned {
            None => self.scaled(weight),
            Some(models) => self.interpolated(weight, models),
        })
    }

    /// Returns the strength of a parameter or module, by its name.
    fn strength(&self, weight: f64, name: &str) -> f64 {
        let config = self.trained.decoder().config();
        let layer = config.family.tensors.layer_of(name);
        self.profile.strength(weight, layer, config.layers.len())
    }

    fn scaled(&self, weight: f64) -> CausalLm {
        let scale = |adapter: &Adapter| adapter.scaled(|module| self.strength(weight, module));
        CausalLm {
            adapter: self.trained.adapter().map(scale),
            ..self.trained.clone()
        }
    }

    fn interpolated(&self, weight: f64, [untouched, trained]: &[CausalLm; 2]) -> CausalLm {
        let specs = trained.decoder().parameters().iter();
        let pairs = untouched.stored().iter().zip(trained.stored());
        let parameters = specs.zip(pairs).map(|(spec, (from, to))| {
            let strength = self.strength(weight, &spec.name);
            if strength == 0.0 {
                from.clone()
            } else if strength == 1.0 {
                to.clone()
            } else {
                let origin = from.float();
                (origin.clone() + (to.float() - origin) * strength).into()
            }
        });
        CausalLm {
            parameters: parameters.collect(),
            is_as_loaded: false,
            ..trained.clone()
        }
    }
}

/// Returns two models without adapters and with the same parameters.
///
/// # Errors
///
/// As [`Dial::new`].
fn aligned(untouched: &CausalLm, trained: &CausalLm) -> Result<[CausalLm; 2]> {
    let models = [untouched.try_merged()?, trained.try_merged()?];
    let [from, to] = [&models[0], &models[1]].map(|model| model.decoder().config());
    let mismatch = |found: String, expected: String| {
        let expected = format!("{expected}, as the base model that it was trained from");
        Err(Error::setting("trained model", found, expected))
    };
    if from.family != to.family {
        return mismatch(format!("a {} model", to.family), from.family.to_string());
    }
    if from.vocab_size != to.vocab_size {
        return mismatch(
            format!("a vocabulary of {} tokens", to.vocab_size),
            from.vocab_size.to_string(),
        );
    }
    // Training may untie embedding and head.
    let needed = Embeddings {
        vocab_size: from.vocab_size,
        tied: from.tie_word_embeddings && to.tie_word_embeddings,
    };
    let [from, to] = models;
    let models = [from.with_embeddings(needed)?, to.with_embeddings(needed)?];
    let [from, to] = [&models[0], &models[1]].map(|model| model.decoder().parameters());
    let shape = |spec: Option<&ParameterSpec>| {
        spec.map_or_else(
            || "no further parameter".to_string(),
            |spec| format!("{} of shape {:?}", spec.name, spec.shape),
        )
    };
    let count = from.len().max(to.len());
    if let Some(index) = (0..count).find(|&index| from.get(index) != to.get(index)) {
        return mismatch(shape(to.get(index)), shape(from.get(index)));
    }
    Ok(models)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// λ(ℓ) of the paper for four layers and α = 0.25, and the ends of the dial.
    #[test]
    fn strength_by_depth_is_linear_from_the_weight_to_one() {
        let by_depth = |weight| {
            [0, 1, 2, 3].map(|layer| DialProfile::ByDepth.strength(weight, Some(layer), 4))
        };
        assert_eq!(by_depth(0.25), [0.25, 0.5, 0.75, 1.0]);
        assert_eq!(by_depth(0.0), [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]);
        assert_eq!(by_depth(1.0), [1.0; 4]);
        for weight in [0.1, 0.3, 0.7] {
            let [first, .., last] = by_depth(weight);
            assert_eq!([first, last], [weight, 1.0]);
            for (layer, layers) in [(None, 4), (Some(0), 1)] {
                assert_eq!(DialProfile::ByDepth.strength(weight, layer, layers), weight);
            }
            assert_eq!(DialProfile::Uniform.strength(weight, Some(3), 4), weight);
        }
    }
}
