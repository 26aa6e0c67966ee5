//! `minift chat`: a conversation in the terminal.

use std::fs::OpenOptions;
use std::io::{self, BufRead, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use console::Term;
use serde_json::json;

use super::models::{self, LoadArguments, ModelArguments};
use super::output::{Output, counted};
use super::sampling::SamplingArguments;
use super::{Ended, setup};
use crate::device::{Device, DeviceChoice};
use crate::error::{Error, Result};
use crate::model::{Chat, Sampling};

/// The narrowest terminal in which two answers stand side by side.
const COLUMNS_FROM: usize = 60;
/// Columns between two answers.
const GAP: usize = 3;
/// The default file of `/save`.
const SAVED: &str = "chat.jsonl";

const HELP: &str = "/reset         forget the conversation
/system TEXT   set the system message; without TEXT, remove it
/save [FILE]   append the conversation to FILE (default chat.jsonl), which minift train can read
/quit          end; so does Ctrl-D. Ctrl-C stops an answer";

#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)] // so that the error names the setting
pub(super) struct ChatArguments {
    #[command(flatten)]
    pub model: LoadArguments,
    /// Adapter folder
    #[arg(long, alias = "adapter", value_name = "DIR", help_heading = "Model")]
    pub adapter_dir: Option<PathBuf>,
    /// Answer with the untouched model as well: the model without the adapter, or the one that run.json in
    /// the model folder names
    #[arg(long, help_heading = "Model")]
    pub compare: bool,
    /// System message
    #[arg(long, value_name = "TEXT", help_heading = "Generation")]
    pub system: Option<String>,
    /// Maximum number of new tokens per answer
    #[arg(
        long,
        default_value_t = 512,
        value_name = "N",
        help_heading = "Generation"
    )]
    pub max_new_tokens: usize,
    #[command(flatten)]
    pub sampling: SamplingArguments,
}

pub(super) async fn run(
    arguments: &ChatArguments,
    device: DeviceChoice,
    output: &Output,
) -> Result<Ended> {
    let sampling = arguments.sampling.sampling();
    sampling.validate()?;
    let device = setup::device(device, output).await?;
    let adapter = arguments.adapter_dir.as_deref();
    let say = |note: String| output.text(note);
    let named = arguments.model.model().or_base_of(adapter, &say)?;
    let (model, _) = named.announced(&device, output)?;
    let untouched = match (arguments.compare, adapter) {
        (false, _) => None,
        (true, Some(_)) => Some(Chat::new(model.clone())?),
        (true, None) => Some(untouched(&named, &device, output)?),
    };
    let trained = models::adapted(model, adapter, &say)?;
    let mut session = Session {
        trained: Chat::new(trained)?,
        untouched,
        max_new_tokens: arguments.max_new_tokens,
        sampling,
        interrupt: Interrupt::new(),
        output,
    };
    session.set_system(arguments.system.clone());
    let is_terminal = io::stdin().is_terminal();
    if is_terminal {
        output.text("Type a message, or /help.");
    }
    let mut lines = io::stdin().lock().lines();
    loop {
        if is_terminal {
            output.piece("\n> ");
        }
        let Some(line) = lines.next() else {
            if is_terminal {
                output.piece("\n");
            }
            return Ok(Ended::Success);
        };
        let line = line.map_err(Error::io("read", "standard input"))?;
        match session.line(line.trim()).await {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return Ok(Ended::Success),
            // A message that cannot be answered does not end the conversation.
            Err(error) if is_terminal => output.error(&error.report()),
            Err(error) => return Err(error),
        }
    }
}

/// Loads the model that a trained one started from, as its run.json says.
fn untouched(trained: &ModelArguments, device: &Device, output: &Output) -> Result<Chat> {
    let expected =
        "an adapter, or a model folder with run.json, so that the untouched model is known";
    let unknown = || Error::setting("compare", "true", expected);
    let base = trained.base_in_record()?.ok_or_else(unknown)?;
    output.text(format!("Compare  with {}", base.name()));
    let model = base.load(device, output, &|note| output.text(note))?;
    Chat::new(model)
}

/// A conversation with one model, or with two.
struct Session<'a> {
    trained: Chat,
    untouched: Option<Chat>,
    max_new_tokens: usize,
    sampling: Sampling,
    interrupt: Interrupt,
    output: &'a Output,
}

