//! What an adapter is to be.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// As wide as the widest layers are, where an update of a low rank is none any more; far below where
/// sizes overflow.
const LARGEST_RANK: usize = 1 << 16;

/// An adapter that is trained in place of the model's own weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum AdapterSettings {
    /// LoRA, or DoRA.
    Lora(LoraSettings),
    /// IA³.
    Ia3(Ia3Settings),
}

/// Low-rank updates of linear layers (LoRA, Hu et al., arXiv:2106.09685).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct LoraSettings {
    /// Rank of the update; 8 by default.
    pub rank: usize,
    /// The update is multiplied by alpha / rank; 16 by default.
    pub alpha: f64,
    /// Multiply by alpha / √rank instead (rsLoRA, Kalajdzievski, arXiv:2312.03732).
    pub rank_stabilized: bool,
    /// Share of a layer's input that does not reach the update in training, in \[0, 1).
    pub dropout: f64,
    /// Train the magnitude of each output apart from its direction (DoRA, Liu et al.,
    /// arXiv:2402.09353).
    pub decomposed: bool,
    /// Names of the adapted linear layers, such as `q_proj`; none for all.
    pub target_modules: Vec<String>,
}

impl Default for LoraSettings {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            rank_stabilized: false,
            dropout: 0.0,
            decomposed: false,
            target_modules: Vec::new(),
        }
    }
}

/// Learnt factors of activations (IA³, Liu et al., arXiv:2205.05638).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct Ia3Settings {
    /// Names of the adapted linear layers; none for keys, values and the feed-forward block's
    /// output, as in the paper.
    pub target_modules: Vec<String>,
}

impl AdapterSettings {
    /// Checks every number.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for the first one out of range.
    pub fn validate(&self) -> Result<()> {
        let Self::Lora(lora) = self else {
            return Ok(());
        };
        if !(1..=LARGEST_RANK).contains(&lora.rank) {
            let expected = format!("1 to {LARGEST_RANK}");
            return Err(Error::setting("rank", lora.rank, expected));
        }
        if !(lora.alpha.is_finite() && lora.alpha > 0.0) {
            return Err(Error::setting("alpha", lora.alpha, "more than 0"));
        }
        if !(0.0..1.0).contains(&lora.dropout) {
            return Err(Error::setting(
                "dropout",
                lora.dropout,
                "0 or more, below 1",
            ));
        }
        Ok(())
    }

    /// For people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lora(lora) if lora.decomposed => "DoRA",
            Self::Lora(_) => "LoRA",
            Self::Ia3(_) => "IA³",
        }
    }

    /// A learning rate to begin with: fewer values want larger steps.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::Lora(_) => 3e-3,
            Self::Ia3(_) => 1e-2,
        }
    }

    /// Names of the layers that it is asked to adapt; none for the usual ones.
    pub fn target_modules(&self) -> &[String] {
        match self {
            Self::Lora(lora) => &lora.target_modules,
            Self::Ia3(ia3) => &ia3.target_modules,
        }
    }
}

impl LoraSettings {
    /// What the product of the two factors is multiplied by, at a layer of that rank.
    pub fn scale(&self, rank: usize) -> f64 {
        let rank = rank as f64;
        if self.rank_stabilized {
            self.alpha / rank.sqrt()
        } else {
            self.alpha / rank
        }
    }
}
