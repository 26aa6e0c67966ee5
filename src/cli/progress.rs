//! The progress line of the terminal.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use console::{Term, measure_text_width, truncate_str};
use indicatif::{ProgressBar, ProgressStyle};

/// Interval of progress lines without a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Columns where the terminal does not tell.
const DEFAULT_COLUMNS: usize = 80;
/// Columns of the longest bar, of the shortest and of one that leaves room for details.
const BAR: usize = 24;
const SHORT_BAR: usize = 4;
const MEDIUM_BAR: usize = 10;
/// Columns to which a title is filled up where there is room, so that the bars of successive lines begin alike.
const TITLE: usize = 24;

/// Returns whether lines on stderr can be replaced: it is a terminal, and not a dumb one.
pub(super) fn is_interactive() -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
    std::io::stderr().is_terminal() && !is_dumb
}

/// Prints a line to stderr. A failure is ignored: a closed stderr must not end a training.
pub(super) fn stderr(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Something in progress.
pub(super) struct Progress {
    title: String,
    total: usize,
    bar: Option<ProgressBar>,
    /// Without a terminal: the time of the last printed line.
    printed: Option<Instant>,
}

impl Progress {
    /// Begins.
    pub(super) fn new(title: &str, total: usize) -> Self {
        let bar = is_interactive().then(|| {
            let style = ProgressStyle::with_template("{msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total as u64).with_style(style)
        });
        Self {
            title: title.to_string(),
            total,
            bar,
            printed: None,
        }
    }

    /// Returns whether this is the progress of something of that title.
    pub(super) fn is_of(&self, title: &str) -> bool {
        self.title == title
    }

    /// Shows how much is done. Of the notes, the first ones matter most.
    pub(super) fn show(&mut self, done: usize, notes: &[String]) {
        let columns = Term::stderr().size_checked();
        let columns = columns.map(|(_, columns)| usize::from(columns));
        let fitted = |columns| line(&self.title, done, self.total, notes, columns);
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            bar.set_message(fitted(columns.unwrap_or(DEFAULT_COLUMNS)));
        } else if self.printed.is_none_or(|at| at.elapsed() >= LINE_INTERVAL) || done == self.total
        {
            let line = columns.map_or_else(
                || {
                    format!(
                        "{}: {done}/{}  {}",
                        self.title,
                        self.total,
                        notes.join("  ")
                    )
                },
                fitted,
            );
            stderr(line.trim_end());
            self.printed = Some(Instant::now());
        }
    }

    /// Shows that all is done, on a terminal.
    pub(super) fn complete(&mut self) {
        if self.bar.is_some() {
            self.show(self.total, &[]);
        }
    }

    /// Ends and leaves the line on the terminal.
    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.abandon();
        }
    }

    /// Ends and removes the line from the terminal.
    pub(super) fn clear(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Lays out a line of less than `columns` columns: what does not fit is left out, from the last note on, and then the
/// bar and the end of the title.
fn line(title: &str, done: usize, total: usize, notes: &[String], columns: usize) -> String {
    // In the last column, some terminals wrap.
    let room = columns.saturating_sub(1);
    let digits = total.to_string().len();
    let count = format!("{done:>digits$}/{total}");
    let short = measure_text_width(title).min(room / 3);
    let mut left = room.saturating_sub(short + 2 + count.len());
    let mut shown = String::new();
    for (number, note) in notes.iter().enumerate() {
        // Details need a bar beside them.
        let reserved = match number {
            0..3 => 0,
            _ => MEDIUM_BAR + 1,
        };
        let width = 2 + measure_text_width(note);
        if width + reserved > left {
            break;
        }
        shown.push_str("  ");
        shown.push_str(note);
        left -= width;
    }
    // The bar, then the rest of the title, then the space after it.
    let bar = match left.saturating_sub(1).min(BAR) {
        SHORT_BAR.. => left.saturating_sub(1).min(BAR),
        _ => 0,
    };
    if bar > 0 {
        left -= bar + 1;
    }
    let width = measure_text_width(title).max(TITLE).min(short + left);
    let title = truncate_str(title, width, "…");
    let space = " ".repeat(width.saturating_sub(measure_text_width(&title)));
    let bar = match bar {
        0 => String::new(),
        cells => format!("{} ", drawn(done, total, cells)),
    };
    let line = format!("{title}{space}  {bar}{count}{shown}");
    truncate_str(&line, room, "").into_owned()
}

/// Draws a bar.
fn drawn(done: usize, total: usize, cells: usize) -> String {
    let share = done as f64 / total.max(1) as f64;
    // In halves of a cell.
    let filled = ((share * (2 * cells) as f64) as usize).min(2 * cells);
    let head = match filled % 2 {
        1 => "╸",
        _ => "",
    };
    let rest = cells - filled.div_ceil(2);
    format!("{}{head}{}", "━".repeat(filled / 2), "─".repeat(rest))
}

/// Formats the time that is left: 42 s left, 12 min left, 3 h 05 min left.
pub(super) fn time_left(seconds: f64) -> String {
    let seconds = seconds.clamp(0.0, 1e9).round() as u64;
    match seconds {
        0..90 => format!("{seconds} s left"),
        90..5400 => format!("{} min left", (seconds + 30) / 60),
        _ => {
            let minutes = (seconds + 30) / 60;
            format!("{} h {:02} min left", minutes / 60, minutes % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes() -> Vec<String> {
        let notes = [
            "12 min left",
            "loss 2.345",
            "lr 9.5e-4",
            "12,345 tokens/s",
            "epoch 2",
        ];
        notes.map(str::to_string).to_vec()
    }

    #[test]
    fn a_line_is_narrower_than_the_terminal() {
        let titles = ["MFT", "MFT τ 0.25 on LoRA + EWC λ 10 + replay 25 %", ""];
        for columns in 0..200 {
            for title in titles {
                for (done, total) in [(0, 0), (3, 7), (999_999, 1_000_000)] {
                    for notes in [&notes()[..], &[]] {
                        let line = line(title, done, total, notes, columns);
                        let width = measure_text_width(&line);
                        assert!(width < columns.max(1), "{columns}: {width}, {line:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn more_room_shows_more() {
        let at = |columns| line("MFT τ 0.25", 300, 1000, &notes(), columns);
        assert_eq!(
            at(60),
            "MFT τ 0.25     300/1000  12 min left  loss 2.345  lr 9.5e-4"
        );
        for (columns, shown, hidden) in [
            (60, "lr 9.5e-4", "tokens/s"),
            (80, "lr 9.5e-4", "tokens/s"),
            (90, "12,345 tokens/s", "epoch"),
            (100, "epoch 2", "…"),
        ] {
            let line = at(columns);
            assert!(
                line.contains(shown) && !line.contains(hidden),
                "{columns}: {line}"
            );
            assert!(columns < 80 || line.contains('━'), "{columns}: {line}");
        }
        // A long title is cut before what matters.
        let long = line(
            "evaluating MFT τ 0.25 on LoRA + EWC λ 10",
            3,
            10,
            &notes(),
            60,
        );
        assert!(
            long.contains("… ") && long.contains("12 min left"),
            "{long}"
        );
    }

    #[test]
    fn bars_and_times_are_drawn() {
        assert_eq!(drawn(1, 4, 6), "━╸────");
        assert_eq!(
            (drawn(4, 4, 3), drawn(0, 0, 3)),
            ("━━━".into(), "───".into())
        );
        for (seconds, text) in [
            (0.2, "0 s left"),
            (89.0, "89 s left"),
            (100.0, "2 min left"),
            (11_100.0, "3 h 05 min left"),
            (f64::INFINITY, "277777 h 47 min left"),
        ] {
            assert_eq!(time_left(seconds), text);
        }
    }
}
