//! The window: settings on the left, progress and results on the right.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use eframe::egui::{
    Button, CentralPanel, Context, Frame, Layout, Margin, Panel, ProgressBar, RawInput, RichText,
    ScrollArea, TextEdit, Ui, Vec2, Visuals,
};
use minift::demo::DOMAIN_PROMPT;
use minift::device::Device;
use minift::train::Moment;

use crate::dial::Moved;
use crate::drive::{self, Drive};
use crate::format;
use crate::frames::Frames;
use crate::gpu;
use crate::pick::Dialog;
use crate::prompts::Asked;
use crate::session::{Answers, Doing, Session, Stage};
use crate::setup::{Place, Setup};
use crate::sidebar::{self, Places, Pressed};
use crate::theme::Palette;
use crate::widgets::{GAP, alert, button, card, small};
use crate::worker::{Command, Worker};
use crate::{plots, prompts, results, theme};

/// Frame interval while a run is active.
const FRAME: Duration = Duration::from_micros(16_667);
/// The same for software rendering, which competes with training for the CPU.
const SOFTWARE_FRAME: Duration = Duration::from_millis(100);

/// Height of the plots.
const PLOT_HEIGHT: f32 = 98.0;

/// Purpose of an open file dialog.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    Model,
    Text,
    Save,
}

/// State of the window.
pub struct App {
    setup: Setup,
    places: Places,
    /// The GPU of the window, if it supports training.
    gpu: Option<Device>,
    session: Session,
    worker: Worker,
    prompt: String,
    save_to: String,
    dialog: Option<Dialog<Purpose>>,
    /// Frame interval while a run is active.
    frame: Duration,
    /// Measured frame times.
    frames: Frames,
    drive: Option<Drive>,
}

impl App {
    /// Creates the window with the requested device. Defaults to the GPU of the window if that is
    /// hardware.
    ///
    /// # Errors
    ///
    /// If the system cannot start a thread, or the requested device is not available.
    pub fn new(
        context: &eframe::CreationContext<'_>,
        setup: Setup,
        requested: Option<Place>,
        drive: Option<Drive>,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let opened = match &context.wgpu_render_state {
            Some(window) => gpu::device_of_window(window).map_err(|error| error.to_string()),
            None => Err("the window is not rendered by wgpu".to_string()),
        };
        if let (Some(Place::Window), Err(why)) = (requested, &opened) {
            return Err(why.clone().into());
        }
        let hardware = opened
            .as_ref()
            .is_ok_and(|device| !gpu::is_software(device));
        let default = if hardware { Place::Window } else { Place::Cpu };
        let places = Places {
            place: requested.unwrap_or(default),
            window: opened.as_ref().map(Device::name).map_err(String::clone),
            cpu: Device::cpu().name(),
        };
        Ok(Self {
            setup,
            places,
            gpu: opened.ok(),
            session: Session::default(),
            worker: Worker::start(context.egui_ctx.clone())?,
            prompt: DOMAIN_PROMPT.to_string(),
            save_to: "minift-model".to_string(),
            dialog: None,
            frame: if hardware { FRAME } else { SOFTWARE_FRAME },
            frames: Frames::default(),
            drive,
        })
    }

    fn start(&mut self) {
        let device = match (&self.gpu, self.places.place) {
            (Some(gpu), Place::Window) => gpu.clone(),
            _ => Device::cpu(),
        };
        self.session.start(&self.setup);
        self.frames.clear();
        self.worker.send(Command::Start(
            Box::new(self.setup.clone()),
            Box::new(device),
        ));
    }

    fn pressed(&mut self, context: &Context, pressed: Pressed) {
        match pressed {
            Pressed::Start => self.start(),
            Pressed::Pause => self.worker.send(Command::Pause),
            Pressed::Resume => self.worker.send(Command::Resume),
            Pressed::Cancel => self.worker.send(Command::Cancel),
            Pressed::BrowseModel => {
                self.dialog = Dialog::folder(context, Purpose::Model, "Select a model folder");
            }
            Pressed::BrowseText => {
                self.dialog = Dialog::file(context, Purpose::Text, "Select a text file");
            }
        }
    }

    /// Takes a strength of the finished run. At the end of the movement, the model at it is measured and continues
    /// the latest text again.
    fn moved(&mut self, Moved { weight, ended }: Moved) {
        self.session.choose(weight);
        if !ended {
            return;
        }
        self.worker.send(Command::Choose(weight));
        let again = self.session.answers.last().map(|turn| turn.prompt.clone());
        if let Some(prompt) = again.filter(|_| !self.session.can_chat()) {
            self.asked(Asked::Answer(prompt));
        }
    }

