//! The training thread: drives the run event by event, handles commands between events, and measures strengths of
//! the finished training while no command waits.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvError, Sender, TryRecvError};

use eframe::egui;
use minift::device::Device;
use minift::eval::FrontSearch;
use minift::files::FolderWriter;
use minift::model::{CausalLm, Dial};
use minift::train::{Event, MemoryEstimate, Run};
use minift::{Error, Result};

use crate::allocator;
use crate::conversation::Conversation;
use crate::inputs::{self, Facts};
use crate::setup::Setup;
use crate::worker::{AnswerId, Command, Report, Voice};

/// Strengths that are measured after each training, besides its ends.
const STRENGTHS: [f64; 3] = [0.5, 0.25, 0.75];

/// Sends reports and requests repaints.
pub struct Reporter {
    /// The end of the channel to the window.
    pub sender: Sender<Report>,
    /// The window.
    pub context: egui::Context,
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

/// A finished training, whose strength is chosen afterwards.
struct Finished {
    dial: Dial,
    /// The model at the chosen strength.
    chosen: CausalLm,
    /// Measures strengths one batch at a time.
    front: FrontSearch,
    device: Device,
}

impl Finished {
    fn models(&self) -> Models {
        Models {
            original: self.dial.untouched().clone(),
            trained: self.chosen.clone(),
        }
    }

    fn is_measured(&self) -> bool {
        self.front.front().is_some()
    }
}

/// The window has closed.
struct Closed;

/// State of the training thread.
pub struct Thread {
    commands: Receiver<Command>,
    reporter: Reporter,
    /// The answers to generate; others end.
    latest: Arc<AtomicUsize>,
    /// The last finished training.
    finished: Option<Finished>,
    /// The conversations with the original and the trained model of the run.
    voices: Option<[Conversation; 2]>,
}

impl Thread {
    pub fn new(commands: Receiver<Command>, reporter: Reporter, latest: Arc<AtomicUsize>) -> Self {
        Self {
            commands,
            reporter,
            latest,
            finished: None,
            voices: None,
        }
    }

    /// Handles commands until the window closes.
    pub fn run_commands(mut self) {
        loop {
            let is_idle = self.finished.as_ref().is_none_or(Finished::is_measured);
            match self.next_command(is_idle) {
                Ok(Some(command)) => self.handle(command),
                Ok(None) => self.measure(),
                Err(Closed) => return,
            }
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Start(setup, device) => {
                self.finished = None;
                self.voices = None;
                self.run(&setup, &device);
            }
            Command::Choose(weight) => self.choose(weight),
            Command::Answer(id, prompt) => {
                if let Some(models) = self.finished.as_ref().map(Finished::models) {
                    self.answer(models, id, &prompt);
                }
            }
            Command::Forget => self.voices = None,
            Command::Save(folder) => {
                if let Some(finished) = &self.finished {
                    self.save(&finished.chosen, &folder);
                }
            }
            // Sent just as the run ended.
            Command::Pause | Command::Resume | Command::Cancel => {}
        }
    }

    fn run(&mut self, setup: &Setup, device: &Device) {
        // `train` drops the run, which frees everything that only training needs.
        let ended = self.train(setup, device);
        device.release_memory();
        self.report_memory(device);
        self.reporter.send(match ended {
            Ok(Some(finished)) => {
                self.finished = Some(finished);
                Report::Finished
            }
            Ok(None) => Report::Cancelled,
            Err(error) => Report::Failed(sentence(&error)),
        });
    }

    /// Trains to the end. Returns `None` if cancelled.
    fn train(&mut self, setup: &Setup, device: &Device) -> Result<Option<Finished>> {
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
            can_chat: model.reader().chat_template()?.is_some(),
        };
        let data = Arc::new(data);
        let mut run = Run::new(model.clone(), data.clone(), settings)?;
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
        let Some(outcome) = run.outcome() else {
            return Ok(None);
        };
        let dial = run.dial()?;
        let front = FrontSearch::new(dial.clone(), &data.domain, &data.general, setup.batch_size)?;
        Ok(Some(Finished {
            chosen: dial.trained().clone(),
            front: front.at(&STRENGTHS, outcome.before, outcome.after)?,
            dial,
            device: device.clone(),
        }))
    }

    /// Handles pending commands, and waits while paused. Returns whether to continue.
    fn handle_commands(
        &mut self,
        model: &CausalLm,
        run: &Run,
    ) -> std::result::Result<bool, Closed> {
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
                Command::Answer(id, prompt) => self.answer(models(), id, &prompt),
                Command::Forget => self.voices = None,
                Command::Save(folder) => self.save(&models().trained, &folder),
                // Redundant commands, and those that the window does not offer during a run.
                Command::Pause | Command::Resume | Command::Start(..) | Command::Choose(_) => {}
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

    /// Takes the model at a strength, which is measured next.
    fn choose(&mut self, weight: f64) {
        let Some(finished) = &mut self.finished else {
            return;
        };
        let chosen = finished.dial.at(weight);
        let front = finished.front.clone().with_weights(&[weight]);
        match chosen.and_then(|chosen| Ok((chosen, front?))) {
            Ok((chosen, front)) => (finished.chosen, finished.front) = (chosen, front),
            Err(error) => self.reporter.send(Report::Failed(sentence(&error))),
        }
    }

    /// Evaluates the next batch of the strengths to measure.
    fn measure(&mut self) {
        let Some(finished) = &mut self.finished else {
            return;
        };
        match pollster::block_on(finished.front.advance()) {
            Ok(progress) => {
                let point = progress.and_then(|progress| progress.point);
                if let Some(point) = point {
                    self.reporter.send(Report::Measured(point));
                }
                if finished.is_measured() {
                    let device = finished.device.clone();
                    device.release_memory();
                    self.report_memory(&device);
                }
            }
            Err(error) => {
                self.finished = None;
                self.reporter.send(Report::Failed(sentence(&error)));
            }
        }
    }

    fn answer(&mut self, models: Models, id: AnswerId, prompt: &str) {
        let answered = self.voices(models).and_then(|mut voices| {
            let said = [Voice::Original, Voice::Trained]
                .into_iter()
                .zip(&mut voices)
                .filter(|_| self.is_wanted(id))
                .try_for_each(|(voice, conversation)| {
                    let piece = |piece: &str| {
                        self.reporter
                            .send(Report::Piece(id, voice, piece.to_string()));
                        match self.is_wanted(id) {
                            true => ControlFlow::Continue(()),
                            false => ControlFlow::Break(()),
                        }
                    };
                    conversation.answer(prompt, piece).map(drop)
                });
            self.voices = Some(voices);
            said
        });
        self.reporter.send(match answered {
            Ok(()) => Report::Answered(id),
            Err(error) => Report::AnswerFailed(id, sentence(&error)),
        });
    }

    /// Whether the answers to a prompt are still to be generated.
    fn is_wanted(&self, id: AnswerId) -> bool {
        self.latest.load(Ordering::Relaxed) == id
    }

    /// Returns the conversations, continued by these models.
    fn voices(&mut self, models: Models) -> Result<[Conversation; 2]> {
        let Models { original, trained } = models;
        let Some(mut voices) = self.voices.take() else {
            return Ok([Conversation::new(original)?, Conversation::new(trained)?]);
        };
        // The original model stays the same.
        voices[1].set_model(trained);
        Ok(voices)
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
