//! `minift eval`: measures the perplexity of a model.

use serde_json::json;

use super::Ended;
use super::args::EvalArguments;
use super::models;
use super::output::{Output, counted};
use super::setup::{self, Set};
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::eval::Evaluation;

pub(super) async fn run(
    arguments: &EvalArguments,
    device: DeviceChoice,
    output: &Output,
) -> Result<Ended> {
    if arguments.batch_size == 0 {
        return Err(Error::setting("batch_size", 0, "1 or more"));
    }
    let device = setup::device(device, output).await?;
    let adapter = arguments.adapter_dir.as_deref();
    let say = |note: String| output.text(note);
    let named = arguments.model.model().or_base_of(adapter, &say)?;
    let (model, _) = named.announced(&device, output)?;
    let model = models::adapted(model, adapter, &say)?;
    let reading = arguments.text.reading(model.reader())?;
    let reading = match arguments.data.as_slice() {
        // The test split, unlike the one that ends a training.
        [folder] => reading.of_split(folder, &["test", "validation"])?,
        _ => reading,
    };
    let mut set = Set::read_all(&arguments.data, &model, &reading, output)?;
    if let Some(count) = arguments.samples {
        if count == 0 {
            return Err(Error::setting("samples", count, "1 or more"));
        }
        if count > set.len() {
            return Err(Error::TooFewSamples {
                available: set.len(),
                origin: set.origin,
                requested: count,
            });
        }
        (set, _) = set.split(count);
    }
    let summary = set.summary();
    setup::describe(output, "Text", &summary);
    let samples = set.samples.samples;
    let mut evaluation = Evaluation::new(&samples, arguments.batch_size)?;
    let found = loop {
        if let Some(found) = evaluation.advance(&model, &samples).await? {
            break found;
        }
        let (done, total) = evaluation.progress();
        output.progress("evaluating", done, total, "");
    };
    output.finish();
    output.object(&json!({
        "perplexity": found.perplexity,
        "tokens": found.tokens,
        "samples": summary.samples,
        "given": summary.given,
        "skipped": summary.skipped,
        "truncated": summary.truncated,
    }));
    output.text(format!(
        "\nPerplexity {:.4} over {}",
        found.perplexity,
        counted(found.tokens, "predicted token")
    ));
    Ok(Ended::Success)
}
