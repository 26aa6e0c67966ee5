//! A desktop application for minifinetuning: choose a model and a text, watch, pause or cancel the
//! training, choose its strength, talk to the model before and after, and save it. Training can share
//! the GPU device of the window.
//!
//! Run `cargo run --release` in this folder. Starting points for your own application: [`gpu`]
//! shares the device, [`thread`] drives the run, [`worker`] is the window's handle to it, [`session`]
//! holds the state that the window shows.

#[path = "../../../src/cli/bench/allocator.rs"]
#[allow(dead_code)]
mod allocator;
mod app;
mod conversation;
mod curve;
mod dial;
mod drive;
mod format;
mod frames;
mod gestures;
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
mod thread;
mod widgets;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use eframe::egui::{self, ThemePreference};

use app::App;
use drive::{Drive, Verdict};
use setup::{Place, Setup};

/// Tracks memory use, to display it for training on the CPU.
#[global_allocator]
static ALLOCATOR: allocator::CountingAllocator = allocator::CountingAllocator;

/// Minifinetuning with a graphical interface
#[derive(Parser)]
struct Arguments {
    /// Training device; defaults to the GPU of the window, or to the CPU if that GPU is a software adapter
    #[arg(long)]
    device: Option<Place>,
    /// Number of training samples
    #[arg(long)]
    samples: Option<usize>,
    /// Number of epochs
    #[arg(long)]
    epochs: Option<usize>,
    /// Batch size
    #[arg(long)]
    batch_size: Option<usize>,
    /// Number of evaluation texts per set
    #[arg(long)]
    evaluated: Option<usize>,
    /// Color theme
    #[arg(long, value_enum, default_value_t)]
    theme: Colours,
    /// Runs the scripted self-test: operates the window, writes the saved model and a screenshot to this new
    /// folder, prints a report as JSON, and exits
    #[arg(long, value_name = "FOLDER")]
    drive: Option<PathBuf>,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Colours {
    /// Follow the system setting
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
    allocator::start_counting();
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
        return failed(&format!("cannot open the window: {error}"));
    }
    match verdict.take() {
        Some(Ok(report)) => {
            println!("{report:#}");
            ExitCode::SUCCESS
        }
        Some(Err(message)) => failed(&message),
        None if driven => failed("the window was closed before the self-test finished"),
        None => ExitCode::SUCCESS,
    }
}

fn failed(message: &str) -> ExitCode {
    eprintln!("minift-desktop: {message}");
    ExitCode::FAILURE
}
