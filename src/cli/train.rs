//! `minift train`: trains a model on user data.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::args::TrainArguments;
use super::output::{Output, counted};
use super::setup;
use super::trained::Trained;
use super::training::GeneralText;
use super::{Ended, generate, samples, search, summary};
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::eval::Perplexities;
use crate::files::FolderWriter;
use crate::train::report::{DeviceReport, Done, MethodReport, run_json};
use crate::train::{
    Cancel, Checkpoints, Ending, MemoryEstimate, Run, TrainOptions, TrainSettings, drive,
};

pub(super) async fn run(
    arguments: &TrainArguments,
    device: DeviceChoice,
    output: &Output,
    cancel: &Cancel,
) -> Result<Ended> {
    let settings = settings(arguments)?;
    apart(arguments)?;
    // Fail before the training if the output is not writable, and lock it together with its checkpoint.
    let folder = FolderWriter::new(&arguments.out, arguments.force)?;
    let mut device = setup::device(device, output).await?;
    if let Some(milliseconds) = arguments.time_slice {
        device = device.with_time_slice(Duration::from_millis(milliseconds as u64));
    }
    let (model, name) = arguments.model.model().announced(&device, output)?;
    let model = model.with_save_type(arguments.save_type);
    let reading = arguments.text.reading(model.reader())?;
    let max_length = reading.preparation.max_length;
    // Fail before any text is read or generated if the settings do not fit the model.
    let trainable = settings.trainable_count(&model)?;
    let mut sets = samples::read(arguments, &model, &reading, output)?;
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
    let checkpoints = checkpoints(arguments)?;
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
    });
    let prompts: Vec<&str> = arguments.prompt.iter().map(String::as_str).collect();
    let trained = match arguments.max_degeneralization {
        None => {
            let mut run = Run::new(model.clone(), data, settings.clone())?;
            if let Some(from) = &arguments.resume {
                match from {
                    Some(path) => Checkpoints::new(path).restore(&mut run)?,
                    None => checkpoints.restore(&mut run)?,
                }
                if checkpoints.best {
                    checkpoints.take_best(from.as_deref(), &run)?;
                }
                let (done, steps) = (run.steps_done(), run.steps());
                output.text(format!("Resuming after step {done} of {steps}"));
            }
            started["steps_done"] = run.steps_done().into();
            let cache = arguments.teacher_cache.as_deref();
            if let Some(folder) = cache {
                read_teacher_states(&mut run, folder, output)?;
            }
            output.object(&started);
            output.text("");
            let base = generate::continuations(&model, &prompts).await?;
            // The run frees its weights as soon as it can.
            drop(model);
            let trained = train(&mut run, settings, &checkpoints, output, cancel).await?;
            if let Some(folder) = cache {
                write_teacher_states(&run, folder, output).await;
            }
            trained.map(|trained| (trained, base))
        }
        Some(bound) => {
            output.object(&started);
            output.text("");
            let base = generate::continuations(&model, &prompts).await?;
            let sets = (data, validation);
            let found = search::search(
                options(arguments)?.strength(),
                bound.0,
                &model,
                sets,
                &settings,
                output,
                cancel,
            )
            .await?;
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
    } = trained;
    let title = settings.title();
    let report = MethodReport {
        result: Done::new(&settings, &outcome, arguments.out.display().to_string()),
        settings,
        trainable_parameters: trainable,
        losses,
        evaluations,
        continuations: generate::continuations(&trained, &prompts).await?,
        search,
    };
    trained.write(&folder, "").await?;
    let json = run_json(
        &setup,
        &DeviceReport::new(&device),
        &base,
        std::slice::from_ref(&report),
    );
    folder.write("run.json", format!("{json:#}\n").as_bytes())?;
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
    Ok(Ended::Success)
}

fn options(arguments: &TrainArguments) -> Result<TrainOptions> {
    arguments.training.options(arguments.replay.is_some())
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
    if arguments.max_degeneralization.is_some() && arguments.resume.is_some() {
        let expected = "no value with --max-degeneralization, which runs several trainings";
        return Err(Error::setting("resume", "true", expected));
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

/// Reads the teacher hidden states of an earlier run, if they match.
fn read_teacher_states(run: &mut Run, folder: &Path, output: &Output) -> Result<()> {
    // Fail before the training if the folder is not writable.
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    match run.read_teacher_states(folder) {
        Ok(true) => output.text("Teacher  hidden states loaded from the cache"),
        Ok(false) => {}
        Err(error) => output.text(format!("Warning  {}; computing them again", error.report())),
    }
    Ok(())
}

/// Writes the teacher hidden states for later runs. A failure is only a warning: the trained model matters
/// more.
async fn write_teacher_states(run: &Run, folder: &Path, output: &Output) {
    if let Err(error) = run.write_teacher_states(folder).await {
        output.text(format!(
            "Warning  {}; the teacher hidden states are not cached",
            error.report()
        ));
    }
}

/// Trains to the end of the run; `None` if cancelled.
async fn train(
    run: &mut Run,
    settings: TrainSettings,
    checkpoints: &Checkpoints,
    output: &Output,
    cancel: &Cancel,
) -> Result<Option<Trained>> {
    let title = settings.title();
    let ending = drive(run, Some(checkpoints), cancel, |event| {
        output.event(&title, event);
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
            "interrupted after step {} of {}: run the same command with --resume to resume from {}",
            run.steps_done(),
            run.steps(),
            checkpoints.path.display()
        ));
        return Ok(None);
    };
    if let Some(cache) = run.teacher_cache() {
        output.object(&json!({
            "event": "teacher_cache",
            "hit_rate": cache.hit_rate(),
            "cache": cache,
        }));
        output.text(summary::teacher_cache(&cache));
    }
    let evaluations = run.evaluations().to_vec();
    let outcome = match run.best_step().filter(|_| checkpoints.best) {
        Some(best) if best < run.steps() => {
            output.text(format!(
                "Best     step {best} of {}: using this model",
                run.steps()
            ));
            checkpoints.restore_best(run)?;
            if run.steps_done() != best {
                return Err(Error::Checkpoint {
                    path: checkpoints.best_path(),
                    message: format!(
                        "is of step {}, expected the best model of step {best}: --resume without --best \
                         gives the last model",
                        run.steps_done()
                    ),
                });
            }
            run.outcome_so_far().unwrap_or(outcome)
        }
        _ => outcome,
    };
    Ok(Some(Trained {
        settings,
        outcome,
        model: run.trained_model(),
        losses: run.losses().to_vec(),
        evaluations,
        search: None,
    }))
}

/// Returns where checkpoints are written, unless an interrupted run would lose its own.
fn checkpoints(arguments: &TrainArguments) -> Result<Checkpoints> {
    let checkpoints = Checkpoints {
        every: arguments.checkpoint_every,
        keep: arguments.keep_checkpoints.unwrap_or(1),
        best: arguments.best,
        ..Checkpoints::new(checkpoint_path(&arguments.out))
    };
    if arguments.resume.is_some() {
        return Ok(checkpoints);
    }
    if arguments.force {
        checkpoints.remove()?;
    } else if let Some(path) = checkpoints.files()?.into_iter().next() {
        return Err(Error::Checkpoint {
            path,
            message:
                "this checkpoint is from an interrupted run: continue it with --resume, or discard it \
                      with --force"
                    .to_string(),
        });
    }
    Ok(checkpoints)
}

/// Returns `OUT.checkpoint`, next to the output folder.
fn checkpoint_path(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_os_string();
    name.push(".checkpoint");
    out.with_file_name(name)
}
