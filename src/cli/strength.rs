//! The strength of a finished training: chosen within a bound, and measured as a front.

use serde_json::json;

use super::front;
use super::limit;
use super::output::Output;
use super::trained::{DataAndValidation, Trained};
use crate::error::Result;
use crate::eval::evaluate_pair;
use crate::train::{Cancel, start_front};

/// Chooses the largest strength within the bound on the validation set, if there is one, and measures the front of
/// gain against forgetting, if the settings ask for it. `None` if the search was cancelled.
pub(super) async fn choose(
    mut trained: Trained,
    bound: Option<f64>,
    (data, validation): &DataAndValidation,
    output: &Output,
    cancel: &Cancel,
) -> Result<Option<Trained>> {
    let Some(dial) = trained.dial.take() else {
        return Ok(Some(trained));
    };
    let batch_size = trained.settings.batch_size;
    let at_full_strength = trained.outcome;
    if let Some(bound) = bound {
        let search = limit::search(dial.clone(), bound, validation, batch_size, output, cancel);
        let Some(limited) = search.await? else {
            output.object(&json!({ "event": "cancelled" }));
            output.text("interrupted: run the same command with --resume to search again");
            return Ok(None);
        };
        trained.weight = limited.weight;
        trained.search = Some(limited.search);
        if limited.weight < 1.0 {
            trained.model = dial.at(limited.weight)?;
            let after = evaluate_pair(&trained.model, &data.domain, &data.general, batch_size);
            trained.outcome = at_full_strength.with_after(after.await?);
        }
    }
    if trained.settings.dial.is_some() {
        let front = start_front(|| Ok(dial), data, &at_full_strength, batch_size)?;
        trained.front = match front {
            Some(front) => {
                let front = front.with_weights(&[trained.weight])?;
                let device = trained.model.device();
                front::measure(front, device, &trained.settings.title(), output, cancel).await?
            }
            None => {
                output.text(
                    "Note     no front is measured: the general set does not measure forgetting, or the training \
                     diverged",
                );
                None
            }
        };
    }
    Ok(Some(trained))
}
