//! The search for the largest strength of a training within a bound on forgetting.

use serde_json::{Value, json};

use super::output::Output;
use super::search::percent;
use crate::error::Result;
use crate::eval::{DialTrial, LimitSearch, format_weight};
use crate::model::Dial;
use crate::text::Sample;
use crate::train::Cancel;

/// The chosen strength, and the search for `run.json`.
pub(super) struct Limited {
    pub weight: f64,
    pub search: Value,
}

/// Searches on a validation set; `None` if cancelled.
pub(super) async fn search(
    dial: Dial,
    bound: f64,
    validation: &[Sample],
    batch_size: usize,
    output: &Output,
    cancel: &Cancel,
) -> Result<Option<Limited>> {
    let profile = dial.profile();
    let device = dial.trained().device().clone();
    let mut search = LimitSearch::new(dial, bound, validation, batch_size)?;
    output.text(format!(
        "\nsearching for the largest strength that raises the general perplexity by at most {}",
        percent(bound)
    ));
    while let Some(progress) = search.advance().await? {
        if cancel.is_agreed(&device)? {
            output.finish();
            return Ok(None);
        }
        output.progress("searching", progress.done, progress.total, &[]);
        if let Some(trial) = progress.trial {
            output.clear();
            output.object(&json!({ "event": "trial", "strength": "weight", "trial": trial }));
            output.text(line(&trial));
        }
    }
    output.clear();
    let Some(taken) = search.taken() else {
        return Ok(None);
    };
    output.text(verdict(bound, &taken));
    Ok(Some(Limited {
        weight: taken.weight,
        search: json!({
            "over": "dial",
            "profile": profile,
            "bound": bound,
            "trials": search.trials(),
            "taken": taken,
        }),
    }))
}

fn line(trial: &DialTrial) -> String {
    format!(
        "w {:<6} general {:>9} ({:.2}): {}",
        format_weight(trial.weight),
        percent(trial.degeneralization),
        trial.general,
        match trial.within {
            true => "within the bound",
            false => "beyond the bound",
        }
    )
}

fn verdict(bound: f64, taken: &DialTrial) -> String {
    let weight = format_weight(taken.weight);
    let (found, bound) = (percent(taken.degeneralization), percent(bound));
    match (taken.weight, taken.within) {
        (0.0, true) => {
            format!("Selected w 0, the untouched model: no larger strength stays within {bound}")
        }
        (_, true) => {
            format!("Selected w {weight} with {found} on the validation set (bound {bound})")
        }
        (_, false) => format!(
            "No strength by depth stays within {bound}, since the last layer is always at full strength. Selected \
             w {weight} with {found}. A uniform strength (without --by-depth) can stay within it"
        ),
    }
}
