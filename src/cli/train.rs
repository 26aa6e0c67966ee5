//! `minift train`: a person's own model on a person's own text.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::TrainArguments;
use super::inputs::Reading;
use super::output::{Output, thousands};
use super::setup::{self, Set, Sets};
use super::training::GeneralText;
use super::{Ended, summary, within};
use crate::data::Sample;
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::files::FolderWriter;
use crate::model::CausalLm;
use crate::report::{DeviceReport, Done, Method, MethodReport, run_json};
use crate::train::{
    CONSOLIDATION_TEXTS, Cancel, Checkpoints, Ending, Evaluated, MemoryEstimate, Outcome, Run,
    RunData, TrainSettings, drive,
};

/// Share of a batch that is replayed text where nobody says otherwise.
const DEFAULT_REPLAY_RATIO: f64 = 0.25;
/// Texts that the model writes at least where the share of replay is looked for.
const SEARCHED_REPLAY_TEXTS: usize = 1024;

/// A model that came out of training.
pub(super) struct Trained {
    pub settings: TrainSettings,
    pub outcome: Outcome,
    pub model: CausalLm,
    pub losses: Vec<f32>,
    pub evaluations: Vec<Evaluated>,
    /// What `run.json` says of a search.
    pub search: Option<Value>,
}

pub async fn run(
    arguments: &TrainArguments,
    device: DeviceChoice,
    output: &Output,
    cancel: &Cancel,
) -> Result<Ended> {
    let settings = settings(arguments)?;
    apart(arguments)?;
    // A place that cannot be written to is better known before the training than after it, and nobody
    // else may write there, nor to its checkpoint.
    let folder = FolderWriter::new(&arguments.out, arguments.force)?;
    let mut device = setup::device(device, output).await?;
    if let Some(milliseconds) = arguments.time_slice {
        device = device.with_time_slice(Duration::from_millis(milliseconds as u64));
    }
    let (model, name) = arguments.model.announced(&device, output)?;
    let reading = arguments.text.reading(model.reader())?;
    let max_length = reading.preparation.max_length;
    // What does not fit the model is better known before any text is written or read.
    let trainable = settings.trainable_count(&model)?;
    let mut sets = samples(arguments, &model, &reading, output)?;
    general_texts(
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
            "Adapter  {}, {} trainable parameters",
            adapter.name(),
            thousands(trainable as f64)
        ));
    }

    let memory = MemoryEstimate::new(&model, &data, &settings)?;
    setup::memory(&memory, &model, &data, &settings, output)?;
    let checkpoints = checkpoints(arguments)?;
    let mut started = json!({
        "event": "started",
        "method": Method::of(&settings.objective),
        "trainable_parameters": trainable,
        "settings": settings,
        "steps": settings.steps(data.train.len())?,
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
                output.text(format!("Resume   after step {done} of {steps}"));
            }
            started["steps_done"] = run.steps_done().into();
            let cache = arguments.teacher_cache.as_deref();
            if let Some(folder) = cache {
                read_teacher_states(&mut run, folder, output)?;
            }
            output.object(&started);
            output.text("");
            let untouched = setup::continuations(&model, &prompts).await?;
            let trained = train(&mut run, settings, &checkpoints, output, cancel).await?;
            if let Some(folder) = cache {
                write_teacher_states(&run, folder, output).await;
            }
            trained.map(|trained| (trained, untouched))
        }
        Some(bound) => {
            output.object(&started);
            output.text("");
            let untouched = setup::continuations(&model, &prompts).await?;
            let sets = (data, validation);
            let found = within::search(
                arguments.training.strength(arguments.replay.is_some()),
                bound.0,
                &model,
                sets,
                &settings,
                output,
                cancel,
            )
            .await?;
            found.map(|trained| (trained, untouched))
        }
    };
    let Some((trained, untouched)) = trained else {
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
        continuations: setup::continuations(&trained, &prompts).await?,
        search,
    };
    trained.write(&folder, "").await?;
    let json = run_json(
        &setup,
        &DeviceReport::new(&device),
        &untouched,
        std::slice::from_ref(&report),
    );
    folder.write("run.json", format!("{json:#}\n").as_bytes())?;
    folder.finish()?;
    if arguments.keep_checkpoints.is_none() {
        checkpoints.remove()?;
    }

    let rows = [
        summary::Row::untouched(outcome.before),
        summary::Row::trained(title.clone(), &report.result),
    ];
    summary::table(output, &rows);
    let models = [
        ("untouched", untouched.as_slice()),
        (title.as_str(), report.continuations.as_slice()),
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

/// The settings that the arguments mean together.
fn settings(arguments: &TrainArguments) -> Result<TrainSettings> {
    let replays = arguments.replay.is_some();
    let usual = if replays { DEFAULT_REPLAY_RATIO } else { 0.0 };
    let settings = TrainSettings {
        replay_ratio: arguments.replay_ratio.unwrap_or(usual),
        evaluate_every: arguments.evaluate_every,
        ..arguments.training.settings()?
    };
    settings.validate()?;
    if arguments.teacher_cache.is_some() && !settings.objective.needs_teacher() {
        let expected = "none with --method ft, which has no teacher";
        return Err(Error::setting("teacher-cache", "given", expected));
    }
    if arguments.max_degeneralization.is_some() && arguments.resume.is_some() {
        let expected = "none with --max-degeneralization, which tries several trainings";
        return Err(Error::setting("resume", "given", expected));
    }
    Ok(settings)
}

/// Refuses an output in whose place something stands that the run needs: with `--force` it would be lost,
/// and what is written there meanwhile is in its way without.
fn apart(arguments: &TrainArguments) -> Result<()> {
    let texts = [&arguments.replay, &arguments.ewc_text];
    let texts = texts.into_iter().flatten().filter_map(GeneralText::path);
    let single = [
        &arguments.general,
        &arguments.held_out,
        &arguments.validation,
        &arguments.teacher_cache,
    ];
    let needed = arguments.data.iter().map(PathBuf::as_path).chain(texts);
    let needed = needed.chain(single.into_iter().flatten().map(PathBuf::as_path));
    setup::apart(&arguments.out, needed.chain(arguments.model.folder()))
}

/// Begins with the teacher's states that another run left in a folder, where that can be done.
fn read_teacher_states(run: &mut Run, folder: &Path, output: &Output) -> Result<()> {
    // A place that cannot be written to is better known before the training than after it.
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    match run.read_teacher_states(folder) {
        Ok(true) => output.text("Teacher  its states are at hand from another run"),
        Ok(false) => {}
        Err(error) => output.text(format!("warning: {error}; they are computed anew")),
    }
    Ok(())
}

/// Leaves the teacher's states for other runs. What was trained is worth more than they are, so that
/// nothing ends if they cannot be written.
async fn write_teacher_states(run: &Run, folder: &Path, output: &Output) {
    if let Err(error) = run.write_teacher_states(folder).await {
        output.text(format!(
            "warning: {error}; the teacher's states are not kept"
        ));
    }
}

/// Trains from where the run is; `None` if cancelled.
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
            "stopped after step {} of {}; the same command with --resume goes on from {}",
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
                "Best     step {best} of {}: the model as it was then is taken",
                run.steps()
            ));
            checkpoints.restore_best(run)?;
            if run.steps_done() != best {
                return Err(Error::Checkpoint {
                    path: checkpoints.best_path(),
                    message: format!(
                        "of step {}, where the best model is of step {best}: --resume without --best gives \
                         the last one",
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

/// Where checkpoints go, if no stopped run would lose its own by that.
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
                "a stopped run left this checkpoint: go on from it with --resume, or begin anew \
                      with --force"
                    .to_string(),
        });
    }
    Ok(checkpoints)
}

