//! `minift train`: a person's own model on a person's own text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::args::TrainArguments;
use super::output::{Output, thousands};
use super::setup::{self, Set, Sets};
use super::{Ended, summary};
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::files::FolderWriter;
use crate::model::CausalLm;
use crate::report::{DeviceReport, Done, Method, MethodReport, run_json};
use crate::train::{Cancel, Checkpoints, Ending, Run, drive};

pub async fn run(
    arguments: &TrainArguments,
    device: DeviceChoice,
    output: &Output,
    cancel: &Cancel,
) -> Result<Ended> {
    let settings = arguments.training.settings()?;
    // A place that cannot be written to is better known before the training than after it.
    drop(FolderWriter::new(&arguments.out, arguments.force)?);
    let device = setup::device(device, output).await?;
    let (model, name) = setup::model(arguments.model.as_deref(), &device, output)?;
    let max_length = setup::max_length(arguments.max_length, &model)?;
    let sets = samples(arguments, &model, max_length)?;
    let (data, setup) = sets.announce(&model, name, max_length, output);

    let mut method = Method::of(&settings.objective).name().to_string();
    let mut run = Run::new(model.clone(), Arc::new(data), settings.clone())?;
    let trainable = run.trained_model().trainable_count();
    if let Some(adapter) = &settings.adapter {
        method = format!("{method} on {}", adapter.name());
        output.text(format!(
            "Adapter  {}, {} trainable parameters",
            adapter.name(),
            thousands(trainable as f64)
        ));
    }
    let checkpoints = Checkpoints {
        path: checkpoint_path(&arguments.out),
        every: arguments.checkpoint_every,
    };
    if !arguments.resume && !arguments.force && checkpoints.path.exists() {
        return Err(Error::Checkpoint {
            path: checkpoints.path,
            message:
                "a stopped run left this checkpoint: go on from it with --resume, or begin anew \
                      with --force"
                    .to_string(),
        });
    }
    if arguments.resume {
        checkpoints.restore(&mut run)?;
        let (done, steps) = (run.steps_done(), run.steps());
        output.text(format!("Resume   after step {done} of {steps}"));
    }
    output.object(&json!({
        "event": "started",
        "method": Method::of(&settings.objective),
        "trainable_parameters": trainable,
        "settings": settings,
        "steps": run.steps(),
        "steps_done": run.steps_done(),
        "setup": setup,
        "device": device.name(),
    }));
    output.text("");
    let prompts: Vec<&str> = arguments.prompt.iter().map(String::as_str).collect();
    let untouched = setup::continuations(&model, &prompts).await?;

    let ending = drive(&mut run, Some(&checkpoints), cancel, |event| {
        output.event(&method, event);
    })
    .await?;
    output.finish();
    let Ending::Finished(outcome) = ending else {
        output.object(&json!({
            "event": "cancelled",
            "step": run.steps_done(),
            "checkpoint": checkpoints.path.display().to_string(),
        }));
        output.text(format!(
            "stopped after step {} of {}; the same command with --resume goes on from {}",
            run.steps_done(),
            run.steps(),
            checkpoints.path.display()
        ));
        return Ok(Ended::Cancelled);
    };

    let trained = run.trained_model();
    let report = MethodReport {
        result: Done::new(&settings, &outcome, arguments.out.display().to_string()),
        settings,
        trainable_parameters: trainable,
        losses: run.losses().to_vec(),
        continuations: setup::continuations(&trained, &prompts).await?,
    };
    let folder = FolderWriter::new(&arguments.out, arguments.force)?;
    trained.write(&folder, "").await?;
    let json = run_json(
        &setup,
        &DeviceReport::new(&device),
        &untouched,
        std::slice::from_ref(&report),
    );
    folder.write("run.json", format!("{json:#}\n").as_bytes())?;
    folder.finish()?;
    checkpoints.remove()?;

    let rows = [
        summary::Row::untouched(outcome.before),
        summary::Row::trained(method.clone(), &report.result),
    ];
    summary::table(output, &rows);
    let models = [
        ("untouched", untouched.as_slice()),
        (method.as_str(), report.continuations.as_slice()),
    ];
    summary::continuations(output, &models);
    output.text(format!(
        "\n{} and run.json are in {}",
        if trained.adapter().is_some() {
            "Adapter"
        } else {
            "Model"
        },
        arguments.out.display()
    ));
    output.text(summary::speed(&report.result));
    output.object(&report.result);
    Ok(Ended::Well)
}

/// `OUT.checkpoint`, beside the folder that it becomes.
fn checkpoint_path(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_os_string();
    name.push(".checkpoint");
    out.with_file_name(name)
}

/// Training, held-out and general samples, as the arguments share them out.
fn samples(arguments: &TrainArguments, model: &CausalLm, max_length: usize) -> Result<Sets> {
    let all = Set::read(&arguments.data, model, max_length)?;
    let available = all.len();
    // Without a file of their own, the held-out samples come out of the same one: a tenth at least.
    let most = match arguments.held_out {
        Some(_) => available,
        None => available - 1,
    };
    let count = match (arguments.samples, &arguments.held_out) {
        (Some(count), _) => count,
        (None, Some(_)) => available,
        (None, None) => available - available.div_ceil(10),
    };
    if count == 0 {
        return Err(Error::setting(
            "samples",
            count,
            "1 or more to train, and 1 to hold out",
        ));
    }
    if count > most {
        let origin = match arguments.held_out {
            Some(_) => all.origin,
            None => format!("{}, of which one at least is held out,", all.origin),
        };
        return Err(Error::TooFewSamples {
            origin,
            requested: count,
            available: most,
        });
    }
    let (train, rest) = all.split(count);
    let domain = match &arguments.held_out {
        Some(path) => Set::read(path, model, max_length)?,
        None => rest,
    };
    let general = match &arguments.general {
        Some(path) => Set::read(path, model, max_length)?,
        None => Set::tales(model, max_length)?,
    };
    Ok(Sets {
        train,
        domain,
        general,
    })
}
