//! The command line: arguments to a run, events to a terminal.

mod args;
mod bench;
mod compare;
mod data;
mod demo;
mod doctor;
mod inputs;
mod memory;
mod output;
mod setup;
mod small;
mod summary;
mod train;
mod training;
mod within;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::error::Result;
use crate::train::Cancel;
use args::{Arguments, Command};
use output::Output;

/// How a command ended, if not by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// All is well.
    Well,
    /// A check did not pass.
    Failed,
    /// Somebody pressed Ctrl-C.
    Cancelled,
}

/// Runs the program on the process's arguments.
pub fn main() -> ExitCode {
    memory::keep_freed_memory();
    quiet_mesa();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error")).init();
    let arguments = Arguments::parse();
    let output = Output::new(arguments.json);
    let ended = pollster::block_on(run(arguments, &output));
    match ended.and_then(|ended| output.failure().map_or(Ok(ended), Err)) {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Failed) => ExitCode::FAILURE,
        // 128 + SIGINT, as shells report it.
        Ok(Ended::Cancelled) => ExitCode::from(130),
        Err(error) => {
            output.error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Mesa's layer that orders GPUs asks the desktop which is its own, and complains on stderr where
/// there is no desktop. There it has nothing to order by and can stay away.
fn quiet_mesa() {
    const LAYER_OFF: &str = "NODEVICE_SELECT";
    let without = |name: &str| std::env::var_os(name).is_none();
    if cfg!(target_os = "linux") && without("XDG_RUNTIME_DIR") && without(LAYER_OFF) {
        // SAFETY: the first thing that the program does; no other thread reads the environment yet.
        unsafe { std::env::set_var(LAYER_OFF, "1") };
    }
}

async fn run(arguments: Arguments, output: &Output) -> Result<Ended> {
    let device = arguments.device;
    match arguments.command {
        None => demo::run(&args::DemoArguments::default(), device, output, &cancel()).await,
        Some(Command::Demo(demo)) => demo::run(&demo, device, output, &cancel()).await,
        Some(Command::Compare(compare)) => compare::run(&compare, device, output, &cancel()).await,
        Some(Command::Train(train)) => train::run(&train, device, output, &cancel()).await,
        Some(Command::Data(data)) => data::run(&data, output),
        Some(Command::Eval(eval)) => small::eval(&eval, device, output).await,
        Some(Command::Generate(generate)) => small::generate(&generate, device, output).await,
        Some(Command::Merge(merge)) => small::merge(&merge, device, output).await,
        Some(Command::Devices) => small::devices(output).await,
        Some(Command::Doctor(doctor)) => doctor::run(&doctor, device, output).await,
        Some(Command::Bench(arguments)) => bench::run(&arguments, device, output).await,
    }
}

/// Signals within this time are one: `timeout` and schedulers send theirs to a program and to its group.
const ONE_SIGNAL: Duration = Duration::from_millis(500);

/// A flag that Ctrl-C sets; a second one ends the program at once.
fn cancel() -> Cancel {
    let cancel = Cancel::default();
    let asked = cancel.clone();
    let mut first: Option<Instant> = None;
    let handler = move || match first {
        Some(first) if first.elapsed() < ONE_SIGNAL => {}
        Some(_) => std::process::exit(130),
        None => {
            first = Some(Instant::now());
            asked.cancel();
            output::stderr("\nstopping at the next step (Ctrl-C again ends at once)");
        }
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        log::warn!("Ctrl-C will end the program at once: {error}");
    }
    cancel
}
