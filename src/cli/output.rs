//! Terminal output: text and progress bars, or JSON lines.

use std::fmt::Display;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::json;

pub(super) use super::progress::stderr;
use super::progress::{Progress, is_interactive, time_left};
use crate::error::Error;
use crate::train::{Event, Moment};

/// The output of a command.
pub(super) struct Output {
    json: bool,
    /// Whether nothing is printed.
    is_silent: bool,
    progress: Mutex<Option<Progress>>,
    /// The first error of writing to stdout.
    failure: Mutex<Option<std::io::Error>>,
}

/// Locks what is whole even if a thread has panicked meanwhile.
fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            is_silent: false,
            progress: Mutex::new(None),
            failure: Mutex::new(None),
        }
    }

    /// Returns an output that prints nothing.
    #[cfg(feature = "mpi")]
    pub(super) fn silent() -> Self {
        Self {
            is_silent: true,
            ..Self::new(false)
        }
    }

    /// Returns the first error of writing to stdout.
    pub(super) fn failure(&self) -> Option<Error> {
        let source = locked(&self.failure).take()?;
        Some(Error::io("write to", "standard output")(source))
    }

    fn stdout(&self, text: &str) {
        if self.is_silent {
            return;
        }
        let mut stdout = std::io::stdout();
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        match written {
            // A closed pipe, as with `head`, is not an error.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                locked(&self.failure).get_or_insert(error);
            }
            _ => {}
        }
    }

    /// Prints a line of text: to stdout, or to stderr with `--json`.
    pub(super) fn text(&self, text: impl Display) {
        if self.json {
            stderr(text);
        } else {
            self.stdout(&format!("{text}\n"));
        }
    }

    /// Prints a part of a line immediately, unless with `--json`.
    pub(super) fn piece(&self, text: &str) {
        if !self.json {
            self.stdout(text);
        }
    }

    /// Prints a JSON object with `--json`.
    pub(super) fn object(&self, object: &impl Serialize) {
        if self.json {
            match serde_json::to_string(object) {
                Ok(line) => self.stdout(&format!("{line}\n")),
                Err(error) => log::error!("cannot serialize the output as JSON: {error}"),
            }
        }
    }

    pub(super) fn error(&self, message: &str) {
        self.finish();
        self.object(&json!({ "event": "error", "message": message }));
        stderr(format_args!("error: {message}"));
    }

    /// Prints an event of a run: as progress, and as a JSON object.
    pub(super) fn event(&self, method: &str, event: &Event) {
        self.object(event);
        self.show(method, event, Self::finish);
    }

    /// Shows the progress of one run among many, on a terminal only, and clears it at the end.
    pub(super) fn glimpse(&self, method: &str, event: &Event) {
        if is_interactive() {
            self.show(method, event, Self::clear);
        }
    }

    /// Shows an event; `end` is called when it completes the progress.
    fn show(&self, method: &str, event: &Event, end: fn(&Self)) {
        match event {
            Event::Evaluating {
                moment,
                done,
                total,
            } => {
                let title = match moment {
                    Moment::Before => "evaluating before training".to_string(),
                    Moment::During => format!("evaluating {method}"),
                    Moment::After => format!("evaluating after {method}"),
                };
                self.progress(&title, *done, *total, &[]);
            }
            Event::Evaluated { .. } => {
                if let Some(progress) = locked(&self.progress).as_mut() {
                    progress.complete();
                }
                end(self);
            }
            Event::Consolidating { done, total } => {
                self.progress("estimating EWC importance", *done, *total, &[]);
                if done == total {
                    end(self);
                }
            }
            Event::Weighing { done, total } => {
                self.progress("weighing samples", *done, *total, &[]);
                if done == total {
                    end(self);
                }
            }
            Event::Step {
                step,
                steps,
                epoch,
                loss,
                learning_rate,
                tokens_per_second,
                seconds_left,
                ..
            } => {
                let notes = [
                    time_left(*seconds_left),
                    format!("loss {loss:.3}"),
                    format!("lr {}", short(*learning_rate)),
                    format!("{} tokens/s", thousands(*tokens_per_second)),
                    format!("epoch {epoch}"),
                ];
                self.progress(method, *step, *steps, &notes);
                if step == steps {
                    end(self);
                }
            }
            Event::EvaluatingFront {
                weight,
                done,
                total,
            } => {
                let title = format!("measuring {method} by strength");
                self.progress(&title, *done, *total, &[format!("w {weight:.2}")]);
            }
            Event::FrontPoint { .. } => {}
        }
    }

    /// Shows progress. Of the notes, the first ones matter most.
    pub(super) fn progress(&self, title: &str, done: usize, total: usize, notes: &[String]) {
        if self.is_silent {
            return;
        }
        let mut slot = locked(&self.progress);
        match slot.as_mut().filter(|progress| progress.is_of(title)) {
            Some(progress) => progress.show(done, notes),
            None => slot.insert(Progress::new(title, total)).show(done, notes),
        }
    }

    /// Ends the current progress and removes it from the terminal.
    pub(super) fn clear(&self) {
        if let Some(progress) = locked(&self.progress).take() {
            progress.clear();
        }
    }

    /// Ends the current progress and leaves it on the terminal.
    pub(super) fn finish(&self) {
        if let Some(progress) = locked(&self.progress).take() {
            progress.finish();
        }
    }
}

/// Formats a small number with two digits: 1e-3, 9.5e-4.
fn short(number: f64) -> String {
    format!("{number:.1e}").replace(".0e", "e")
}

/// Formats an integer with commas: 12,345.
pub(super) fn thousands(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0.0 {
        format!("-{text}")
    } else {
        text
    }
}

/// Formats a count with its noun: 1 sample, 12,345 samples.
pub(super) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(count as f64))
}

#[cfg(test)]
mod tests {
    use super::{counted, thousands};

    #[test]
    fn counts_have_a_plural() {
        assert_eq!(counted(1, "file"), "1 file");
        assert_eq!(counted(0, "file"), "0 files");
        assert_eq!(counted(1200, "file"), "1,200 files");
    }

    #[test]
    fn numbers_get_commas() {
        for (number, text) in [
            (0.0, "0"),
            (999.4, "999"),
            (1000.0, "1,000"),
            (-1234567.0, "-1,234,567"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }
}
