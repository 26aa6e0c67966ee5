//! The thread that trains: commands come in, reports go out. A run is driven one event at a time, and
//! commands are obeyed between two of them.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};

use eframe::egui;
use minift::counting;
use minift::device::Device;
use minift::files::FolderWriter;
use minift::model::{CausalLm, Sampling};
use minift::train::{Event, MemoryEstimate, Run};
use minift::{Error, Result};

use crate::inputs::{self, Facts};
use crate::setup::Setup;

/// Tokens of an answer at most.
const ANSWER_TOKENS: usize = 48;

/// What the window asks for.
#[derive(Debug)]
pub enum Command {
    /// Trains; models of an earlier run are dropped.
    Start(Box<Setup>, Box<Device>),
    /// Waits before the next event of the run.
    Pause,
    /// Goes on.
    Resume,
    /// Drops the run.
    Cancel,
    /// Continues a prompt by the untouched and the trained model, also in the middle of a run.
    Answer(String),
    /// Writes the trained model into a new folder.
    Save(PathBuf),
}

/// Which model speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// As it was.
    Untouched,
    /// As it is now.
    Trained,
}

/// What the window is told.
#[derive(Debug)]
pub enum Report {
    /// Model and samples are there; so many steps follow.
    Prepared(Facts, usize),
    /// Something happened in the run.
    Event(Event),
    /// It waits.
    Paused,
    /// It goes on.
    Resumed,
    /// It is done; its models are kept for prompts and to be saved.
    Finished,
    /// It was dropped.
    Cancelled,
    /// It ended in an error.
    Failed(String),
    /// Bytes that the training's device holds, or the program where that is the CPU.
    Memory(u64),
    /// A further piece of an answer.
    Piece(Voice, String),
    /// The prompt is answered.
    Answered,
    /// The prompt could not be answered.
    AnswerFailed(String),
    /// The trained model is in the folder.
    Saved(PathBuf),
    /// It could not be written.
    SaveFailed(String),
}

/// The window's end of it.
#[derive(Debug)]
pub struct Worker {
    commands: Option<Sender<Command>>,
    reports: Receiver<Report>,
    thread: Option<JoinHandle<()>>,
    /// What ended the thread before its time, and whether it was asked for something since.
    fault: Option<String>,
    unheard: bool,
}

impl Worker {
    /// Starts the thread; `context` is repainted when there is something to tell.
    ///
    /// # Errors
    ///
    /// The system's, if there can be no further thread.
    pub fn start(context: egui::Context) -> std::io::Result<Self> {
        let (commands, to_obey) = channel();
        let (sender, reports) = channel();
        let hand = Hand {
            commands: to_obey,
            teller: Teller { sender, context },
            models: None,
        };
        let thread = thread::Builder::new().name("training".into());
        Ok(Self {
            commands: Some(commands),
            reports,
            thread: Some(thread.spawn(move || hand.work())?),
            fault: None,
            unheard: false,
        })
    }

    /// Asks; that a thread has ended is said by [`Self::report`], each time that it is asked.
    pub fn ask(&mut self, command: Command) {
        let asked = self
            .commands
            .as_ref()
            .map(|commands| commands.send(command));
        self.unheard = !matches!(asked, Some(Ok(())));
    }

    /// The next report, if there is one.
    pub fn report(&mut self) -> Option<Report> {
        match self.reports.try_recv() {
            Ok(report) => Some(report),
            Err(TryRecvError::Empty) => None,
            // It ends by itself only when the window does.
            Err(TryRecvError::Disconnected) => {
                if let Some(thread) = self.thread.take() {
                    self.fault = thread.join().err().map(words);
                } else if !std::mem::take(&mut self.unheard) {
                    return None;
                }
                self.fault.clone().map(Report::Failed)
            }
        }
    }
}

/// What a panic says to a person.
fn words(panic: Box<dyn Any + Send>) -> String {
    let reason = panic.downcast_ref::<String>().map(String::as_str);
    let reason = reason.or(panic.downcast_ref::<&str>().copied());
    let reason = reason.unwrap_or("no reason was given");
    format!(
        "A fault in the program ended the training; close the window and open it again: {reason}"
    )
}

impl Drop for Worker {
    /// The GPU must not be closed under a step: the thread ends after the one that it is in.
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends reports and has them shown.
struct Teller {
    sender: Sender<Report>,
    context: egui::Context,
}

impl Teller {
    fn tell(&self, report: Report) {
        // While a run is under way the window paints itself again and again.
        let waits = matches!(report, Report::Event(_) | Report::Memory(_));
        // Where nobody listens any more, the next command is the last.
        let _ = self.sender.send(report);
        if !waits {
            self.context.request_repaint();
        }
    }
}

/// A model before and after.
struct Models {
    untouched: CausalLm,
    trained: CausalLm,
}

/// The window has closed.
struct Closed;

/// What runs on the thread.
struct Hand {
    commands: Receiver<Command>,
    teller: Teller,
    /// Of the run that finished last.
    models: Option<Models>,
}

impl Hand {
    fn work(mut self) {
        while let Ok(command) = self.commands.recv() {
            match command {
                Command::Start(setup, device) => {
                    self.models = None;
                    self.run(&setup, &device);
                }
                Command::Answer(prompt) => {
                    if let Some(models) = &self.models {
                        self.answer(models, &prompt);
                    }
                }
                Command::Save(folder) => {
                    if let Some(models) = &self.models {
                        self.save(&models.trained, &folder);
                    }
                }
                // Asked for when the run had just ended.
                Command::Pause | Command::Resume | Command::Cancel => {}
            }
        }
    }

