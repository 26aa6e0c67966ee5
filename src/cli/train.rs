//! `minift train`: trains a model on user data.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::args::TrainArguments;
use super::output::{Output, counted};
use super::setup;
use super::trained::Trained;
use super::training::{GeneralText, SearchOver};
use super::{Ended, drive, front, generate, samples, search, strength, summary};
use crate::device::DeviceChoice;
use crate::device::ranks::Ranks;
use crate::error::{Error, Result};
use crate::eval::{Perplexities, format_weight};
use crate::files::FolderWriter;
use crate::model::DialProfile;
use crate::train::report::{DeviceReport, Done, MethodReport, run_json};
use crate::train::{
    Cancel, Checkpoints, MemoryEstimate, Run, TrainOptions, TrainSettings, check_ranks,
};

pub(super) async fn run(
    arguments: &TrainArguments,
    device: DeviceChoice,
    ranks: Ranks,
    output: &Output,
    cancel: &Cancel,
) -> Result<Ended> {
    let settings = settings(arguments)?;
    apart(arguments)?;
    // Fail before the training if the output is not writable, and lock it together with its checkpoint.
    let writes = ranks.rank() == 0;
    let folder = writes.then(|| FolderWriter::new(&arguments.out, arguments.force));
    let folder = folder.transpose()?;
    let mut device = setup::device(device, output).await?.with_ranks(ranks);
    if let Some(milliseconds) = arguments.time_slice {
        device = device.with_time_slice(Duration::from_millis(milliseconds as u64));
    }
    let load = || arguments.model.model().announced(&device, output);
    let (model, name) = device.ranks().in_turn(load)?;
    let model = model.with_save_type(arguments.save_type);
    let reading = arguments.text.reading(model.reader())?;
    let max_length = reading.preparation.max_length;
    // Fail before any text is read or generated if the settings do not fit the model.
    let trainable = settings.trainable_count(&model)?;
    let read = || samples::read(arguments, &model, &reading, output);
    let mut sets = device.ranks().in_turn(read)?;
    samples::add_general_text(
        &mut sets,
        arguments,
        &settings,
        &model,
        &reading.of_general(),
        output,
    )
    .await?;
    let (data, validation, setup) = sets.announce(&model, name, max_length, output);
    let data = Arc::new(data);
    if let Some(adapter) = &settings.adapter {
        output.text(format!(
            "Adapter  {}, {}",
            adapter.name(),
            counted(trainable, "trainable parameter")
        ));
    }

    let memory = MemoryEstimate::new(&model, &data, &settings)?;
    setup::memory(&memory, &model, &data, &settings, output)?;
    let checkpoints = drive::checkpoints(arguments, writes)?;
    let steps = settings.steps(data.train.len())?;
    setup::warn_of_warmup(&settings, steps, output);
    let mut started = json!({
        "event": "started",
        "method": settings.objective.target.method(),
        "trainable_parameters": trainable,
        "settings": settings,
        "steps": steps,
        "steps_done": 0,
        "setup": setup,
        "memory": memory,
        "device": device.name(),
        "ranks": device.ranks().count(),
    });
    let prompts: Vec<&str> = arguments.prompt.iter().map(String::as_str).collect();
    check_ranks(&model, &data, &validation, &settings)?;
    let sets = (data, validation);
    let bound = arguments.max_degeneralization.map(|bound| bound.0);
    let trained = match bound.filter(|_| arguments.search == SearchOver::Trainings) {
        None => {
            let mut run = Run::new(model.clone(), sets.0.clone(), settings.clone())?;
            if let Some(from) = &arguments.resume {
                match from {
                    Some(path) => Checkpoints::new(path).restore(&mut run)?,
                    None => checkpoints.restore(&mut run)?,
                }
                run.check_resumed()?;
                if checkpoints.best && writes {
                    checkpoints.take_best(from.as_deref(), &run)?;
                }
                let (done, steps) = (run.steps_done(), run.steps());
                output.text(format!("Resuming after step {done} of {steps}"));
            }
            started["steps_done"] = run.steps_done().into();
            let cache = arguments.teacher_cache.as_deref();
            if let Some(folder) = cache {
                drive::read_teacher_states(&mut run, folder, output)?;
            }
            output.object(&started);
            output.text("");
            let base = generate::continuations(&model, &prompts).await?;
            // The run frees its weights as soon as it can.
            drop(model);
            let dials = bound.is_some() || settings.dial.is_some();
            let trained = drive::train(&mut run, settings, &checkpoints, dials, output, cancel);
            let trained = trained.await?;
            if let Some(folder) = cache {
                drive::write_teacher_states(&run, folder, output).await;
            }
            drop(run);
            let trained = match trained {
                Some(trained) => strength::choose(trained, bound, &sets, output, cancel).await?,
                None => None,
            };
            trained.map(|trained| (trained, base))
        }
        Some(bound) => {
            output.object(&started);
            output.text("");
            let base = generate::continuations(&model, &prompts).await?;
            let found = search::search(
                options(arguments)?.strength(),
                bound,
                &model,
                &sets,
                &settings,
                output,
                cancel,
            );
            let found = match found.await? {
                Some(found) => strength::choose(found, None, &sets, output, cancel).await?,
                None => None,
            };
            found.map(|trained| (trained, base))
        }
    };
    let Some((trained, base)) = trained else {
        return Ok(Ended::Cancelled);
    };

    let Trained {
        settings,
        outcome,
        model: trained,
        losses,
        evaluations,
        search,
        weight,
        front,
        ..
    } = trained;
    let title = match weight {
        1.0 => settings.title(),
        weight => format!("{}, w {}", settings.title(), format_weight(weight)),
    };
    let report = MethodReport {
        result: Done::new(&settings, &outcome, arguments.out.display().to_string()),
        settings,
        trainable_parameters: trainable,
        losses,
        evaluations,
        continuations: generate::continuations(&trained, &prompts).await?,
        search,
        weight,
        front,
    };
    let Some(folder) = folder else {
        return Ok(Ended::Success);
    };
    trained.write(&folder, "").await?;
    let json = run_json(
        &setup,
        &DeviceReport::new(&device),
        &base,
        std::slice::from_ref(&report),
    );
    folder.write("run.json", format!("{json:#}\n").as_bytes())?;
    if let Some(front) = &report.front {
        folder.write(front::FILE, front.svg(weight).as_bytes())?;
    }
    folder.finish()?;
    if arguments.keep_checkpoints.is_none() {
        checkpoints.remove()?;
    }

    let rows = [
        summary::Row::base(outcome.before),
        summary::Row {
            trained_on_general: setup.general_in_training > 0,
            ..summary::Row::trained(title.clone(), &report.result)
        },
    ];
    summary::table(output, &rows);
    if let Some(front) = &report.front {
        front::print(front, weight, Some(report.result.seconds), output);
    }
    let models = [
        ("base model", base.as_slice()),
        (title.as_str(), report.continuations.as_slice()),
    ];
    summary::continuations(output, &models);
    output.text(format!(
        "\n{} and run.json written to {}",
        if trained.adapter().is_some() {
            "Adapter"
        } else {
            "Model"
        },
        arguments.out.display()
    ));
    output.text(summary::speed(&report.result));
    output.object(&report.result);
    let Perplexities { domain, general } = outcome.after;
    if !(domain.is_finite() && general.is_finite()) {
        output.text(
            "Failed   the training diverged: a perplexity of the trained model is not finite. Use a lower \
             learning rate (--lr)",
        );
        return Ok(Ended::Failed);
    }
    Ok(match cancel.is_cancelled() {
        true => Ended::Cancelled,
        false => Ended::Success,
    })
}

