//! The window's test of itself: a script that clicks and types as a person would, through the window's own
//! input, and looks at what comes of it.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use eframe::egui::{
    ColorImage, Context, Event, Id, Key, Modifiers, PointerButton, Pos2, RawInput, Rect, Response,
    ViewportCommand,
};
use serde_json::{Value, json};

use crate::frames::Frames;
use crate::session::{Session, Stage};

/// Frames that a click takes, and what is typed.
const GESTURE: usize = 2;
/// Frames that a control may take to be there, or a report where no run is under way.
const PATIENCE: usize = 600;
/// Colours that a picture of the window has more of than a blank one.
const COLOURS: usize = 200;

/// What came of it, for whoever opened the window.
#[derive(Clone, Debug, Default)]
pub struct Verdict(Arc<Mutex<Option<Result<Value, String>>>>);

impl Verdict {
    /// `None` if the script did not come to its end.
    pub fn take(&self) -> Option<Result<Value, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn give(&self, verdict: Result<Value, String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
    }
}

/// Where a control was drawn, and in which pass.
#[derive(Clone, Copy, Debug)]
struct Mark {
    rect: Rect,
    enabled: bool,
    pass: u64,
}

/// Lets the script find a control by its name.
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

/// A part of the script.
enum Act {
    /// So many frames pass.
    Wait(usize),
    /// With the mouse, on a control.
    Click(&'static str),
    /// With the keyboard, in place of what has the focus.
    Type(String),
    /// Until it is so; the words say what is waited for.
    Until(&'static str, fn(&Session) -> bool),
    /// Must be so; the words say what is wrong if it is not.
    Check(&'static str, fn(&Session, &Value) -> bool),
    /// Keeps a part of the report.
    Note(&'static str, fn(&Session, &Frames) -> Value),
    /// Takes a picture of the window.
    Picture,
}

type Picture = Arc<Mutex<Option<Arc<ColorImage>>>>;

/// The script, and how far it is.
pub struct Drive {
    folder: PathBuf,
    verdict: Verdict,
    acts: VecDeque<Act>,
    /// Frames that the act has taken.
    taken: usize,
    /// Frames that it was waited for while nothing was under way.
    missed: usize,
    report: Value,
    /// Frames before the run, to compare with.
    at_rest: Frames,
    picture: Option<Picture>,
    /// The window has been told to close.
    ended: bool,
}

impl Drive {
    /// Begins in a new folder.
    ///
    /// # Errors
    ///
    /// In words, if it cannot be made.
    pub fn new(folder: &Path, verdict: Verdict) -> Result<Self, String> {
        let folder = std::path::absolute(folder).map_err(|error| error.to_string())?;
        fs::create_dir(&folder)
            .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        Ok(Self {
            acts: script(&folder),
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

    /// Adds what the script does by hand to the window's input.
    pub fn input(&mut self, context: &Context, input: &mut RawInput) {
        // A window that nobody looks at has no focus.
        input.focused = true;
        let events = match self.acts.front() {
            Some(Act::Click(name)) => match find(context, name) {
                Ok(Some(place)) => click(place, self.taken),
                Ok(None) if self.missed < PATIENCE => {
                    self.missed += 1;
                    return;
                }
                Ok(None) => {
                    let message = format!("{name} did not come, or cannot be used");
                    return self.end(context, Err(message));
                }
                Err(message) => return self.end(context, Err(message)),
            },
            Some(Act::Type(text)) => keys(text, self.taken),
            _ => return,
        };
        input.events.extend(events);
        self.missed = 0;
        self.taken += 1;
    }

    /// Goes on with the script after a frame.
    pub fn frame(&mut self, context: &Context, session: &Session, training: &Frames) {
        if self.ended {
            return;
        }
        self.at_rest
            .frame(Instant::now(), session.stage == Stage::Ready);
        if let Stage::Failed(message) = &session.stage {
            return self.end(context, Err(format!("the run failed: {message}")));
        }
        let Some(act) = self.acts.front() else {
            self.note("frames_at_rest", json!(self.at_rest.summary()));
            let report = self.report.take();
            return self.end(context, Ok(report));
        };
        let done = match act {
            Act::Wait(frames) => {
                self.taken += 1;
                self.taken >= *frames
            }
            Act::Click(_) | Act::Type(_) => self.taken == GESTURE,
            Act::Until(what, is_so) => {
                let so = is_so(session);
                // What is left to come when a run has ended comes soon.
                self.missed = if session.stage.is_active() || session.answers.busy {
                    0
                } else {
                    self.missed + 1
                };
                if !so && self.missed > PATIENCE {
                    let message = format!("waited in vain until {what}; so far: {}", self.report);
                    return self.end(context, Err(message));
                }
                so
            }
            Act::Check(what, is_so) => {
                if !is_so(session, &self.report) {
                    let message = format!("{what}; so far: {}", self.report);
                    return self.end(context, Err(message));
                }
                true
            }
            Act::Note(name, value) => {
                let (name, value) = (*name, value(session, training));
                self.note(name, value);
                true
            }
            Act::Picture => match self.take_picture(context) {
                Ok(taken) => taken,
                Err(message) => return self.end(context, Err(message)),
            },
        };
        if done {
            self.acts.pop_front();
            self.taken = 0;
            self.missed = 0;
        }
    }

    fn note(&mut self, name: &str, value: Value) {
        self.report[name] = value;
    }

    /// Whether the picture is there, and on the disk.
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
        if colours.len() < COLOURS {
            return Err(format!(
                "the window shows {} colours: it is blank",
                colours.len()
            ));
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
        self.acts.clear();
        self.ended = true;
        self.verdict.give(verdict);
        context.send_viewport_cmd(ViewportCommand::Close);
    }
}

/// What is gone through.
fn script(folder: &Path) -> VecDeque<Act> {
    use Act::{Check, Click, Note, Picture, Type, Until, Wait};
    let model = folder.join("model");
    let answered = |session: &Session| !session.answers.busy && !session.answers.trained.is_empty();
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
        // What is asked later is answered later: a step under way would have come before.
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
        Check("not every step was shown", |session, _| {
            session.step == session.steps && session.losses.len() == session.steps
        }),
        Check("nothing was learnt", |session, _| {
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
        Check("the training kept its memory", |session, _| {
            session
                .memory
                .is_some_and(|after| after < session.peak_memory)
        }),
        Click("prompt"),
        Type("Bike: trekking bike".to_string()),
        Click("ask"),
        Until("the prompt is answered by the trained model", answered),
        Check("another prompt was answered", |session, _| {
            session.answers.prompt == "Bike: trekking bike"
        }),
        Note("answers", |session, _| {
            json!({
                "prompt": session.answers.prompt,
                "untouched": session.answers.untouched,
                "trained": session.answers.trained,
            })
        }),
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
        Check("the cancelled training kept its memory", |session, _| {
            session
                .memory
                .is_some_and(|after| after < session.peak_memory)
        }),
    ]
    .into_iter()
    .collect()
}

/// The middle of a control, once it can be used.
fn find(context: &Context, name: &str) -> Result<Option<Pos2>, String> {
    let mark: Option<Mark> = context.data(|data| data.get_temp(Id::unique(("mark", name))));
    // Of the pass before this one: what is not drawn any more cannot be clicked.
    let now = context.cumulative_pass_nr();
    let Some(mark) = mark.filter(|mark| mark.enabled && mark.pass + 1 >= now) else {
        return Ok(None);
    };
    let window = context.content_rect();
    if !window.contains_rect(mark.rect) {
        return Err(format!(
            "{name} at {:?} is not in the window, {window:?}",
            mark.rect
        ));
    }
    Ok(Some(mark.rect.center()))
}

/// The mouse moves there and clicks: both in a frame, since a press that is held over slow frames is no click.
fn click(place: Pos2, frame: usize) -> Vec<Event> {
    let button = |pressed| Event::PointerButton {
        pos: place,
        button: PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    match frame {
        0 => vec![Event::PointerMoved(place)],
        _ => vec![button(true), button(false)],
    }
}

/// Everything is selected, and written over.
fn keys(text: &str, frame: usize) -> Vec<Event> {
    let all = |pressed| Event::Key {
        key: Key::A,
        physical_key: None,
        pressed,
        repeat: false,
        modifiers: Modifiers::COMMAND,
    };
    match frame {
        0 => vec![all(true), all(false)],
        _ => vec![Event::Text(text.to_string())],
    }
}
