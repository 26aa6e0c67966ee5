//! Specialization S, degeneralization DG and their ratio.

use serde::{Deserialize, Deserializer, Serialize};

/// Perplexities of a model on the held-out domain set and the general set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct Perplexities {
    /// On the held-out domain set.
    #[serde(deserialize_with = "infinite_where_null")]
    pub domain: f64,
    /// On the general set.
    #[serde(deserialize_with = "infinite_where_null")]
    pub general: f64,
}

impl Perplexities {
    /// Returns what another model loses on the general set and gains on the domain set, in nats per token.
    pub fn nats_to(self, other: Self) -> (f64, f64) {
        let lost = (other.general / self.general).ln();
        let gained = (self.domain / other.domain).ln();
        (lost, gained)
    }
}

/// JSON has no infinity: null stands for the perplexity of a diverged model.
fn infinite_where_null<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::INFINITY))
}

/// JSON has no NaN: null stands for the difference of two infinities.
fn unknown_where_null<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// Gain and cost of a finetuning (Belcak et al., arXiv:2506.15702, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct Metrics {
    /// S = domain perplexity before − after; higher is better.
    #[serde(deserialize_with = "unknown_where_null")]
    pub specialization: f64,
    /// DG = general perplexity after − before; lower is better, 0 or less means that nothing is forgotten.
    #[serde(deserialize_with = "unknown_where_null")]
    pub degeneralization: f64,
    /// S / DG; `None` if DG ≤ 0, where the ratio has no meaning.
    pub ratio: Option<f64>,
}

impl Metrics {
    /// Computes the metrics from the perplexities before and after.
    pub fn new(before: Perplexities, after: Perplexities) -> Self {
        let specialization = before.domain - after.domain;
        let degeneralization = after.general - before.general;
        let ratio = specialization / degeneralization;
        Self {
            specialization,
            degeneralization,
            ratio: (degeneralization > 0.0 && ratio.is_finite()).then_some(ratio),
        }
    }

    /// Returns the ratio for display: a number, or a note that nothing was forgotten or that a perplexity
    /// is not finite.
    pub fn ratio_in_words(&self) -> String {
        match self.ratio {
            Some(ratio) => format!("{ratio:.1}"),
            None if self.degeneralization <= 0.0 => "nothing forgotten".to_string(),
            None => "diverged".to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(before: [f64; 2], after: [f64; 2]) -> Metrics {
        let perplexities = |[domain, general]: [f64; 2]| Perplexities { domain, general };
        Metrics::new(perplexities(before), perplexities(after))
    }

    #[test]
    fn metrics_are_differences_and_their_ratio() {
        let metrics = metrics([534.0, 27.4], [14.4, 89.8]);
        assert!((metrics.specialization - 519.6).abs() < 1e-9);
        assert!((metrics.degeneralization - 62.4).abs() < 1e-9);
        assert!((metrics.ratio.unwrap() - 519.6 / 62.4).abs() < 1e-9);
    }

    #[test]
    fn the_ratio_is_none_if_nothing_is_forgotten() {
        for after in [27.4, 20.0] {
            let metrics = metrics([534.0, 27.4], [14.4, after]);
            assert_eq!(metrics.ratio, None);
            assert_eq!(metrics.ratio_in_words(), "nothing forgotten");
        }
        let diverged = metrics([534.0, 27.4], [f64::INFINITY, f64::INFINITY]);
        assert_eq!(diverged.ratio_in_words(), "diverged");
    }

    /// A checkpoint of a diverged model can be resumed.
    #[test]
    fn infinity_and_nan_survive_json() {
        let before = [f64::INFINITY, 2.0];
        let found = metrics(before, [f64::INFINITY, f64::INFINITY]);
        assert!(found.specialization.is_nan() && found.degeneralization == f64::INFINITY);
        let json = serde_json::to_string(&found).unwrap();
        let again: Metrics = serde_json::from_str(&json).unwrap();
        assert!(again.specialization.is_nan() && !again.degeneralization.is_finite());
        let [domain, general] = before;
        let json = serde_json::to_string(&Perplexities { domain, general }).unwrap();
        assert_eq!(json, r#"{"domain":null,"general":2.0}"#);
        let again: Perplexities = serde_json::from_str(&json).unwrap();
        assert_eq!([again.domain, again.general], before);
        assert!(serde_json::from_str::<Perplexities>(r#"{"general":2.0}"#).is_err());
    }
}
