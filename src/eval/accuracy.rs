//! The share of right answers.

use serde::{Deserialize, Serialize};

/// The share of questions that were answered right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Number of questions.
    pub questions: usize,
    /// Number of right answers.
    pub correct: usize,
    /// correct / questions.
    pub accuracy: f64,
    /// Standard error of the accuracy, the sample standard deviation over √questions; `None` for one question.
    pub standard_error: Option<f64>,
    /// Accuracy of choosing at random; `None` for questions without choices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
}

impl Accuracy {
    /// Returns the accuracy of the answers, given whether each is right; `None` without any.
    pub(crate) fn of(right: &[bool], chance: Option<f64>) -> Option<Self> {
        let (questions, correct) = (right.len(), right.iter().filter(|&&right| right).count());
        let accuracy = correct as f64 / questions as f64;
        let variance = accuracy * (1.0 - accuracy) / (questions as f64 - 1.0);
        (questions > 0).then_some(Self {
            questions,
            correct,
            accuracy,
            standard_error: (questions > 1).then(|| variance.sqrt()),
            chance,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_error_is_that_of_a_mean_of_zeros_and_ones() {
        let found = Accuracy::of(&[true, false, true, true, true], Some(0.25)).unwrap();
        assert_eq!((found.questions, found.correct), (5, 4));
        assert_eq!((found.accuracy, found.chance), (0.8, Some(0.25)));
        // Squared deviations 4 · 0.2² + 0.8² = 0.8, variance 0.8 / 4, of the mean 0.2 / 5.
        assert!((found.standard_error.unwrap() - 0.04_f64.sqrt()).abs() < 1e-12);
        let one = Accuracy::of(&[true], None).unwrap();
        assert_eq!((one.accuracy, one.standard_error), (1.0, None));
        assert_eq!(Accuracy::of(&[], None), None);
        let again: Accuracy = serde_json::from_str(&serde_json::to_string(&one).unwrap()).unwrap();
        assert_eq!(again, one);
    }
}
