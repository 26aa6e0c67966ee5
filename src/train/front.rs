//! The front of a training: on which samples it is measured.

use super::data::RunData;
use super::outcome::Outcome;
use crate::error::Result;
use crate::eval::FrontSearch;
use crate::model::Dial;

/// The time that a front may take, as a share of that of the training.
const SHARE: f64 = 0.1;
/// Forward passes that take as long as a training step on the same tokens: the student's, and its backward pass.
const PASSES: f64 = 3.0;

/// Returns the measurement of the front of a training, on as many of its evaluation samples as take about a tenth of
/// the time of the training, but at least 16 of each set. `None` for a diverged model, and where general samples are
/// also trained on, so that nothing can be said about forgetting.
///
/// # Errors
///
/// The errors of `dial` and [`FrontSearch::new`].
pub fn start_front(
    dial: impl FnOnce() -> Result<Dial>,
    data: &RunData,
    outcome: &Outcome,
    batch_size: usize,
) -> Result<Option<FrontSearch>> {
    let after = outcome.after;
    let has_diverged = !(after.domain.is_finite() && after.general.is_finite());
    if has_diverged || data.general_in_training() > 0 {
        return Ok(None);
    }
    let front = FrontSearch::new(dial()?, &data.domain, &data.general, batch_size)?;
    // Rounded, so that it does not depend on the time that it took, which differs between ranks.
    let trained = (outcome.seconds * outcome.tokens_per_second).round();
    let tokens = SHARE * PASSES * trained;
    Ok(Some(front.within(tokens, outcome.before, after)))
}