    fn run(&mut self, setup: &Setup, device: &Device) {
        // The run is dropped in there, and with it everything that only a training needs.
        let ended = self.train(setup, device);
        device.release_memory();
        self.tell_memory(device);
        self.teller.tell(match ended {
            Ok(Some(models)) => {
                self.models = Some(models);
                Report::Finished
            }
            Ok(None) => Report::Cancelled,
            Err(error) => Report::Failed(sentence(&error)),
        });
    }

    /// Trains to the end; `None` if it was cancelled.
    fn train(&self, setup: &Setup, device: &Device) -> Result<Option<Models>> {
        let model = inputs::model(setup, device)?;
        let (data, text) = inputs::samples(setup, &model)?;
        let settings = setup.train_settings(data.train.len())?;
        let memory = MemoryEstimate::new(&model, &data, &settings)?;
        let facts = Facts {
            model: model.name(),
            parameters: model.parameter_count(),
            text,
            samples: data.train.len(),
            device: device.name(),
            warning: memory.excess(device),
        };
        let mut run = Run::new(model.clone(), Arc::new(data), settings)?;
        self.teller.tell(Report::Prepared(facts, run.steps()));
        loop {
            if !matches!(self.listen(&model, &run), Ok(true)) {
                return Ok(None);
            }
            let Some(event) = pollster::block_on(run.next())? else {
                break;
            };
            let evaluated = matches!(event, Event::Evaluated { .. });
            self.teller.tell(Report::Event(event));
            if evaluated {
                self.tell_memory(device);
            }
        }
        Ok(Some(Models {
            untouched: model,
            trained: run.trained_model(),
        }))
    }

    /// Obeys what was asked meanwhile, and waits while the run is paused; whether it goes on.
    fn listen(&self, model: &CausalLm, run: &Run) -> std::result::Result<bool, Closed> {
        let models = || Models {
            untouched: model.clone(),
            trained: run.trained_model(),
        };
        let mut paused = false;
        while let Some(command) = self.next_command(paused)? {
            match command {
                Command::Pause if !paused => {
                    paused = true;
                    self.teller.tell(Report::Paused);
                }
                Command::Resume if paused => {
                    paused = false;
                    self.teller.tell(Report::Resumed);
                }
                Command::Cancel => return Ok(false),
                Command::Answer(prompt) => self.answer(&models(), &prompt),
                Command::Save(folder) => self.save(&models().trained, &folder),
                // What is so already, and a second start that the window does not offer.
                Command::Pause | Command::Resume | Command::Start(..) => {}
            }
        }
        Ok(true)
    }

    fn next_command(&self, wait: bool) -> std::result::Result<Option<Command>, Closed> {
        if wait {
            return self.commands.recv().map(Some).map_err(|RecvError| Closed);
        }
        match self.commands.try_recv() {
            Ok(command) => Ok(Some(command)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Closed),
        }
    }

    fn answer(&self, models: &Models, prompt: &str) {
        let answered = [
            (Voice::Untouched, &models.untouched),
            (Voice::Trained, &models.trained),
        ]
        .into_iter()
        .try_for_each(|(voice, model)| {
            let piece = |piece: &str| self.teller.tell(Report::Piece(voice, piece.to_string()));
            let sampling = Sampling::default();
            let text = model.generate(prompt, ANSWER_TOKENS, &sampling, piece);
            pollster::block_on(text).map(drop)
        });
        self.teller.tell(match answered {
            Ok(()) => Report::Answered,
            Err(error) => Report::AnswerFailed(sentence(&error)),
        });
    }

    fn save(&self, model: &CausalLm, folder: &Path) {
        let saved = FolderWriter::new(folder, false).and_then(|writer| {
            pollster::block_on(model.write(&writer, ""))?;
            writer.finish()
        });
        self.teller.tell(match saved {
            Ok(()) => Report::Saved(folder.to_path_buf()),
            Err(error) => Report::SaveFailed(sentence(&error)),
        });
    }

    fn tell_memory(&self, device: &Device) {
        let held = match device.tensors().memory_pool_usage() {
            Some(usage) => usage.bytes_reserved,
            None => counting::bytes_now() as u64,
        };
        self.teller.tell(Report::Memory(held));
    }
}

/// An error as a sentence.
fn sentence(error: &Error) -> String {
    let text = error.to_string();
    let mut characters = text.chars();
    // What begins with the name of a file keeps it as it is.
    let is_word = text
        .split([' ', ','])
        .next()
        .is_some_and(|word| word.chars().all(char::is_lowercase));
    match characters.next() {
        Some(first) if is_word => format!("{}{}.", first.to_uppercase(), characters.as_str()),
        _ => format!("{text}."),
    }
}
