//! To people or to programs: text and progress bars, or JSON lines.

use std::cell::RefCell;
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;

use crate::error::Error;
use crate::train::{Event, Moment};

/// Where a command's output goes.
pub struct Output {
    json: bool,
    progress: RefCell<Option<Progress>>,
    /// Why stdout could not be written to, if so.
    failure: RefCell<Option<std::io::Error>>,
}

/// A piece of long work.
struct Progress {
    title: String,
    bar: Option<ProgressBar>,
    /// Without a terminal: when a line was last printed.
    printed: Option<Instant>,
}

/// Between lines of progress where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

impl Output {
    pub fn new(json: bool) -> Self {
        Self {
            json,
            progress: RefCell::new(None),
            failure: RefCell::new(None),
        }
    }

    /// The error, if anything could not be written to stdout.
    pub fn failure(&self) -> Option<Error> {
        let source = self.failure.borrow_mut().take()?;
        Some(Error::io("write to", "standard output")(source))
    }

    fn stdout(&self, text: &str) {
        let mut stdout = std::io::stdout();
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        match written {
            // A reader that went away, such as `head`, is no reason to fail.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                self.failure.borrow_mut().get_or_insert(error);
            }
            _ => {}
        }
    }

    /// Text for people: on stdout, or on stderr where stdout is for programs.
    pub fn text(&self, text: impl Display) {
        if self.json {
            stderr(text);
        } else {
            self.stdout(&format!("{text}\n"));
        }
    }

    /// A piece of a line for people, shown at once.
    pub fn piece(&self, text: &str) {
        if !self.json {
            self.stdout(text);
        }
    }

    /// An object for programs.
    pub fn object(&self, object: &impl Serialize) {
        if self.json {
            match serde_json::to_string(object) {
                Ok(line) => self.stdout(&format!("{line}\n")),
                Err(error) => log::error!("an object could not be written as JSON: {error}"),
            }
        }
    }

    pub fn error(&self, error: &Error) {
        self.finish();
        self.object(&json!({ "event": "error", "message": error.to_string() }));
        stderr(format_args!("error: {error}"));
    }

    /// Progress of a run, and its events for programs.
    pub fn event(&self, method: &str, event: &Event) {
        self.object(event);
        self.show(method, event, Self::finish);
    }

    /// Progress of one run among many, on a terminal only: nothing of it stays.
    pub fn glimpse(&self, method: &str, event: &Event) {
        if std::io::stderr().is_terminal() {
            self.show(method, event, Self::clear);
        }
    }

    /// Shows an event; `end` is done with the progress of what it ends.
    fn show(&self, method: &str, event: &Event, end: fn(&Self)) {
        match event {
            Event::Evaluating {
                moment,
                done,
                total,
            } => {
                let title = match moment {
                    Moment::Before => "measuring the untouched model".to_string(),
                    Moment::During => format!("measuring in the middle of {method}"),
                    Moment::After => format!("measuring after {method}"),
                };
                self.progress(&title, *done, *total, "");
            }
            Event::Evaluated { .. } => {
                if let Some(Progress { bar: Some(bar), .. }) = self.progress.borrow().as_ref() {
                    bar.set_position(bar.length().unwrap_or_default());
                }
                end(self);
            }
            Event::Consolidating { done, total } => {
                self.progress("what matters for general text", *done, *total, "");
                if done == total {
                    end(self);
                }
            }
            Event::Step {
                step,
                steps,
                epoch,
                loss,
                tokens_per_second,
                seconds_left,
                ..
            } => {
                let left = Duration::from_secs_f64(seconds_left.clamp(0.0, 1e9).round());
                let message = format!(
                    "epoch {epoch}  loss {loss:.3}  {} tokens/s  {} left",
                    thousands(*tokens_per_second),
                    indicatif::HumanDuration(left)
                );
                self.progress(method, *step, *steps, &message);
                if step == steps {
                    end(self);
                }
            }
        }
    }

    /// Progress of a piece of long work.
    pub fn progress(&self, title: &str, done: usize, total: usize, message: &str) {
        let mut slot = self.progress.borrow_mut();
        if slot.as_ref().is_none_or(|progress| progress.title != title) {
            *slot = Some(Progress {
                title: title.to_string(),
                bar: std::io::stderr().is_terminal().then(|| bar(title, total)),
                printed: None,
            });
        }
        let Some(progress) = slot.as_mut() else {
            return;
        };
        if let Some(bar) = &progress.bar {
            bar.set_position(done as u64);
            bar.set_message(message.to_string());
        } else if progress
            .printed
            .is_none_or(|at| at.elapsed() >= LINE_INTERVAL)
            || done == total
        {
            progress.printed = Some(Instant::now());
            stderr(format_args!("{title}: {done}/{total}  {message}"));
        }
    }

    /// Ends the progress of what was going on and leaves nothing of it.
    pub fn clear(&self) {
        if let Some(Progress { bar: Some(bar), .. }) = self.progress.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }

    /// Ends the progress of what was going on.
    pub fn finish(&self) {
        if let Some(Progress { bar: Some(bar), .. }) = self.progress.borrow_mut().take() {
            bar.abandon();
        }
    }
}

/// A line on stderr. Nobody who reads it is no reason to end a training.
pub fn stderr(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn bar(title: &str, total: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:<32} {bar:24} {pos:>4}/{len:<4} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─");
    let bar = ProgressBar::new(total as u64).with_style(style);
    bar.set_prefix(title.to_string());
    bar
}

/// A whole number with commas: 12,345.
pub fn thousands(number: f64) -> String {
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

#[cfg(test)]
mod tests {
    use super::thousands;

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
