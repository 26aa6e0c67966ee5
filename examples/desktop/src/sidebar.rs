//! The settings of a run, and the buttons Start, Pause and Cancel.

use std::ops::RangeInclusive;

use eframe::egui::{
    Button, Checkbox, Color32, DragValue, Frame, Grid, Margin, Panel, RichText, ScrollArea, Slider,
    TextEdit, Ui, vec2,
};

use crate::session::Stage;
use crate::setup::{Method, Place, Setup, Source, Trained};
use crate::theme::Palette;
use crate::widgets::{GAP, button, card, segments, small};

/// Range of the count fields.
const COUNTS: RangeInclusive<usize> = 1..=1_000_000;

/// The selected device and the available ones.
#[derive(Clone, Debug)]
pub struct Places {
    /// The selected device.
    pub place: Place,
    /// Name of the window's GPU, or why it is unsupported.
    pub window: Result<String, String>,
    /// Name of the CPU.
    pub cpu: String,
}

/// A pressed button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressed {
    Start,
    Pause,
    Resume,
    Cancel,
    /// Browse for a model folder.
    BrowseModel,
    /// Browse for a text file.
    BrowseText,
}

/// Shows the sidebar at the available height.
pub fn show(ui: &mut Ui, setup: &mut Setup, places: &mut Places, stage: &Stage) -> Option<Pressed> {
    let mut pressed = None;
    let buttons = Panel::bottom("buttons")
        .frame(Frame::new().inner_margin(Margin {
            top: GAP as i8,
            ..Default::default()
        }))
        .show_separator_line(false);
    buttons.show(ui, |ui| pressed = run_buttons(ui, setup, stage));
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 6.0;
        ui.add_enabled_ui(!stage.is_active(), |ui| {
            pressed = pressed.or(choices(ui, setup, places));
        });
    });
    pressed
}

fn choices(ui: &mut Ui, setup: &mut Setup, places: &mut Places) -> Option<Pressed> {
    let mut pressed = None;
    card(ui, "Model", |ui| {
        let hint = "a Hugging Face model folder: type, browse or drop it";
        if source(ui, &mut setup.model, ["Embedded", "Folder"], hint) {
            pressed = Some(Pressed::BrowseModel);
        }
        if !setup.model.own {
            ui.label(small("minift-tales-360k, trained on tiny stories"));
        }
    });
    card(ui, "Text", |ui| {
        let hint = "a .txt, .md, .jsonl, .csv or .parquet file";
        if source(ui, &mut setup.text, ["Embedded", "File"], hint) {
            pressed = Some(Pressed::BrowseText);
        }
        if !setup.text.own {
            ui.label(small("660 repair tickets of a bicycle workshop"));
        }
    });
    card(ui, "Method", |ui| method(ui, setup));
    card(ui, "Settings", |ui| numbers(ui, setup));
    card(ui, "Device", |ui| device(ui, places));
    pressed
}

/// A choice between embedded data and a path. Returns whether Browse was clicked.
fn source(ui: &mut Ui, source: &mut Source, labels: [&str; 2], hint: &str) -> bool {
    let [embedded, own] = labels;
    segments(ui, &mut source.own, &[(false, embedded), (true, own)]);
    let mut browse = false;
    if source.own {
        ui.horizontal(|ui| {
            let field = TextEdit::singleline(&mut source.path).hint_text(hint);
            ui.add(field.desired_width(ui.available_width() - 92.0));
            browse = ui.button("Browse…").clicked();
        });
    }
    browse
}

fn method(ui: &mut Ui, setup: &mut Setup) {
    segments(
        ui,
        &mut setup.method,
        &[(Method::Mft, "Minifinetuning"), (Method::Ft, "Finetuning")],
    );
    let help = "Margin by which the label must lead. Smaller values forget less; 1 is plain \
                finetuning.";
    ui.add_enabled_ui(setup.method == Method::Mft, |ui| {
        ui.horizontal(|ui| {
            ui.label("Margin τ").on_hover_text(help);
            ui.spacing_mut().slider_width = ui.available_width() - 66.0;
            let slider = Slider::new(&mut setup.tau, 0.0..=1.0)
                .step_by(0.05)
                .fixed_decimals(2);
            ui.add(slider).on_hover_text(help);
        });
    });
    let before = setup.trained;
    let mut lora = before == Trained::Lora;
    let help = "Trains a low-rank adapter instead of the weights: less memory and smaller files, \
                but less capacity.";
    ui.add(Checkbox::new(&mut lora, "Train a LoRA adapter"))
        .on_hover_text(help);
    setup.trained = if lora {
        Trained::Lora
    } else {
        Trained::Weights
    };
    // Keep a learning rate that the user has changed.
    if setup.trained != before && setup.learning_rate == before.learning_rate() {
        setup.learning_rate = setup.trained.learning_rate();
    }
}

