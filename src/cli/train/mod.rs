//! `minift train`: trains a model on user data.

mod arguments;
mod config;
mod effective;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::logs::{self, RunLog};
use super::output::{Output, counted};
use super::setup;
use super::trained::Trained;
use super::training::{GeneralText, Percentage, SearchOver};
use super::watch::Watch;
use super::{Ended, drive, front, generate, samples, search, strength, summary};
use crate::device::DeviceChoice;
use crate::device::ranks::Ranks;
use crate::error::{Error, Result};
use crate::eval::{Perplexities, format_weight};
use crate::files::FolderWriter;
use crate::model::DialProfile;
use crate::train::page::RunPage;
use crate::train::report::{DeviceReport, Done, MethodReport, run_json};
use crate::train::{
    Cancel, Checkpoints, MemoryEstimate, Run, TrainOptions, TrainSettings, check_ranks,
};
pub(super) use arguments::TrainArguments;
use report::ReportFile;

/// Runs the command. `device` is the device if one is given.
pub(super) async fn run(
    arguments: &TrainArguments,
    device: Option<DeviceChoice>,
    ranks: Ranks,
    output: &Output,
    cancel: &Cancel,
) -> Result<Ended> {
    let arguments = &config::complete(arguments, device)?;
    let settings = settings(arguments)?;
    if arguments.print_config {
        let fields = effective::effective(arguments, &settings)?;
        output.object(&json!({ "event": "config", effective::RECORD_KEY: fields }));
        output.text(effective::toml(&fields)?.trim_end());
        return Ok(Ended::Success);
    }
    // The run itself needs no Unicode.
    let recorded = effective::effective(arguments, &settings).ok();
    let config = recorded
        .as_ref()
        .and_then(|fields| effective::toml(fields).ok());
    let config = config.as_deref();
    let out = arguments.out()?;
    apart(arguments, out)?;
    let writes = ranks.rank() == 0;
    let log_dir = arguments.log_dir.as_ref().filter(|_| writes);
    let report_file = arguments.report.as_deref().filter(|_| writes);
    let report_file = report_file.map(|place| ReportFile::begin(place, out));
    let report_file = report_file.transpose()?;
    // Fail before the training if the output is not writable, and lock it together with its checkpoint.
    let folder = writes.then(|| FolderWriter::new(out, arguments.force));
    let folder = folder.transpose()?;
    let device = arguments.device.unwrap_or_default();
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
    if let Some(folder) = log_dir {
        logs::prepare(folder, out, arguments.resume.is_some(), arguments.force)?;
    }
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
    let mut watch = Watch::new(output, &prompts);
    let sets = (data, validation);
    let bound = arguments.max_degeneralization.map(Percentage::fraction);
    let trained = match bound.filter(|_| arguments.search() == SearchOver::Trainings) {
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
            if let Some(folder) = log_dir {
                watch = watch.with_log(RunLog::open(folder, &run, config)?);
            }
            output.object(&started);
            output.text("");
            let base = generate::continuations(&model, &prompts).await?;
            if run.evaluations().is_empty() {
                watch.samples(0, &base);
            }
            // The run frees its weights as soon as it can.
            drop(model);
            let dials = bound.is_some() || settings.dial.is_some();
            let trained = drive::train(&mut run, settings, &checkpoints, dials, &mut watch, cancel);
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
        result: Done::new(&settings, &outcome, out.display().to_string()),
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
    let mut json = run_json(
        &setup,
        &DeviceReport::new(&device),
        &base,
        std::slice::from_ref(&report),
    );
    if let (Some(record), Some(recorded)) = (json.as_object_mut(), recorded) {
        record.shift_insert(1, effective::RECORD_KEY.to_string(), recorded.into());
    }
    folder.write("run.json", format!("{json:#}\n").as_bytes())?;
    if let Some(front) = &report.front {
        folder.write(front::FILE, front.svg(weight).as_bytes())?;
    }
    watch.samples(steps, &report.continuations);
    let report_place = report_file.as_ref().map(ReportFile::place);
    let report_place = report_place.map(Path::to_path_buf);
    if let Some(file) = report_file {
        let page = RunPage {
            setup: &setup,
            device: &DeviceReport::new(&device),
            untouched: &base,
            report: &report,
            history: &watch.history,
            config,
        };
        file.finish(&folder, &page.html())?;
    }
    folder.finish()?;
    if let Some(folder) = log_dir
        && let Err(error) = logs::finish(folder)
    {
        output.text(format!("Warning  {}", error.report()));
    }
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
        out.display()
    ));
    if let Some(place) = report_place {
        output.text(format!("Report written to {}", place.display()));
    }
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
    options.dial = match arguments.no_dial {
        Some(true) => None,
        _ => options.dial.or(Some(DialProfile::default())),
    };
    Ok(options)
}

/// Returns the settings of the arguments.
fn settings(arguments: &TrainArguments) -> Result<TrainSettings> {
    let settings = options(arguments)?
        .settings()?
        .with_seed(arguments.training.seed.unwrap_or_default())
        .with_evaluate_every(arguments.evaluate_every.unwrap_or_default());
    if let Some(cache) = &arguments.teacher_cache
        && !settings.objective.needs_teacher()
    {
        let expected = "no value with --method ft, which has no teacher";
        return Err(Error::setting("teacher_cache", cache.display(), expected));
    }
    if arguments.search() == SearchOver::Trainings {
        let expected = "no value with --search trainings, which runs several trainings";
        for (name, is_given) in [
            ("resume", arguments.resume.is_some()),
            ("teacher_cache", arguments.teacher_cache.is_some()),
            ("keep_checkpoints", arguments.keep_checkpoints.is_some()),
            ("evaluate_every", settings.evaluate_every > 0),
            ("log_dir", arguments.log_dir.is_some()),
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
fn apart(arguments: &TrainArguments, out: &Path) -> Result<()> {
    let texts = [&arguments.replay, &arguments.ewc_text];
    let texts = texts.into_iter().flatten().filter_map(GeneralText::path);
    let single = [
        &arguments.general,
        &arguments.held_out,
        &arguments.validation,
        &arguments.teacher_cache,
        &arguments.log_dir,
    ];
    let model = arguments.model.model();
    let inputs = arguments.data.iter().map(PathBuf::as_path).chain(texts);
    let inputs = inputs.chain(single.into_iter().flatten().map(PathBuf::as_path));
    setup::apart(out, inputs.chain(model.folder()))
}
