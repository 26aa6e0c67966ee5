//! Minifinetuning in a window: a model and a text are chosen, the training is watched while it runs, paused
//! or cancelled, prompts are answered before and after, and the model is saved. The training can use the
//! window's own GPU device.
//!
//! `cargo run --release` in this folder. Where to look for what an application of your own needs: [`gpu`]
//! shares the device, [`worker`] drives the run on a thread, [`session`] keeps what the window shows of it.

mod app;
mod curve;
mod drive;
mod format;
mod frames;
mod gpu;
mod inputs;
mod pick;
mod plots;
mod prompts;
mod results;
mod session;
mod setup;
mod sidebar;
mod theme;
mod widgets;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use eframe::egui::{self, ThemePreference};
use minift::counting::CountingAllocator;

use app::App;
use drive::{Drive, Verdict};
use setup::{Place, Setup};

/// So that what a training on the CPU holds can be shown.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Minifinetuning in a window.
#[derive(Parser)]
struct Arguments {
    /// What to train on; without it the window's GPU, or the CPU where that GPU is software
    #[arg(long)]
    device: Option<Place>,
    /// Samples to train on
    #[arg(long)]
    samples: Option<usize>,
    /// Times that every sample is seen
    #[arg(long)]
    epochs: Option<usize>,
    /// Samples a step
    #[arg(long)]
    batch_size: Option<usize>,
    /// Texts of each held-out set that perplexities are measured on
    #[arg(long)]
    evaluated: Option<usize>,
    /// Colours
    #[arg(long, value_enum, default_value_t)]
    theme: Colours,
    /// Tests the window: goes through all of it by itself, leaves the saved model and a screenshot in this new
    /// folder, prints what came of it as JSON, and closes
    #[arg(long, value_name = "FOLDER")]
    drive: Option<PathBuf>,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Colours {
    /// As the system has them
    #[default]
    System,
    Light,
    Dark,
}

impl From<Colours> for ThemePreference {
    fn from(colours: Colours) -> Self {
        match colours {
            Colours::System => Self::System,
            Colours::Light => Self::Light,
            Colours::Dark => Self::Dark,
        }
    }
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let arguments = Arguments::parse();
    let mut setup = Setup::default();
    setup.samples = arguments.samples.unwrap_or(setup.samples);
    setup.batch_size = arguments.batch_size.unwrap_or(setup.batch_size);
    setup.evaluated = arguments.evaluated.unwrap_or(setup.evaluated);
    setup.epochs = arguments.epochs.unwrap_or(setup.epochs);
    let verdict = Verdict::default();
    let drive = match arguments
        .drive
        .as_deref()
        .map(|folder| Drive::new(folder, verdict.clone()))
    {
        None => None,
        Some(Ok(drive)) => Some(drive),
        Some(Err(error)) => return failed(&error),
    };
    let driven = drive.is_some();

    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title("minift")
            .with_app_id("minift-desktop")
            .with_inner_size([1100.0, 760.0])
            .with_min_inner_size([900.0, 560.0])
            .with_drag_and_drop(true),
        wgpu_options: gpu::window_options(),
        ..Default::default()
    };
    let shown = eframe::run_native(
        "minift",
        options,
        Box::new(move |context| {
            theme::install(&context.egui_ctx, arguments.theme.into());
            let app = App::new(context, setup, arguments.device, drive)?;
            Ok(Box::new(app))
        }),
    );
    if let Err(error) = shown {
        return failed(&format!("no window could be opened: {error}"));
    }
    match verdict.take() {
        Some(Ok(report)) => {
            println!("{report:#}");
            ExitCode::SUCCESS
        }
        Some(Err(message)) => failed(&message),
        None if driven => failed("the window was closed before the end"),
        None => ExitCode::SUCCESS,
    }
}

fn failed(message: &str) -> ExitCode {
    eprintln!("minift-desktop: {message}");
    ExitCode::FAILURE
}