impl Session<'_> {
    /// Handles a line: a command or a message. Breaks at the end of the conversation.
    async fn line(&mut self, line: &str) -> Result<ControlFlow<()>> {
        let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match command {
            "" => {}
            "/quit" | "/exit" => return Ok(ControlFlow::Break(())),
            "/help" => self.output.text(HELP),
            "/reset" => {
                self.chats().for_each(Chat::reset);
                self.output.text("The conversation is forgotten.");
            }
            "/system" => {
                let system = (!rest.is_empty()).then(|| rest.to_string());
                self.set_system(system);
                self.output.text("The system message is set.");
            }
            "/save" => self.save(Path::new(if rest.is_empty() { SAVED } else { rest }))?,
            unknown if unknown.starts_with('/') => {
                let message = format!("unknown command {unknown}");
                self.output.text(format!("{message}\n{HELP}"));
            }
            _ => self.answer(line).await?,
        }
        Ok(ControlFlow::Continue(()))
    }

    fn chats(&mut self) -> impl Iterator<Item = &mut Chat> {
        std::iter::once(&mut self.trained).chain(&mut self.untouched)
    }

    fn set_system(&mut self, system: Option<String>) {
        self.chats()
            .for_each(|chat| chat.set_system(system.clone()));
    }

    /// Answers a message. One answer appears as it is generated; two stand side by side.
    async fn answer(&mut self, question: &str) -> Result<()> {
        let (most, sampling) = (self.max_new_tokens, &self.sampling);
        let output = self.output;
        let answering = self.interrupt.answering();
        let streams = self.untouched.is_none();
        let is_terminal = Term::stdout().is_term();
        let mut waited = 0;
        let mut wait = || {
            waited += 1;
            if is_terminal {
                output.progress("answering", waited, 2 * most, &[]);
            }
        };
        let mut said = String::new();
        let answer = self.trained.answer(question, most, sampling, |piece| {
            if streams {
                output.piece(piece);
            } else {
                wait();
            }
            said.push_str(piece);
            answering.go_on()
        });
        let answer = answer.await?;
        let Some(untouched) = &mut self.untouched else {
            // The last characters may have been incomplete.
            output.piece(answer.strip_prefix(said.as_str()).unwrap_or_default());
            output.piece("\n");
            output.object(&json!({ "question": question, "answer": answer }));
            return Ok(());
        };
        let before = untouched.answer(question, most, sampling, |_| {
            wait();
            answering.go_on()
        });
        let before = before.await?;
        output.clear();
        let columns = match is_terminal {
            true => usize::from(Term::stdout().size().1),
            false => 0,
        };
        output.piece(&beside(&before, &answer, columns));
        output.object(&json!({ "question": question, "untouched": before, "trained": answer }));
        Ok(())
    }

    /// Appends the conversation to a file of conversations.
    fn save(&self, path: &Path) -> Result<()> {
        let messages = self.trained.messages();
        let line = format!("{}\n", json!({ "messages": messages }));
        let file = OpenOptions::new().create(true).append(true).open(path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.map_err(Error::io("write", path))?;
        self.output.text(format!(
            "Saved {} to {}",
            counted(messages.len(), "message"),
            path.display()
        ));
        Ok(())
    }
}

/// Formats two answers: side by side in at least 60 columns, else one below the other.
fn beside(untouched: &str, trained: &str, columns: usize) -> String {
    let titles = ["untouched", "trained"];
    if columns < COLUMNS_FROM {
        return format!(
            "[{}]\n{untouched}\n\n[{}]\n{trained}\n",
            titles[0], titles[1]
        );
    }
    let width = (columns - GAP) / 2;
    let [left, right] = [(titles[0], untouched), (titles[1], trained)].map(|(title, text)| {
        let mut lines = vec![title.to_string(), "─".repeat(width)];
        lines.extend(
            textwrap::wrap(text.trim(), width)
                .into_iter()
                .map(String::from),
        );
        lines
    });
    let mut text = String::new();
    for number in 0..left.len().max(right.len()) {
        let line = |side: &[String]| side.get(number).cloned().unwrap_or_default();
        let (left, right) = (line(&left), line(&right));
        let space = " ".repeat(width + GAP - console::measure_text_width(&left).min(width));
        text.push_str(format!("{left}{space}{right}").trim_end());
        text.push('\n');
    }
    text
}

/// What Ctrl-C does: it stops an answer, and otherwise ends the program.
struct Interrupt {
    answering: Arc<AtomicBool>,
    stopped: Arc<AtomicBool>,
}

impl Interrupt {
    fn new() -> Self {
        let (answering, stopped) = (Arc::default(), Arc::default());
        let this = Self { answering, stopped };
        let (answering, stopped) = (this.answering.clone(), this.stopped.clone());
        let handler = move || {
            // A second Ctrl-C ends the program.
            let stops = answering.load(Ordering::Relaxed);
            if !stops || stopped.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        };
        if let Err(error) = ctrlc::set_handler(handler) {
            log::warn!("Ctrl-C will exit immediately: {error}");
        }
        this
    }

    /// Marks the time until the result is dropped as that of an answer.
    fn answering(&self) -> Answering {
        self.stopped.store(false, Ordering::Relaxed);
        self.answering.store(true, Ordering::Relaxed);
        Answering {
            answering: self.answering.clone(),
            stopped: self.stopped.clone(),
        }
    }
}

struct Answering {
    answering: Arc<AtomicBool>,
    stopped: Arc<AtomicBool>,
}

impl Answering {
    fn go_on(&self) -> ControlFlow<()> {
        match self.stopped.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.answering.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_answers_stand_side_by_side_where_they_fit() {
        let narrow = beside("a b", "c", 59);
        assert_eq!(narrow, "[untouched]\na b\n\n[trained]\nc\n");
        let wide = beside(
            "one two three four five six seven eight",
            "für Ähre\n\nend",
            63,
        );
        let lines: Vec<&str> = wide.lines().collect();
        assert_eq!(lines[0], format!("{:33}trained", "untouched"));
        assert_eq!(
            lines[2],
            format!("{:33}für Ähre", "one two three four five six")
        );
        assert_eq!(lines[3], "seven eight");
        assert_eq!(lines[4], format!("{:33}end", ""));
        assert!(lines.iter().all(|line| line.chars().count() <= 63));
    }
}