    fn asked(&mut self, asked: Asked) {
        match asked {
            Asked::Answer(prompt) => {
                let is_chat = self.session.can_chat();
                let id = self.worker.answer(prompt.clone());
                self.session.answers.ask(id, prompt, is_chat);
            }
            Asked::Stop => drop(self.worker.stop_answer()),
            Asked::Clear => {
                self.session.answers = Answers::default();
                self.worker.send(Command::Forget);
            }
        }
    }

    /// Processes the reports, dialogs and drops since the last frame.
    fn listen(&mut self, context: &Context) {
        while let Some(report) = self.worker.report() {
            self.session.apply(report);
        }
        if let Some((purpose, choice)) = self
            .dialog
            .as_ref()
            .and_then(|dialog| Some((dialog.purpose, dialog.choice()?)))
        {
            self.dialog = None;
            match (purpose, choice) {
                (Purpose::Model, Some(path)) => self.setup.model.take(path),
                (Purpose::Text, Some(path)) => self.setup.text.take(path),
                (Purpose::Save, Some(path)) => {
                    let folder = path.join("minift-model");
                    self.save_to = folder.to_string_lossy().into_owned();
                }
                (_, None) => {}
            }
        }
        let dropped = context.input(|input| input.raw.dropped_files.clone());
        if !self.session.stage.is_active() {
            for file in dropped {
                self.take_dropped(file.path());
            }
        }
    }

    /// Treats a model folder, or a file of one, as a model and other files as texts.
    fn take_dropped(&mut self, path: &Path) {
        let of_model = ["config.json", "model.safetensors", "tokenizer.json"];
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        if path.is_dir() {
            self.setup.model.take(path.to_path_buf());
        } else if name.is_some_and(|name| of_model.contains(&name.as_str())) {
            self.setup
                .model
                .take(path.parent().unwrap_or(path).to_path_buf());
        } else {
            self.setup.text.take(path.to_path_buf());
        }
    }

    fn run(&mut self, ui: &mut Ui) {
        let colours = Palette::of(ui);
        ui.horizontal(|ui| {
            let (title, colour) = match self.session.stage {
                Stage::Ready => ("Ready", colours.ink),
                Stage::Preparing => ("Loading model and text", colours.ink),
                Stage::Running => ("Training", colours.mft),
                Stage::Paused => ("Paused", colours.ft),
                Stage::Finished => ("Finished", colours.mft),
                Stage::Cancelled => ("Cancelled", colours.ink),
                Stage::Failed(_) => ("Failed", colours.danger),
            };
            ui.label(RichText::new(title).heading().color(colour));
            if let Some(facts) = &self.session.facts {
                let facts = format!(
                    "{}, {} parameters, on {} samples of {}",
                    facts.model,
                    format::count(facts.parameters),
                    format::count(facts.samples),
                    facts.text,
                );
                ui.add(eframe::egui::Label::new(small(facts)).truncate());
            }
        });
        let (share, words) = self.progress();
        let bar = ProgressBar::new(share)
            .desired_height(8.0)
            .fill(colours.mft);
        ui.add(bar);
        ui.label(small(words));
        if let Stage::Failed(message) = &self.session.stage {
            alert(ui, message);
        }
        if let Some(warning) = self
            .session
            .facts
            .as_ref()
            .and_then(|facts| facts.warning.as_ref())
        {
            alert(ui, warning);
        }
    }

    /// Fraction of completed steps, and a status line.
    fn progress(&self) -> (f32, String) {
        let session = &self.session;
        let share = session.step as f32 / session.steps.max(1) as f32;
        let steps = format!(
            "step {} of {}",
            format::count(session.step),
            format::count(session.steps)
        );
        let words = match (&session.stage, session.doing) {
            (Stage::Ready, _) => {
                "Press Start to train the embedded model on the embedded texts: about a minute on two cores."
                    .to_string()
            }
            (Stage::Preparing, _) => "…".to_string(),
            (Stage::Running, Doing::Evaluating(moment, done, total)) => {
                let of = match moment {
                    Moment::Before => "the original model",
                    Moment::During | Moment::After => "the trained model",
                };
                format!("{steps} · evaluating {of}: batch {done} of {total}")
            }
            (Stage::Running | Stage::Paused, _) if session.step > 0 => format!(
                "{steps} · epoch {} · {} tokens/s · {} left",
                session.epoch,
                format::count(session.tokens_per_second as usize),
                format::duration(session.seconds_left),
            ),
            (Stage::Running, _) => format!("{steps} · compiling kernels"),
            (Stage::Paused, _) => steps,
            (Stage::Finished, _) => format!(
                "{} steps · {} tokens/s",
                format::count(session.steps),
                format::count(session.tokens_per_second as usize),
            ),
            (Stage::Cancelled | Stage::Failed(_), _) if session.steps == 0 => {
                "no steps were taken".to_string()
            }
            (Stage::Cancelled | Stage::Failed(_), _) => steps,
        };
        (share, words)
    }

