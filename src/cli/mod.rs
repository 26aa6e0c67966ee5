//! The command line: from arguments to a run, from events to the terminal.

mod args;
mod as_text;
mod bench;
mod chat;
mod compare;
mod data;
mod demo;
mod devices;
mod dial;
mod doctor;
mod downloads;
mod drive;
mod eval;
mod export;
mod flags;
mod front;
mod generate;
mod inputs;
mod limit;
mod logs;
mod memory;
mod merge;
mod models;
mod output;
mod progress;
mod ranks;
mod samples;
mod sampling;
#[cfg(test)]
mod schema;
mod search;
mod setup;
mod shell;
mod strength;
mod summary;
mod train;
mod trained;
mod training;
mod watch;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::error::Result;
use crate::train::Cancel;
use args::{Arguments, Command};
pub use bench::allocator;
use output::Output;
use ranks::Job;

/// The default log filter. Most warnings of the library are printed by the commands in their own form.
const LOG_FILTER: &str = "error,minift::train::checkpoint=warn";

/// How a command ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Success,
    /// A check failed.
    Failed,
    /// Interrupted by Ctrl-C.
    Cancelled,
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    memory::keep_freed_memory();
    quiet_mesa();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(LOG_FILTER)).init();
    let arguments = Arguments::parse();
    let output = Output::new(arguments.json);
    let command = arguments.command.as_ref().map_or("demo", Command::name);
    let ended = start(arguments, &output);
    match ended.and_then(|ended| output.failure().map_or(Ok(ended), Err)) {
        Ok(Ended::Success) => ExitCode::SUCCESS,
        Ok(Ended::Failed) => ExitCode::FAILURE,
        // 128 + SIGINT, as shells report it.
        Ok(Ended::Cancelled) => ExitCode::from(130),
        Err(error) => {
            output.error(&flags::message(&error, command));
            ExitCode::FAILURE
        }
    }
}

/// Turns off Mesa's device-select layer where there is no desktop: it would print an error to stderr.
fn quiet_mesa() {
    const LAYER_OFF: &str = "NODEVICE_SELECT";
    let without = |name: &str| std::env::var_os(name).is_none();
    if cfg!(target_os = "linux") && without("XDG_RUNTIME_DIR") && without(LAYER_OFF) {
        // SAFETY: called first, before any other thread exists.
        unsafe { std::env::set_var(LAYER_OFF, "1") };
    }
}

/// Runs the command on a thread of the pool that computes on the CPU. From any other thread, each operation would wake
/// up the pool, and be woken up by it.
fn start(arguments: Arguments, output: &Output) -> Result<Ended> {
    // Ranks divide the threads of their machine before the first is used.
    let job = match &arguments.command {
        Some(Command::Train(_)) => ranks::join()?,
        _ => None,
    };
    rayon::scope(|_| pollster::block_on(run(arguments, job, output)))
}

async fn run(arguments: Arguments, job: Option<Job>, output: &Output) -> Result<Ended> {
    let given = arguments.device;
    let device = given.unwrap_or_default();
    match arguments.command {
        None => {
            demo::introduce(output);
            let arguments = args::DemoArguments::default();
            demo::run(&arguments, device, output, &cancel(true)).await
        }
        Some(Command::Demo(demo)) => demo::run(&demo, device, output, &cancel(true)).await,
        Some(Command::Compare(compare)) => {
            compare::run(&compare, device, output, &cancel(true)).await
        }
        Some(Command::Train(train)) => ranks::run(&train, given, job, output).await,
        Some(Command::Data(data)) => data::run(&data, output),
        Some(Command::Eval(eval)) => eval::run(&eval, device, output).await,
        Some(Command::Generate(generate)) => generate::run(&generate, device, output).await,
        Some(Command::Chat(chat)) => chat::run(&chat, device, output).await,
        Some(Command::Dial(dial)) => dial::run(&dial, device, output, &cancel(true)).await,
        Some(Command::Merge(merge)) => merge::run(&merge, device, output).await,
        Some(Command::Export(export)) => export::run(&export, device, output).await,
        Some(Command::Devices) => devices::run(output).await,
        Some(Command::Doctor(doctor)) => doctor::run(&doctor, device, output).await,
        Some(Command::Bench(arguments)) => bench::run(&arguments, device, output).await,
        Some(Command::Completions(arguments)) => Ok(shell::completions(&arguments, output)),
        Some(Command::Man(arguments)) => shell::man(&arguments, output),
    }
}

/// Signals within this time count as one: `timeout` and schedulers signal both a process and its group.
const ONE_SIGNAL: Duration = Duration::from_millis(500);

/// Returns a flag that is set by Ctrl-C; a second Ctrl-C exits immediately. `speaks` is whether this is reported.
fn cancel(speaks: bool) -> Cancel {
    let cancel = Cancel::default();
    let requested = cancel.clone();
    let mut first: Option<Instant> = None;
    let handler = move || match first {
        Some(first) if first.elapsed() < ONE_SIGNAL => {}
        Some(_) => std::process::exit(130),
        None => {
            first = Some(Instant::now());
            requested.cancel();
            if speaks {
                output::stderr(
                    "\nstopping after this step (press Ctrl-C again to exit immediately)",
                );
            }
        }
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        log::warn!("Ctrl-C will exit immediately: {error}");
    }
    cancel
}
