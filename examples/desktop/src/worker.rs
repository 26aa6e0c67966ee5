//! The handle of the window to the training thread: commands to it, and reports from it.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};

use eframe::egui;
use minift::device::Device;
use minift::eval::FrontPoint;
use minift::train::Event;

use crate::inputs::Facts;
use crate::setup::Setup;
use crate::thread::{Reporter, Thread};

/// Identifies the answers to one prompt.
pub type AnswerId = usize;

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
    /// Chooses the strength of the finished training, from 0, untouched, to 1, trained, and measures it.
    Choose(f64),
    /// Answers a prompt with the original and the trained model, even during a run. See [`Worker::answer`].
    Answer(AnswerId, String),
    /// Begins new conversations.
    Forget,
    /// Writes the trained model at its strength to a new folder.
    Save(PathBuf),
}

/// The model of an answer.
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
    /// The run is finished. Its models remain available for answers and saving, and its strengths are measured.
    Finished,
    /// A strength of the finished training was measured.
    Measured(FrontPoint),
    /// The run was cancelled.
    Cancelled,
    /// The run failed.
    Failed(String),
    /// Memory in use by the device, or by the process on the CPU, in bytes.
    Memory(u64),
    /// The next piece of an answer.
    Piece(AnswerId, Voice, String),
    /// The answers are finished.
    Answered(AnswerId),
    /// The answers failed.
    AnswerFailed(AnswerId, String),
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
    /// The answers to generate; others end.
    latest: Arc<AtomicUsize>,
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
        let latest = Arc::new(AtomicUsize::new(0));
        let state = Thread::new(receiver, Reporter { sender, context }, latest.clone());
        let thread = thread::Builder::new().name("training".into());
        Ok(Self {
            commands: Some(commands),
            reports,
            thread: Some(thread.spawn(move || state.run_commands())?),
            fault: None,
            undelivered: false,
            latest,
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

    /// Answers a prompt, and ends the answers in progress.
    pub fn answer(&mut self, prompt: String) -> AnswerId {
        let id = self.stop_answer();
        self.send(Command::Answer(id, prompt));
        id
    }

    /// Ends the answers in progress after their next piece of text.
    pub fn stop_answer(&self) -> AnswerId {
        self.latest.fetch_add(1, Ordering::Relaxed) + 1
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
        self.stop_answer();
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