    fn save(&mut self, ui: &mut Ui) {
        card(ui, "", |ui| {
            ui.horizontal(|ui| {
                ui.label(RichText::new("Save the model").strong());
                let field = TextEdit::singleline(&mut self.save_to);
                let field = ui.add(field.desired_width(ui.available_width() - 178.0));
                drive::mark("folder", &field);
                if ui.button("Browse…").clicked() {
                    self.dialog =
                        Dialog::folder(ui.ctx(), Purpose::Save, "Select where to save the model");
                }
                let ready = self.session.has_models() && !self.save_to.trim().is_empty();
                let save = button(ui, "save", Button::new("Save"), Vec2::ZERO, ready);
                if save
                    .on_hover_text("Writes a new folder that transformers and minift can load")
                    .clicked()
                {
                    self.session.saved = None;
                    self.worker
                        .send(Command::Save(PathBuf::from(self.save_to.trim())));
                }
            });
            match &self.session.saved {
                Some(Ok(folder)) => {
                    ui.label(small(format!("Saved to {}.", folder.display())));
                }
                Some(Err(message)) => alert(ui, message),
                None => {}
            }
        });
    }

    fn foot(&self, ui: &mut Ui) {
        ui.horizontal_centered(|ui| {
            let frames = match self.frames.summary() {
                None => "Frame times are measured during training".to_string(),
                Some(frames) => format!(
                    "Frame times during training: median {:.1} ms · 95th percentile {:.1} ms · max {:.1} ms",
                    frames.median_ms, frames.percentile_95_ms, frames.longest_ms
                ),
            };
            ui.label(small(frames));
            ui.with_layout(Layout::right_to_left(eframe::egui::Align::Center), |ui| {
                theme::switch(ui);
                let device = self.session.facts.as_ref().map(|facts| facts.device.as_str());
                if let (Some(bytes), Some(device)) = (self.session.memory, device) {
                    let peak = format::mebibytes(self.session.peak_memory);
                    let held = format::mebibytes(bytes);
                    ui.label(small(format!("{device} · {held} in use, peak {peak}")));
                }
            });
        });
    }
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        self.frames
            .frame(Instant::now(), self.session.stage == Stage::Running);
        let context = ui.ctx().clone();
        self.listen(&context);
        if self.session.stage.is_active() {
            context.request_repaint_after(self.frame);
        }

        let margin = |top, bottom| Margin {
            left: GAP as i8,
            right: GAP as i8,
            top,
            bottom,
        };
        // The clear colour is the background, which saves a layer in software rendering.
        let frame = |margin| Frame::new().inner_margin(margin);
        let foot = Panel::bottom("foot")
            .exact_size(32.0)
            .frame(frame(margin(0, 0)));
        foot.show(ui, |ui| self.foot(ui));
        let side = Panel::left("side")
            .exact_size(316.0)
            .resizable(false)
            .frame(frame(margin(GAP as i8, GAP as i8)));
        side.show(ui, |ui| {
            let stage = self.session.stage.clone();
            if let Some(pressed) = sidebar::show(ui, &mut self.setup, &mut self.places, &stage) {
                self.pressed(&context, pressed);
            }
        });
        CentralPanel::default()
            .frame(frame(margin(GAP as i8, GAP as i8)))
            .show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = 8.0;
                ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                    self.run(ui);
                    let method = self.session.method().unwrap_or(self.setup.method);
                    let by_plot = plots::show(ui, &self.session, method, PLOT_HEIGHT);
                    let by_slider = results::show(ui, &self.session);
                    if let Some(moved) = by_slider.or(by_plot) {
                        self.moved(moved);
                    }
                    let asked = prompts::show(ui, &mut self.prompt, &self.session, method);
                    if let Some(asked) = asked {
                        self.asked(asked);
                    }
                    self.save(ui);
                });
            });
        if let Some(drive) = &mut self.drive {
            context.request_repaint_after(self.frame);
            drive.frame(&context, &self.session, &self.frames);
        }
    }

    fn clear_color(&self, visuals: &Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }

    fn raw_input_hook(&mut self, context: &Context, input: &mut RawInput) {
        if let Some(drive) = &mut self.drive {
            drive.input(context, input);
        }
    }
}
