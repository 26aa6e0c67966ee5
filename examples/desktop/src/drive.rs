//! The scripted self-test: clicks and types through the regular input of the window, and checks the
//! results.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use eframe::egui::{
    ColorImage, Context, Event, Id, RawInput, Rect, Response, ViewportCommand, vec2,
};
use serde_json::{Value, json};

use crate::frames::Frames;
use crate::gestures::{GESTURE, click, keys, slide};
use crate::session::{Session, Stage};

/// Timeout in frames for a control to appear, or for a report without an active run.
const TIMEOUT: usize = 600;
/// Minimum number of colours in a screenshot that is not blank.
const MIN_COLOURS: usize = 200;

/// The result of the self-test, shared with `main`.
#[derive(Clone, Debug, Default)]
pub struct Verdict(Arc<Mutex<Option<Result<Value, String>>>>);

impl Verdict {
    /// Returns `None` if the script did not finish.
    pub fn take(&self) -> Option<Result<Value, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, verdict: Result<Value, String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
    }
}

/// Position of a control, and the pass that drew it.
#[derive(Clone, Copy, Debug)]
struct Mark {
    rect: Rect,
    enabled: bool,
    pass: u64,
}

/// Registers a control under a name for the script.
pub fn mark(name: &'static str, response: &Response) {
    let mark = Mark {
        rect: response.rect,
        enabled: response.enabled(),
        pass: response.ctx.cumulative_pass_nr(),
    };
    response
        .ctx
        .data_mut(|data| data.insert_temp(Id::unique(("mark", name)), mark));
}

