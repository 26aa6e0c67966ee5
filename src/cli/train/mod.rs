//! `minift train`: trains a model on user data.

mod arguments;
mod config;
mod effective;
mod inputs;
mod job;
mod outputs;
mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::output::Output;
use super::training::{GeneralText, SearchOver};
use super::watch::Watch;
use super::{Ended, drive, front, generate, setup, summary};
use crate::device::ranks::Ranks;
use crate::device::{Device, DeviceChoice};
use crate::error::{Error, Result};
use crate::eval::{Perplexities, format_weight};
use crate::model::DialProfile;
use crate::train::{Cancel, TrainOptions, TrainSettings};
pub(super) use arguments::TrainArguments;
use inputs::Inputs;
use job::Job;
use outputs::{Outputs, Results};

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
    let outputs = Outputs::open(arguments, &settings, ranks.rank() == 0)?;
    let device = open_device(arguments, ranks, output).await?;
    let inputs = Inputs::read(arguments, &settings, &device, output).await?;
    let checkpoints = drive::checkpoints(arguments, outputs.writes())?;
    outputs.prepare_logs(arguments)?;
    setup::warn_of_warmup(&settings, inputs.steps, output);

    let (setup, trainable, steps) = (inputs.setup.clone(), inputs.trainable, inputs.steps);
    let prompts: Vec<&str> = arguments.prompt.iter().map(String::as_str).collect();
    let mut watch = Watch::new(output, &prompts);
    let job = Job {
        arguments,
        settings,
        inputs,
        outputs: &outputs,
        checkpoints: &checkpoints,
        prompts: &prompts,
        output,
        cancel,
    };
    let Some((trained, untouched)) = job.run(&mut watch).await? else {
        return Ok(Ended::Cancelled);
    };

    let outcome = trained.outcome;
    let title = match trained.weight {
        1.0 => trained.settings.title(),
        weight => format!("{}, w {}", trained.settings.title(), format_weight(weight)),
    };
    let continuations = generate::continuations(&trained.model, &prompts).await?;
    let out = outputs.out.display().to_string();
    let (report, model) = trained.into_report(trainable, continuations, out);
    if !outputs.writes() {
        return Ok(Ended::Success);
    }
    watch.samples(steps, &report.continuations);
    let results = Results {
        setup: &setup,
        untouched: &untouched,
        report: &report,
        model: &model,
        history: &watch.history,
    };
    let place = outputs.write(&results, output).await?;
    if arguments.keep_checkpoints.is_none() {
        checkpoints.remove()?;
    }
    print(&results, &title, place.as_deref(), output);
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

async fn open_device(arguments: &TrainArguments, ranks: Ranks, output: &Output) -> Result<Device> {
    let device = arguments.device.unwrap_or_default();
    let device = setup::device(device, output).await?.with_ranks(ranks);
    Ok(match arguments.time_slice {
        Some(milliseconds) => device.with_time_slice(Duration::from_millis(milliseconds as u64)),
        None => device,
    })
}

/// Prints the results: a table, the front, continuations, and where everything was written.
fn print(results: &Results<'_>, title: &str, report_place: Option<&Path>, output: &Output) {
    let report = results.report;
    let before = Perplexities {
        domain: report.result.domain_perplexity_before,
        general: report.result.general_perplexity_before,
    };
    let rows = [
        summary::Row::base(before),
        summary::Row {
            trained_on_general: results.setup.general_in_training > 0,
            ..summary::Row::trained(title.to_string(), &report.result)
        },
    ];
    summary::table(output, &rows);
    if let Some(front) = &report.front {
        front::print(front, report.weight, Some(report.result.seconds), output);
    }
    let models = [
        ("base model", results.untouched),
        (title, report.continuations.as_slice()),
    ];
    summary::continuations(output, &models);
    let what = match results.model.adapter() {
        Some(_) => "Adapter",
        None => "Model",
    };
    let out = &report.result.out;
    output.text(format!("\n{what} and run.json written to {out}"));
    if let Some(place) = report_place {
        output.text(format!("Report written to {}", place.display()));
    }
    output.text(summary::speed(&report.result));
    output.object(&report.result);
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
