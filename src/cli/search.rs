//! `minift train --max-degeneralization --search trainings`: searches for the strongest training within a bound on
//! forgetting.

use std::sync::Arc;

use serde_json::json;

use super::output::Output;
use super::trained::{DataAndValidation, Trained};
use crate::error::Result;
use crate::eval::evaluate;
use crate::model::{CausalLm, Dial};
use crate::train::{Cancel, RunData, Strength, TrainSettings, Trial, strongest_within};

/// Searches on the validation set and evaluates the result on the general set; `None` if cancelled.
#[allow(clippy::too_many_arguments)]
pub(super) async fn search(
    strength: Strength,
    bound: f64,
    model: &CausalLm,
    (data, validation): &DataAndValidation,
    settings: &TrainSettings,
    output: &Output,
    cancel: &Cancel,
) -> Result<Option<Trained>> {
    output.text(format!(
        "searching for the strongest {} that raises the general perplexity by at most {}\n",
        strength.name(),
        percent(bound)
    ));
    let search_data = Arc::new(RunData {
        general: validation.clone(),
        ..(**data).clone()
    });
    let on_event = |settings: &TrainSettings, event: &_| output.event(&settings.title(), event);
    let on_trial = |strength: Strength, trial: &Trial| {
        output.finish();
        output.object(&json!({ "event": "trial", "strength": strength, "trial": trial }));
        output.text(line(strength, trial));
    };
    let found = strongest_within(
        strength,
        bound,
        model,
        &search_data,
        settings,
        cancel,
        on_event,
        on_trial,
    );
    let Some(strongest) = found.await? else {
        output.finish();
        output.object(&json!({ "event": "cancelled" }));
        output.text("interrupted: nothing was written");
        return Ok(None);
    };

    let [before, after] = [
        evaluate(model, &data.general, settings.batch_size).await?,
        evaluate(&strongest.model, &data.general, settings.batch_size).await?,
    ];
    let outcome = strongest.outcome_on(before.perplexity, after.perplexity);
    output.text(verdict(
        bound,
        strength,
        &strongest.taken,
        &strongest.trials,
    ));
    Ok(Some(Trained {
        search: Some(json!({
            "over": "trainings",
            "strength": strength,
            "bound": bound,
            "trials": strongest.trials,
            "taken": strongest.taken,
        })),
        dial: dial(model, settings, &strongest.model)?,
        settings: strongest.settings,
        evaluations: outcome.evaluations().to_vec(),
        outcome,
        model: strongest.model,
        losses: strongest.losses,
        weight: 1.0,
        front: None,
    }))
}

/// Returns the dial of a training, if the settings ask for one.
fn dial(model: &CausalLm, settings: &TrainSettings, trained: &CausalLm) -> Result<Option<Dial>> {
    let Some(profile) = settings.dial else {
        return Ok(None);
    };
    let dial = Dial::of_training(model, trained.clone())?;
    Ok(Some(dial.with_profile(profile)))
}

fn line(strength: Strength, trial: &Trial) -> String {
    if !trial.degeneralization.is_finite() {
        return format!(
            "{:<24} diverged: the loss is NaN or infinite",
            strength.describe(trial.value)
        );
    }
    format!(
        "{:<24} general {:>9} ({:.2}), domain {:.2}: {}",
        strength.describe(trial.value),
        percent(trial.degeneralization),
        trial.perplexities.general,
        trial.perplexities.domain,
        if trial.within {
            "within the bound"
        } else {
            "beyond the bound"
        }
    )
}

fn verdict(bound: f64, strength: Strength, taken: &Trial, trials: &[Trial]) -> String {
    let value = strength.describe(taken.value);
    let early = trials
        .iter()
        .any(|trial| trial.value == taken.value && trial.steps > taken.steps);
    let stopped = match early {
        true => format!(", stopped after {} steps,", taken.steps),
        false => String::new(),
    };
    let (found, bound) = (percent(taken.degeneralization), percent(bound));
    if taken.within {
        format!("\nSelected {value}{stopped} with {found} on the validation set (bound {bound})")
    } else {
        format!(
            "\nNo setting stays within {bound} on the validation set. Selected the closest one: \
             {value}{stopped} with {found}. Try a smaller learning rate (--lr) or fewer --epochs"
        )
    }
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
