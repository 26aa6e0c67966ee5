//! Specialization S, degeneralization DG and their ratio.

use serde::{Deserialize, Deserializer, Serialize};

/// Perplexities of one model on the domain and, where there is one, the general set.
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

/// JSON has no number for the perplexity of a model that is beyond all measure.
fn infinite_where_null<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::INFINITY))
}

/// Nor for the difference of two such.
fn unknown_where_null<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// What an adaptation gained and cost (Belcak et al., arXiv:2506.15702, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct Metrics {
    /// S = domain perplexity before − after; higher is better.
    #[serde(deserialize_with = "unknown_where_null")]
    pub specialization: f64,
    /// DG = general perplexity after − before; lower is better, 0 or less means nothing forgotten.
    #[serde(deserialize_with = "unknown_where_null")]
    pub degeneralization: f64,
    /// S / DG; `None` where DG ≤ 0, where a ratio says nothing.
    pub ratio: Option<f64>,
}

impl Metrics {
    /// From perplexities before and after.
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

    /// The ratio in words: a number, or that nothing was forgotten, or that perplexities are no longer
    /// numbers.
    pub fn ratio_in_words(&self) -> String {
        match self.ratio {
            Some(ratio) => format!("{ratio:.1}"),
            None if self.degeneralization <= 0.0 => "nothing forgotten".to_string(),
            None => "went wrong".to_string(),
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
    fn gain_over_cost() {
        let metrics = metrics([534.0, 27.4], [14.4, 89.8]);
        assert!((metrics.specialization - 519.6).abs() < 1e-9);
        assert!((metrics.degeneralization - 62.4).abs() < 1e-9);
        assert!((metrics.ratio.unwrap() - 519.6 / 62.4).abs() < 1e-9);
    }

    #[test]
    fn no_ratio_where_nothing_is_forgotten() {
        for after in [27.4, 20.0] {
            let metrics = metrics([534.0, 27.4], [14.4, after]);
            assert_eq!(metrics.ratio, None);
            assert_eq!(metrics.ratio_in_words(), "nothing forgotten");
        }
        let diverged = metrics([534.0, 27.4], [f64::INFINITY, f64::INFINITY]);
        assert_eq!(diverged.ratio_in_words(), "went wrong");
    }

    /// A checkpoint of a model that is beyond all measure can be gone on from.
    #[test]
    fn what_is_no_number_in_json_comes_back() {
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