/// `OUT.checkpoint`, beside the folder that it becomes.
fn checkpoint_path(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_os_string();
    name.push(".checkpoint");
    out.with_file_name(name)
}

/// Training, held-out and general samples, as the arguments share them out.
fn samples(
    arguments: &TrainArguments,
    model: &CausalLm,
    reading: &Reading,
    output: &Output,
) -> Result<Sets> {
    let general_reading = reading.of_general();
    let read = |path: &Path| Set::read(path, model, &general_reading, output);
    let max_length = reading.preparation.max_length;
    let all = Set::read_all(&arguments.data, model, reading, output)?;
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
    let (train, rest) = match arguments.samples {
        Some(_) => all.split(count),
        None => all.draw(available - count, arguments.training.seed),
    };
    let domain = match &arguments.held_out {
        Some(path) => Set::read(path, model, reading, output)?,
        None => rest,
    };
    let (general, validation) = match &arguments.general {
        Some(path) => (read(path)?, None),
        None => {
            let (general, validation) = Set::tales(model, max_length)?;
            (general, Some(validation))
        }
    };
    let searches = arguments.max_degeneralization.is_some();
    let (general, validation) = match (&arguments.validation, validation) {
        _ if !searches => (general, None),
        (Some(path), _) => (general, Some(read(path)?)),
        (None, Some(validation)) => (general, Some(validation)),
        (None, None) => {
            let count = general.len();
            if count < 2 {
                return Err(Error::TooFewSamples {
                    origin: format!("{}, of which a fifth is for choosing,", general.origin),
                    requested: 2,
                    available: count,
                });
            }
            let (general, validation) = general.split(count - count.div_ceil(5));
            (general, Some(validation))
        }
    };
    Ok(Sets {
        pack: arguments.pack,
        train,
        domain,
        general,
        replay: None,
        consolidation: None,
        validation,
    })
}

/// Adds the general text that the method trains with: read, or written by the untouched model.
async fn general_texts(
    sets: &mut Sets,
    arguments: &TrainArguments,
    settings: &TrainSettings,
    model: &CausalLm,
    reading: &Reading,
    output: &Output,
) -> Result<()> {
    if let Some(text) = &arguments.replay {
        let mut count = settings.replayed(sets.train.len())?.max(1);
        if arguments.max_degeneralization.is_some() {
            // Larger shares than the one that was given are tried.
            count = count.max(SEARCHED_REPLAY_TEXTS);
        }
        sets.replay = Some(general_text(text, count, settings.seed, model, reading, output).await?);
    }
    if settings.ewc > 0.0 {
        let text = arguments.ewc_text.as_ref().unwrap_or(&GeneralText::Model);
        let count = CONSOLIDATION_TEXTS;
        // Another text than what is replayed.
        let seed = settings.seed ^ (1 << 32);
        let set = general_text(text, count, seed, model, reading, output).await?;
        let count = count.min(set.len());
        sets.consolidation = Some(set.split(count).0);
    }
    Ok(())
}

async fn general_text(
    text: &GeneralText,
    count: usize,
    seed: u64,
    model: &CausalLm,
    reading: &Reading,
    output: &Output,
) -> Result<Set> {
    match text {
        GeneralText::File(path) => Set::read(path, model, reading, output),
        GeneralText::Model => {
            let max_length = reading.preparation.max_length;
            Set::written(model, count, max_length, seed, output).await
        }
    }
}

/// A run's data and the validation set.
pub(super) type DataAndValidation = (Arc<RunData>, Vec<Sample>);
