//! Settings of adapters.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The width of the widest layers, above which an update is not of low rank; far below where sizes
/// overflow.
const MAX_RANK: usize = 1 << 16;

/// An adapter that is trained instead of the model's own weights.
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
    /// Rank of the update; default 8.
    pub rank: usize,
    /// The update is scaled by alpha / rank; default 16.
    pub alpha: f64,
    /// Scale by alpha / √rank instead (rsLoRA, Kalajdzievski, arXiv:2312.03732).
    pub rank_stabilized: bool,
    /// Dropout probability of the update's input during training, in \[0, 1).
    pub dropout: f64,
    /// Train the magnitude of each output separately from its direction (DoRA, Liu et al.,
    /// arXiv:2402.09353).
    pub decomposed: bool,
    /// Names of the adapted layers, such as `q_proj`, which may be an embedding or the head; empty or only
    /// `all-linear` for all linear layers but the head.
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

/// Learned factors of activations (IA³, Liu et al., arXiv:2205.05638).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct Ia3Settings {
    /// Names of the adapted linear layers; only `all-linear` for all but the head; empty for keys, values and
    /// the feed-forward block's output, as in the paper.
    pub target_modules: Vec<String>,
}

impl AdapterSettings {
    /// Checks that every setting is in range.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for the first one out of range.
    pub fn validate(&self) -> Result<()> {
        let Self::Lora(lora) = self else {
            return Ok(());
        };
        if !(1..=MAX_RANK).contains(&lora.rank) {
            let expected = format!("1 to {MAX_RANK}");
            return Err(Error::setting("rank", lora.rank, expected));
        }
        if !(lora.alpha.is_finite() && lora.alpha > 0.0) {
            return Err(Error::setting("lora_alpha", lora.alpha, "more than 0"));
        }
        if !(0.0..1.0).contains(&lora.dropout) {
            return Err(Error::setting(
                "dropout",
                lora.dropout,
                "at least 0 and below 1",
            ));
        }
        Ok(())
    }

    /// Returns the display name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lora(lora) if lora.decomposed => "DoRA",
            Self::Lora(_) => "LoRA",
            Self::Ia3(_) => "IA³",
        }
    }

    /// Returns the default learning rate: fewer parameters need larger steps.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::Lora(_) => 3e-3,
            Self::Ia3(_) => 1e-2,
        }
    }

    /// Returns the names of the layers to adapt; empty for the default ones.
    pub fn target_modules(&self) -> &[String] {
        match self {
            Self::Lora(lora) => &lora.target_modules,
            Self::Ia3(ia3) => &ia3.target_modules,
        }
    }
}

impl LoraSettings {
    /// Returns the scale of the update of a layer with that rank.
    pub fn scale(&self, rank: usize) -> f64 {
        self.scale_of(self.alpha, rank)
    }

    /// Returns the scale of the update of a layer with an alpha and a rank of its own.
    pub(super) fn scale_of(&self, alpha: f64, rank: usize) -> f64 {
        let rank = rank as f64;
        if self.rank_stabilized {
            alpha / rank.sqrt()
        } else {
            alpha / rank
        }
    }
    /// Returns the alpha of a layer with a scale and a rank.
    pub(super) fn alpha_of(&self, scale: f64, rank: usize) -> f64 {
        scale / self.scale_of(1.0, rank)
    }
}
