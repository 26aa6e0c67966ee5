//! A training of `minift train` from its checkpoint to its last evaluation.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::output::Output;
use super::summary;
use super::train::TrainArguments;
use super::trained::Trained;
use super::watch::Watch;
use crate::error::{Error, Result};
use crate::train::{Cancel, Checkpoints, Ending, Event, Run, TrainSettings, advance};

/// Reads the teacher hidden states of an earlier run, if they match.
pub(super) fn read_teacher_states(run: &mut Run, folder: &Path, output: &Output) -> Result<()> {
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
pub(super) async fn write_teacher_states(run: &Run, folder: &Path, output: &Output) {
    if let Err(error) = run.write_teacher_states(folder).await {
        output.text(format!(
            "Warning  {}; the teacher hidden states are not cached",
            error.report()
        ));
    }
}

/// Trains to the end of the run; `None` if cancelled. `dials` is whether the strength is chosen or measured
/// afterwards.
pub(super) async fn train(
    run: &mut Run,
    settings: TrainSettings,
    checkpoints: &Checkpoints,
    dials: bool,
    watch: &mut Watch<'_>,
    cancel: &Cancel,
) -> Result<Option<Trained>> {
    let (title, output) = (settings.title(), watch.output);
    // The best model may be another.
    run.defer_front();
    let ending = loop {
        let mut on_event = |event: &Event| watch.event(&title, event);
        match advance(run, Some(checkpoints), cancel, &mut on_event).await? {
            ControlFlow::Continue(event) => watch.after(&event, run).await?,
            ControlFlow::Break(ending) => break ending,
        }
    };
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
        let cache = cache.over_ranks(run.trained_model().device().ranks())?;
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
        dial: dials.then(|| run.dial()).transpose()?,
        weight: 1.0,
        front: None,
    }))
}

/// Returns where checkpoints are written, unless an interrupted run would lose its own. Discards those of an
/// interrupted run if asked to and `writes`.
pub(super) fn checkpoints(arguments: &TrainArguments, writes: bool) -> Result<Checkpoints> {
    let checkpoints = Checkpoints {
        every: arguments.checkpoint_every(),
        keep: arguments.keep_checkpoints.unwrap_or(1),
        best: arguments.best.unwrap_or_default(),
        ..Checkpoints::new(checkpoint_path(arguments.out()?))
    };
    if arguments.resume.is_some() {
        return Ok(checkpoints);
    }
    if arguments.force {
        if writes {
            checkpoints.remove()?;
        }
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
