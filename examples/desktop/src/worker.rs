//! The training thread: receives commands and sends reports. The run is driven event by event, and
//! commands are handled between events.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};

use eframe::egui;
use minift::device::Device;
use minift::files::FolderWriter;
use minift::model::{CausalLm, Sampling};
use minift::train::{Event, MemoryEstimate, Run};
use minift::{Error, Result};

use crate::allocator;
use crate::inputs::{self, Facts};
use crate::setup::Setup;

/// Maximum number of generated tokens per completion.
const ANSWER_TOKENS: usize = 48;

/// A command from the window.
#[derive(Debug)]
pub enum Command {
    /// Starts a run and drops the models of the previous one.
    Start(Box<Setup>, Box<Device>),
    /// Pauses the run before its next event.
    Pause,
    /// Resumes the run.
    Resume,
    /// Cancels the run.
    Cancel,
    /// Completes a prompt with the original and the trained model, even during a run.
    Answer(String),
    /// Writes the trained model to a new folder.
    Save(PathBuf),
}

/// The model of a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// The original model.
    Original,
    /// The trained model.
    Trained,
}

/// A report to the window.
#[derive(Debug)]
pub enum Report {
    /// Model and samples are loaded; includes the number of steps.
    Prepared(Facts, usize),
    /// An event of the run.
    Event(Event),
    /// The run is paused.
    Paused,
    /// The run has resumed.
    Resumed,
    /// The run is finished. Its models remain available for completions and saving.
    Finished,
    /// The run was cancelled.
    Cancelled,
    /// The run failed.
    Failed(String),
    /// Memory in use by the device, or by the process on the CPU, in bytes.
    Memory(u64),
    /// The next piece of a completion.
    Piece(Voice, String),
    /// The completions are finished.
    Answered,
    /// The completions failed.
    AnswerFailed(String),
    /// The trained model was saved.
    Saved(PathBuf),
    /// Saving failed.
    SaveFailed(String),
}

/// The handle of the window to the training thread.
#[derive(Debug)]
pub struct Worker {
    commands: Option<Sender<Command>>,
    reports: Receiver<Report>,
    thread: Option<JoinHandle<()>>,
    /// Panic message of the thread.
    fault: Option<String>,
    /// Whether the last command could not be delivered.
    undelivered: bool,
}

impl Worker {
    /// Starts the thread, which requests repaints of `context` for its reports.
    ///
    /// # Errors
    ///
    /// If the system cannot start a thread.
    pub fn start(context: egui::Context) -> std::io::Result<Self> {
        let (commands, receiver) = channel();
        let (sender, reports) = channel();
        let state = Thread {
            commands: receiver,
            reporter: Reporter { sender, context },
            models: None,
        };
        let thread = thread::Builder::new().name("training".into());
        Ok(Self {
            commands: Some(commands),
            reports,
            thread: Some(thread.spawn(move || state.run_commands())?),
            fault: None,
            undelivered: false,
        })
    }

    /// Sends a command. If the thread has panicked, [`Self::report`] returns the failure for each command.
    pub fn send(&mut self, command: Command) {
        let sent = self
            .commands
            .as_ref()
            .map(|commands| commands.send(command));
        self.undelivered = !matches!(sent, Some(Ok(())));
    }

    /// Returns the next report, if any.
    pub fn report(&mut self) -> Option<Report> {
        match self.reports.try_recv() {
            Ok(report) => Some(report),
            Err(TryRecvError::Empty) => None,
            // The thread ends before the window only if it panics.
            Err(TryRecvError::Disconnected) => {
                if let Some(thread) = self.thread.take() {
                    self.fault = thread.join().err().map(panic_message);
                } else if !std::mem::take(&mut self.undelivered) {
                    return None;
                }
                self.fault.clone().map(Report::Failed)
            }
        }
    }
}

/// Describes a panic to the user.
fn panic_message(panic: Box<dyn Any + Send>) -> String {
    let reason = panic.downcast_ref::<String>().map(String::as_str);
    let reason = reason.or(panic.downcast_ref::<&str>().copied());
    let reason = reason.unwrap_or("unknown reason");
    format!("Training stopped due to an internal error; restart the application: {reason}")
}

