//! The short commands: eval, generate, devices.

use serde_json::json;

use super::Ended;
use super::args::{EvalArguments, GenerateArguments, MergeArguments};
use super::output::{Output, thousands};
use super::setup::{self, Set};
use crate::device::{Device, DeviceChoice, adapters};
use crate::error::{Error, Result};
use crate::eval::Evaluation;
use crate::files::FolderWriter;

pub async fn eval(
    arguments: &EvalArguments,
    device: DeviceChoice,
    output: &Output,
) -> Result<Ended> {
    if arguments.batch_size == 0 {
        return Err(Error::setting("batch-size", 0, "1 or more"));
    }
    let device = setup::device(device, output).await?;
    let (model, _) = arguments.model.announced(&device, output)?;
    let model = setup::adapted(model, arguments.adapter.as_deref())?;
    let reading = arguments.text.reading(model.reader())?;
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
    let mut evaluation = Evaluation::new(&samples, arguments.batch_size);
    let found = loop {
        if let Some(found) = evaluation.advance(&model, &samples).await? {
            break found;
        }
        let (done, total) = evaluation.progress();
        output.progress("measuring", done, total, "");
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
        "\nPerplexity {:.4} over {} predicted tokens",
        found.perplexity,
        thousands(found.tokens as f64)
    ));
    Ok(Ended::Well)
}

pub async fn generate(
    arguments: &GenerateArguments,
    device: DeviceChoice,
    output: &Output,
) -> Result<Ended> {
    let device = Device::open(device).await?;
    let model = arguments.model.load(&device, output)?;
    let model = setup::adapted(model, arguments.adapter.as_deref())?;
    output.piece(&arguments.prompt);
    let text = model
        .generate(
            &arguments.prompt,
            arguments.max_new_tokens,
            &arguments.sampling(),
            |piece| output.piece(piece),
        )
        .await?;
    output.piece("\n");
    output.object(&json!({ "prompt": arguments.prompt, "text": text }));
    Ok(Ended::Well)
}

pub async fn merge(
    arguments: &MergeArguments,
    device: DeviceChoice,
    output: &Output,
) -> Result<Ended> {
    let needed = [Some(arguments.adapter.as_path()), arguments.model.folder()];
    setup::apart(&arguments.out, needed.into_iter().flatten())?;
    let folder = FolderWriter::new(&arguments.out, arguments.force)?;
    let device = setup::device(device, output).await?;
    let (model, name) = arguments.model.announced(&device, output)?;
    let model = setup::adapted(model, Some(&arguments.adapter))?;
    model.merged().write(&folder, "").await?;
    folder.finish()?;
    output.object(&json!({
        "event": "merged",
        "model": name,
        "adapter": arguments.adapter.display().to_string(),
        "out": arguments.out.display().to_string(),
    }));
    output.text(format!(
        "\n{} is folded into {name}: {}",
        arguments.adapter.display(),
        arguments.out.display()
    ));
    Ok(Ended::Well)
}

pub async fn devices(output: &Output) -> Result<Ended> {
    let mebibytes = |bytes: u64| thousands((bytes >> 20) as f64);
    let chosen = Device::open(DeviceChoice::Auto).await?;
    for adapter in adapters().await {
        output.object(&adapter);
        output.text(format!(
            "gpu:{}  {} ({}, {})\n       driver {}\n       buffers up to {} MiB, bindings up to {} MiB, \
             {} invocations and {} KiB a workgroup",
            adapter.index,
            adapter.name,
            adapter.backend,
            adapter.kind,
            if adapter.driver.is_empty() { "unknown" } else { &adapter.driver },
            mebibytes(adapter.limits.max_buffer_bytes),
            mebibytes(adapter.limits.max_binding_bytes),
            adapter.limits.max_invocations,
            adapter.limits.workgroup_bytes >> 10,
        ));
    }
    let cpu = Device::cpu();
    output.object(&json!({ "name": cpu.name(), "kind": "cpu" }));
    output.text(format!("cpu    {}", cpu.name()));
    output.text(format!(
        "\nauto takes {}: {}",
        chosen.name(),
        chosen.reason()
    ));
    Ok(Ended::Well)
}