fn options(arguments: &TrainArguments) -> Result<TrainOptions> {
    let mut options = arguments.training.options(arguments.replay.is_some())?;
    let profile = match arguments.by_depth {
        true => DialProfile::ByDepth,
        false => DialProfile::Uniform,
    };
    options.dial = (!arguments.no_dial).then_some(profile);
    Ok(options)
}

/// Returns the settings of the arguments.
fn settings(arguments: &TrainArguments) -> Result<TrainSettings> {
    let settings = options(arguments)?
        .settings()?
        .with_seed(arguments.training.seed)
        .with_evaluate_every(arguments.evaluate_every);
    if let Some(cache) = &arguments.teacher_cache
        && !settings.objective.needs_teacher()
    {
        let expected = "no value with --method ft, which has no teacher";
        return Err(Error::setting("teacher_cache", cache.display(), expected));
    }
    if arguments.search == SearchOver::Trainings {
        let expected = "no value with --search trainings, which runs several trainings";
        for (name, is_given) in [
            ("resume", arguments.resume.is_some()),
            ("teacher_cache", arguments.teacher_cache.is_some()),
            ("keep_checkpoints", arguments.keep_checkpoints.is_some()),
            ("evaluate_every", arguments.evaluate_every > 0),
        ] {
            if is_given {
                return Err(Error::setting(name, "given", expected));
            }
        }
    }
    Ok(settings)
}

/// Rejects an output folder that contains an input of the run: `--force` would delete it, and anything
/// written there in the meantime would block the output.
fn apart(arguments: &TrainArguments) -> Result<()> {
    let texts = [&arguments.replay, &arguments.ewc_text];
    let texts = texts.into_iter().flatten().filter_map(GeneralText::path);
    let single = [
        &arguments.general,
        &arguments.held_out,
        &arguments.validation,
        &arguments.teacher_cache,
    ];
    let model = arguments.model.model();
    let inputs = arguments.data.iter().map(PathBuf::as_path).chain(texts);
    let inputs = inputs.chain(single.into_iter().flatten().map(PathBuf::as_path));
    setup::apart(&arguments.out, inputs.chain(model.folder()))
}