impl Drop for Worker {
    /// Waits for the step in flight, since the GPU must stay open until it completes.
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends reports and requests repaints.
struct Reporter {
    sender: Sender<Report>,
    context: egui::Context,
}

impl Reporter {
    fn send(&self, report: Report) {
        // During a run the window repaints continuously.
        let can_wait = matches!(report, Report::Event(_) | Report::Memory(_));
        // Fails only after the window has closed.
        let _ = self.sender.send(report);
        if !can_wait {
            self.context.request_repaint();
        }
    }
}

/// The models before and after training.
struct Models {
    original: CausalLm,
    trained: CausalLm,
}

/// The window has closed.
struct Closed;

/// State of the training thread.
struct Thread {
    commands: Receiver<Command>,
    reporter: Reporter,
    /// Models of the last finished run.
    models: Option<Models>,
}

impl Thread {
    fn run_commands(mut self) {
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
                // Sent just as the run ended.
                Command::Pause | Command::Resume | Command::Cancel => {}
            }
        }
    }

    fn run(&mut self, setup: &Setup, device: &Device) {
        // `train` drops the run, which frees everything that only training needs.
        let ended = self.train(setup, device);
        device.release_memory();
        self.report_memory(device);
        self.reporter.send(match ended {
            Ok(Some(models)) => {
                self.models = Some(models);
                Report::Finished
            }
            Ok(None) => Report::Cancelled,
            Err(error) => Report::Failed(sentence(&error)),
        });
    }

    /// Trains to the end. Returns `None` if cancelled.
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
        self.reporter.send(Report::Prepared(facts, run.steps()));
        loop {
            if !matches!(self.handle_commands(&model, &run), Ok(true)) {
                return Ok(None);
            }
            let Some(event) = pollster::block_on(run.next())? else {
                break;
            };
            let evaluated = matches!(event, Event::Evaluated { .. });
            self.reporter.send(Report::Event(event));
            if evaluated {
                self.report_memory(device);
            }
        }
        Ok(Some(Models {
            original: model,
            trained: run.trained_model(),
        }))
    }

    /// Handles pending commands, and waits while paused. Returns whether to continue.
    fn handle_commands(&self, model: &CausalLm, run: &Run) -> std::result::Result<bool, Closed> {
        let models = || Models {
            original: model.clone(),
            trained: run.trained_model(),
        };
        let mut paused = false;
        while let Some(command) = self.next_command(paused)? {
            match command {
                Command::Pause if !paused => {
                    paused = true;
                    self.reporter.send(Report::Paused);
                }
                Command::Resume if paused => {
                    paused = false;
                    self.reporter.send(Report::Resumed);
                }
                Command::Cancel => return Ok(false),
                Command::Answer(prompt) => self.answer(&models(), &prompt),
                Command::Save(folder) => self.save(&models().trained, &folder),
                // Redundant commands, and a second start, which the window does not offer.
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
            (Voice::Original, &models.original),
            (Voice::Trained, &models.trained),
        ]
        .into_iter()
        .try_for_each(|(voice, model)| {
            let piece = |piece: &str| self.reporter.send(Report::Piece(voice, piece.to_string()));
            let sampling = Sampling::default();
            let text = model.generate(prompt, ANSWER_TOKENS, &sampling, piece);
            pollster::block_on(text).map(drop)
        });
        self.reporter.send(match answered {
            Ok(()) => Report::Answered,
            Err(error) => Report::AnswerFailed(sentence(&error)),
        });
    }

    fn save(&self, model: &CausalLm, folder: &Path) {
        let saved = FolderWriter::new(folder, false).and_then(|writer| {
            pollster::block_on(model.write(&writer, ""))?;
            writer.finish()
        });
        self.reporter.send(match saved {
            Ok(()) => Report::Saved(folder.to_path_buf()),
            Err(error) => Report::SaveFailed(sentence(&error)),
        });
    }

    fn report_memory(&self, device: &Device) {
        let held = match device.tensors().memory_pool_usage() {
            Some(usage) => usage.bytes_reserved,
            None => allocator::bytes_now() as u64,
        };
        self.reporter.send(Report::Memory(held));
    }
}

/// Formats an error as a sentence.
fn sentence(error: &Error) -> String {
    let text = error.report();
    let mut characters = text.chars();
    // Capitalize words, but not file names.
    let is_word = text
        .split([' ', ','])
        .next()
        .is_some_and(|word| word.chars().all(char::is_lowercase));
    match characters.next() {
        Some(first) if is_word => format!("{}{}.", first.to_uppercase(), characters.as_str()),
        _ => format!("{text}."),
    }
}