fn numbers(ui: &mut Ui, setup: &mut Setup) {
    Grid::new("numbers").num_columns(2).spacing([8.0, 4.0]).min_col_width(118.0)
        .min_row_height(24.0).show(ui, |ui| {
        let mut count = |label: &str, help: &str, value: &mut usize, range| {
            ui.label(label).on_hover_text(help);
            let field = DragValue::new(value).range(range).speed(0.2);
            ui.add_sized([ui.available_width(), 24.0], field).on_hover_text(help);
            ui.end_row();
        };
        count("Samples", "Maximum number of training texts.", &mut setup.samples, COUNTS);
        count("Epochs", "Number of passes over the training samples.", &mut setup.epochs, 1..=1000);
        count("Batch size", "Samples per step; smaller batches use less memory.", &mut setup.batch_size, 1..=1024);
        let help = "Evaluation texts per set; more texts give more accurate perplexities but take \
                    longer.";
        count("Evaluated texts", help, &mut setup.evaluated, COUNTS);
        let help = "Number of evaluations during training, including the final one.";
        count("Evaluations", help, &mut setup.evaluations, 1..=100);
        let help = "Models with more than a few hundred million parameters require 0.0001 or \
                    less.";
        ui.label("Learning rate").on_hover_text(help);
        let field = DragValue::new(&mut setup.learning_rate)
            .range(1e-8..=1.0)
            .speed(1e-5)
            .custom_formatter(|value, _| format!("{value}"));
        ui.add_sized([ui.available_width(), 24.0], field).on_hover_text(help);
        ui.end_row();
    });
}

fn device(ui: &mut Ui, places: &mut Places) {
    ui.add_enabled_ui(places.window.is_ok(), |ui| {
        let choices = [(Place::Window, "Window's GPU"), (Place::Cpu, "CPU")];
        segments(ui, &mut places.place, &choices);
    });
    match (&places.window, places.place) {
        (Ok(name), Place::Window) => ui.label(small(name)),
        (Err(why), _) => ui.label(small(why)),
        (_, Place::Cpu) => ui.label(small(&places.cpu)),
    };
}

fn run_buttons(ui: &mut Ui, setup: &Setup, stage: &Stage) -> Option<Pressed> {
    let colours = Palette::of(ui);
    let ready = setup.model.is_complete() && setup.text.is_complete();
    let primary = |label: &str| {
        Button::new(RichText::new(label).color(colours.on_accent).size(15.0)).fill(colours.mft)
    };
    let quiet = |label: &str, colour: Color32| Button::new(RichText::new(label).color(colour));
    let width = ui.available_width();
    let height = 34.0;
    if !stage.is_active() {
        let start = button(ui, "start", primary("Start"), vec2(width, height), ready);
        let start =
            start.on_disabled_hover_text("Select a folder and a file, or use the embedded ones.");
        return start.clicked().then_some(Pressed::Start);
    }
    let half = vec2((width - ui.spacing().item_spacing.x) / 2.0, height);
    ui.horizontal(|ui| {
        let mut pressed = None;
        if *stage == Stage::Paused {
            if button(ui, "resume", primary("Resume"), half, true).clicked() {
                pressed = Some(Pressed::Resume);
            }
        } else {
            let running = *stage == Stage::Running;
            if button(ui, "pause", quiet("Pause", colours.ink), half, running).clicked() {
                pressed = Some(Pressed::Pause);
            }
        }
        if button(ui, "cancel", quiet("Cancel", colours.danger), half, true).clicked() {
            pressed = Some(Pressed::Cancel);
        }
        pressed
    })
    .inner
}