/// A step of the script.
enum Action {
    /// Waits for a number of frames.
    Wait(usize),
    /// Clicks a control.
    Click(&'static str),
    /// Moves a slider to a part of its width.
    Slide(&'static str, f32),
    /// Replaces the text of the focused field.
    Type(String),
    /// Waits for a condition, with a description.
    Until(&'static str, fn(&Session) -> bool),
    /// Checks a condition, with the message of a failure.
    Check(&'static str, fn(&Session, &Value) -> bool),
    /// Adds a value to the report.
    Note(&'static str, fn(&Session, &Frames) -> Value),
    /// Takes a screenshot.
    Picture,
}

type Picture = Arc<Mutex<Option<Arc<ColorImage>>>>;

/// The script and its progress.
pub struct Drive {
    folder: PathBuf,
    verdict: Verdict,
    actions: VecDeque<Action>,
    /// Frames spent on the current action.
    taken: usize,
    /// Frames spent waiting without an active run.
    missed: usize,
    report: Value,
    /// Frame times before the run, for comparison.
    at_rest: Frames,
    picture: Option<Picture>,
    /// Whether the window has been asked to close.
    ended: bool,
}

impl Drive {
    /// Starts the script with a new output folder.
    ///
    /// # Errors
    ///
    /// If the folder cannot be created.
    pub fn new(folder: &Path, verdict: Verdict) -> Result<Self, String> {
        let folder = std::path::absolute(folder).map_err(|error| error.to_string())?;
        fs::create_dir(&folder)
            .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        Ok(Self {
            actions: script(&folder),
            folder,
            verdict,
            taken: 0,
            missed: 0,
            report: json!({}),
            at_rest: Frames::default(),
            picture: None,
            ended: false,
        })
    }

    /// Adds the input of the current action to that of the window.
    pub fn input(&mut self, context: &Context, input: &mut RawInput) {
        // Windows on a virtual display have no focus.
        input.focused = true;
        let events = match self.actions.front() {
            Some(Action::Click(name) | Action::Slide(name, _)) => match find(context, name) {
                Ok(Some(control)) => self.press(control),
                Ok(None) if self.missed < TIMEOUT => {
                    self.missed += 1;
                    return;
                }
                Ok(None) => {
                    let message = format!("control {name} did not appear, or is disabled");
                    return self.end(context, Err(message));
                }
                Err(message) => return self.end(context, Err(message)),
            },
            Some(Action::Type(text)) => keys(text, self.taken),
            _ => return,
        };
        input.events.extend(events);
        self.missed = 0;
        self.taken += 1;
    }

    /// Input of the current action on its control.
    fn press(&self, control: Rect) -> Vec<Event> {
        match self.actions.front() {
            Some(Action::Slide(_, part)) => {
                slide(control.lerp_inside(vec2(*part, 0.5)), self.taken)
            }
            _ => click(control.center(), self.taken),
        }
    }

    /// Advances the script after a frame.
    pub fn frame(&mut self, context: &Context, session: &Session, training: &Frames) {
        if self.ended {
            return;
        }
        self.at_rest
            .frame(Instant::now(), session.stage == Stage::Ready);
        if let Stage::Failed(message) = &session.stage {
            return self.end(context, Err(format!("the run failed: {message}")));
        }
        let Some(action) = self.actions.front() else {
            self.note("frames_at_rest", json!(self.at_rest.summary()));
            let report = self.report.take();
            return self.end(context, Ok(report));
        };
        let done = match action {
            Action::Wait(frames) => {
                self.taken += 1;
                self.taken >= *frames
            }
            Action::Click(_) | Action::Slide(..) | Action::Type(_) => self.taken == GESTURE,
            Action::Until(what, condition) => {
                let met = condition(session);
                // The timeout applies only without an active run.
                self.missed = if session.stage.is_active() || session.answers.busy.is_some() {
                    0
                } else {
                    self.missed + 1
                };
                if !met && self.missed > TIMEOUT {
                    let message = format!(
                        "timed out waiting until {what}; report so far: {}",
                        self.report
                    );
                    return self.end(context, Err(message));
                }
                met
            }
            Action::Check(what, condition) => {
                if !condition(session, &self.report) {
                    let message = format!("{what}; report so far: {}", self.report);
                    return self.end(context, Err(message));
                }
                true
            }
            Action::Note(name, value) => {
                let (name, value) = (*name, value(session, training));
                self.note(name, value);
                true
            }
            Action::Picture => match self.take_picture(context) {
                Ok(taken) => taken,
                Err(message) => return self.end(context, Err(message)),
            },
        };
        if done {
            self.actions.pop_front();
            self.taken = 0;
            self.missed = 0;
        }
    }

    fn note(&mut self, name: &str, value: Value) {
        self.report[name] = value;
    }

    /// Takes and writes the screenshot. Returns whether it is done.
    fn take_picture(&mut self, context: &Context) -> Result<bool, String> {
        let Some(picture) = &self.picture else {
            let picture = Picture::default();
            let slot = picture.clone();
            context.request_screenshot(move |image| {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(image);
            });
            self.picture = Some(picture);
            return Ok(false);
        };
        let Some(image) = picture
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        else {
            return Ok(false);
        };
        let colours: BTreeSet<[u8; 4]> =
            image.pixels.iter().map(|pixel| pixel.to_array()).collect();
        if colours.len() < MIN_COLOURS {
            return Err(format!("the window is blank: {} colours", colours.len()));
        }
        let path = self.folder.join("window.png");
        let [width, height] = image.size.map(|size| size as u32);
        let bytes: Vec<u8> = image
            .pixels
            .iter()
            .flat_map(|pixel| pixel.to_array())
            .collect();
        image::save_buffer(
            &path,
            &bytes,
            width,
            height,
            image::ExtendedColorType::Rgba8,
        )
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        self.note(
            "picture",
            json!({ "path": path, "size": image.size, "colours": colours.len() }),
        );
        Ok(true)
    }

    fn end(&mut self, context: &Context, verdict: Result<Value, String>) {
        self.actions.clear();
        self.ended = true;
        self.verdict.set(verdict);
        context.send_viewport_cmd(ViewportCommand::Close);
    }
}

/// The script of the self-test.
fn script(folder: &Path) -> VecDeque<Action> {
    use Action::{Check, Click, Note, Picture, Slide, Type, Until, Wait};
    let model = folder.join("model");
    let answered = |session: &Session| {
        let answers = &session.answers;
        answers.busy.is_none() && answers.last().is_some_and(|turn| !turn.trained.is_empty())
    };
    let measured = |session: &Session| {
        let strengths = session.strengths();
        strengths.is_some_and(|strengths| strengths.measured(strengths.chosen).is_some())
    };
    let strength = |session: &Session, _: &Frames| {
        let point = session
            .strengths()
            .and_then(|strengths| strengths.measured(strengths.chosen));
        json!(point)
    };
    let answers = |session: &Session, _: &Frames| {
        session.answers.last().map_or(Value::Null, |turn| {
            json!({
                "prompt": turn.prompt,
                "untouched": turn.original,
                "trained": turn.trained,
            })
        })
    };
    let memory = |session: &Session, _: &Frames| json!({ "most": session.peak_memory, "after": session.memory });
    [
        Wait(120),
        Click("start"),
        Until("three steps are done", |session| session.step >= 3),
        Click("pause"),
        Until("the run is paused", |session| {
            session.stage == Stage::Paused
        }),
        Note("paused_at_step", |session, _| json!(session.step)),
        // Commands are handled in order: a step in flight would be reported before the answer.
        Click("ask"),
        Until("the prompt is answered in the pause", answered),
        Wait(60),
        Check("a step came while the run was paused", |session, report| {
            report["paused_at_step"] == json!(session.step) && session.stage == Stage::Paused
        }),
        Click("resume"),
        Until("the run is finished", |session| {
            session.stage == Stage::Finished
        }),
        Note("steps", |session, _| json!(session.steps)),
        Note("device", |session, _| {
            json!(session.facts.as_ref().map(|facts| &facts.device))
        }),
        Check("not every step was reported", |session, _| {
            session.step == session.steps && session.losses.len() == session.steps
        }),
        Check("the domain perplexity did not improve", |session, _| {
            session
                .outcome()
                .is_some_and(|row| row.metrics().specialization > 0.0)
        }),
        Note("result", |session, _| {
            session.outcome().map_or(Value::Null, |row| {
                json!({
                    "name": row.name,
                    "before": row.before,
                    "after": row.after,
                    "metrics": row.metrics(),
                })
            })
        }),
        Note("frames_while_training", |_, frames| json!(frames.summary())),
        Note("memory_of_finished", memory),
        Check(
            "the finished run did not release its memory",
            |session, _| {
                session
                    .memory
                    .is_some_and(|after| after < session.peak_memory)
            },
        ),
        Click("prompt"),
        Type("Bike: trekking bike".to_string()),
        Click("ask"),
        Until("the prompt is answered by the trained model", answered),
        Check("the wrong prompt was answered", |session, _| {
            session
                .answers
                .last()
                .is_some_and(|turn| turn.prompt == "Bike: trekking bike")
        }),
        Note("full_strength", answers),
        // The strengths 0, 0.25, 0.5, 0.75 and 1.
        Until("the strengths are measured", |session| {
            session
                .strengths()
                .is_some_and(|strengths| strengths.nats().count() == 5)
        }),
        Slide("strength", 0.6),
        Until("a strength is chosen", |session| {
            let chosen = session.strengths().map(|strengths| strengths.chosen);
            chosen.is_some_and(|weight| weight > 0.5 && weight < 0.75)
        }),
        Until("the prompt is answered at this strength", answered),
        Until("this strength is measured", measured),
        Note("strength", strength),
        Note("answers", answers),
        Click("folder"),
        Type(model.to_string_lossy().into_owned()),
        Click("save"),
        Until("the model is saved", |session| session.saved.is_some()),
        Note("saved", |session, _| json!(session.saved)),
        Check("the model was not saved", |session, _| {
            matches!(session.saved, Some(Ok(_)))
        }),
        Wait(10),
        Picture,
        Click("start"),
        Until("a step of the second run is done", |session| {
            session.step >= 1
        }),
        Click("cancel"),
        Until("the second run is cancelled", |session| {
            session.stage == Stage::Cancelled
        }),
        Note("memory_of_cancelled", memory),
        Check(
            "the cancelled run did not release its memory",
            |session, _| {
                session
                    .memory
                    .is_some_and(|after| after < session.peak_memory)
            },
        ),
    ]
    .into_iter()
    .collect()
}

/// Returns the place of a control, once it is enabled.
fn find(context: &Context, name: &str) -> Result<Option<Rect>, String> {
    let mark: Option<Mark> = context.data(|data| data.get_temp(Id::unique(("mark", name))));
    // Drawn in this pass or the previous one; otherwise it is no longer visible.
    let now = context.cumulative_pass_nr();
    let Some(mark) = mark.filter(|mark| mark.enabled && mark.pass + 1 >= now) else {
        return Ok(None);
    };
    let window = context.content_rect();
    if !window.contains_rect(mark.rect) {
        return Err(format!(
            "control {name} at {:?} is outside the window, {window:?}",
            mark.rect
        ));
    }
    Ok(Some(mark.rect))
}
