//! A model's chat template and what it makes of conversations.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use chrono::{Local, NaiveDateTime};
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, Template, Value};

use super::assistant::{self, Unclear};
use super::conversation::Conversation;
use super::environment::{Raised, environment, set_time};
use super::generation::{self, Marks};
use super::source::{self, Source};
use super::tags::{self, Rewritten, TooLarge};
use super::{Rendered, limits, places};
use crate::error::{Error, Result};

const DEFAULT: &str = "chat_template";
const WITH_TOOLS: &str = "tool_use";

/// A model's chat template.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    path: PathBuf,
    environment: Environment<'static>,
    /// The local time.
    clock: fn() -> NaiveDateTime,
    special_tokens: Vec<(&'static str, String)>,
    default: Parsed,
    with_tools: Option<Parsed>,
}

/// A template that the environment holds.
#[derive(Clone, Copy, Debug)]
struct Parsed {
    name: &'static str,
    /// Whether it says itself what the assistant writes.
    has_generation: bool,
}

impl ChatTemplate {
    /// Reads the chat template of a model: from the bytes of `chat_template.jinja` where there is one,
    /// else from those of `tokenizer_config.json`, which also has the special tokens. `None` where the
    /// model has no template. `folder` is for messages.
    ///
    /// As in transformers, one of several templates that is named `tool_use` is taken for conversations
    /// with tools, and the one named `default` for all others.
    ///
    /// # Errors
    ///
    /// [`Error::ChatTemplate`] for files that are damaged, and a template that is not Jinja.
    pub fn parse(
        template_file: Option<&[u8]>,
        tokenizer_config: Option<&[u8]>,
        folder: &Path,
    ) -> Result<Option<Self>> {
        let source = source::read(template_file, tokenizer_config, folder)?;
        let now = || Local::now().naive_local();
        source.map(|source| Self::new(source, now)).transpose()
    }

    /// `clock` gives the local time, for templates that have the date in their texts.
    pub(super) fn new(source: Source, clock: fn() -> NaiveDateTime) -> Result<Self> {
        let mut environment = environment();
        let mut add = |name: &'static str, text: &str| {
            let Rewritten {
                text,
                has_generation,
            } = tags::rewrite(text).map_err(|TooLarge { line }| Error::ChatTemplate {
                path: source.path.clone(),
                message: format!(
                    "line {line}: the chat template cannot be read: more code than is supported in \
                     one tag, or more alternatives in one template"
                ),
            })?;
            environment
                .add_template_owned(name, text)
                .map_err(|error| Error::ChatTemplate {
                    path: source.path.clone(),
                    message: format!(
                        "{}the chat template cannot be read: {}",
                        place(&error),
                        cause(&error)
                    ),
                })?;
            Ok(Parsed {
                name,
                has_generation,
            })
        };
        let default = add(DEFAULT, &source.default)?;
        let with_tools = source
            .with_tools
            .as_deref()
            .map(|text| add(WITH_TOOLS, text));
        Ok(Self {
            with_tools: with_tools.transpose()?,
            default,
            path: source.path,
            environment,
            clock,
            special_tokens: source.special_tokens,
        })
    }

    /// The text of a conversation, and with `add_generation_prompt` what the assistant's next answer
    /// begins after: what `apply_chat_template(…, tokenize=False)` gives in Python.
    ///
    /// # Errors
    ///
    /// [`Error::ChatTemplate`] for a conversation that the template refuses or is not made for, and a
    /// template that does not come to an end.
    pub fn render(
        &self,
        messages: &[serde_json::Value],
        tools: Option<&serde_json::Value>,
        add_generation_prompt: bool,
    ) -> Result<String> {
        let conversation = self.conversation(messages, tools)?;
        let environment = self.environment_for(&conversation);
        let run = self.run(&environment, &conversation)?;
        run.render(messages.len(), add_generation_prompt, None)
    }

    /// The text of a conversation, and what of it the assistant wrote.
    ///
    /// A template with `{% generation %}` blocks says so itself. Of others it is what a message of the
    /// assistant adds to the conversation before it, up to the end of its turn; and where a template
    /// renders a message otherwise once others follow (many leave out earlier reasoning), it is what
    /// of the message is still found there.
    ///
    /// # Errors
    ///
    /// Those of [`Self::render`], and [`Error::ChatTemplate`] where a message of the assistant is not
    /// found in the text.
    pub fn render_marked(
        &self,
        messages: &[serde_json::Value],
        tools: Option<&serde_json::Value>,
    ) -> Result<Rendered> {
        let conversation = self.conversation(messages, tools)?;
        let environment = self.environment_for(&conversation);
        let run = self.run(&environment, &conversation)?;
        let text = run.render(messages.len(), false, None)?;
        if run.parsed.has_generation
            && let Some(marks) = Marks::not_in(&text)
            && let Some(rendered) =
                marks.take_out(&run.render(messages.len(), false, Some(marks))?)
            // A template that does more with the blocks than write them out is taken as one without.
            && rendered.text == text
        {
            return Ok(rendered);
        }
        let end_token = self
            .special_tokens
            .iter()
            .find(|token| token.0 == "eos_token");
        let end_token = end_token.map(|(_, text)| text.as_str());
        let mut work = limits::PREFIXES;
        let prefix = |count: usize, add_generation_prompt: bool| {
            if work == 0 {
                return None;
            }
            let text = run.render(count, add_generation_prompt, None).ok()?;
            work = work.saturating_sub(limits::prefix(count, text.len()));
            Some(text)
        };
        let places = run.places(&conversation, &text);
        match assistant::spans(&conversation.messages, &text, &places, end_token, prefix) {
            Ok(assistant) => Ok(Rendered { text, assistant }),
            Err(Unclear { message }) => Err(self.fault(format!(
                "the chat template changes what the assistant says in message {}, so that it is not \
                 found in the text: learn from all of the text with --train-on all",
                message + 1
            ))),
        }
    }

    fn conversation<'a>(
        &self,
        messages: &[serde_json::Value],
        tools: Option<&'a serde_json::Value>,
    ) -> Result<Conversation<'a>> {
        if messages.is_empty() {
            return Err(self.fault("a conversation without a message has no text"));
        }
        Conversation::new(messages, tools).map_err(|message| {
            self.fault(format!(
                "message {} is not an object: expected {{\"role\": \"…\", \"content\": \"…\"}}",
                message + 1
            ))
        })
    }

    /// The environment with the time, and with limits that suit the conversation.
    fn environment_for(&self, conversation: &Conversation<'_>) -> Environment<'static> {
        let mut environment = self.environment.clone();
        let fuel = limits::fuel(conversation.messages.len(), conversation.bytes);
        environment.set_fuel(Some(fuel));
        set_time(&mut environment, (self.clock)());
        environment
    }

    fn run<'a>(
        &'a self,
        environment: &'a Environment<'static>,
        conversation: &Conversation<'_>,
    ) -> Result<Run<'a>> {
        let parsed = match self.with_tools {
            Some(with_tools) if conversation.tools.is_some() => with_tools,
            _ => self.default,
        };
        let template = environment.get_template(parsed.name);
        let tokens = self.special_tokens.iter();
        let mut variables: Vec<(&'static str, Value)> = tokens
            .map(|(name, text)| (*name, Value::from(text.as_str())))
            .collect();
        variables.push(("tools", Value::from(Serde(conversation.tools))));
        variables.push(("documents", Value::from(())));
        Ok(Run {
            owner: self,
            template: template.map_err(|error| self.failed(&error, 0))?,
            parsed,
            variables,
            messages: conversation
                .messages
                .iter()
                .map(|message| Value::from(Serde(message)))
                .collect(),
            most_bytes: limits::text(conversation.bytes),
        })
    }

    /// Why a conversation was not rendered.
    fn failed(&self, error: &minijinja::Error, most_bytes: usize) -> Error {
        if let Some(Raised(said)) = find_source(error) {
            return self.fault(format!(
                "the chat template refuses the conversation: {said}"
            ));
        }
        let place = place(error);
        self.fault(match error.kind() {
            ErrorKind::OutOfFuel => {
                format!("{place}the chat template does not come to an end with this conversation")
            }
            ErrorKind::WriteFailure => format!(
                "{place}the chat template makes more than {most_bytes} bytes of this conversation"
            ),
            _ => format!(
                "{place}the chat template cannot render the conversation: {}",
                cause(error)
            ),
        })
    }

    fn fault(&self, message: impl Into<String>) -> Error {
        Error::ChatTemplate {
            path: self.path.clone(),
            message: message.into(),
        }
    }
}

/// A template at work on a conversation.
struct Run<'a> {
    owner: &'a ChatTemplate,
    template: Template<'a, 'a>,
    parsed: Parsed,
    /// What stays the same.
    variables: Vec<(&'static str, Value)>,
    messages: Vec<Value>,
    most_bytes: usize,
}

impl Run<'_> {
    /// The text of the first `count` messages.
    fn render(
        &self,
        count: usize,
        add_generation_prompt: bool,
        marks: Option<Marks>,
    ) -> Result<String> {
        let messages = self.messages.iter().take(count).cloned().collect();
        self.render_messages(messages, add_generation_prompt, marks)
    }

    /// Where the words of each message are in the conversation's text, as far as that can be told.
    fn places(&self, conversation: &Conversation<'_>, text: &str) -> Vec<Option<Range<usize>>> {
        let count = conversation.messages.len();
        let marked = places::mark(&conversation.messages).and_then(|messages| {
            let messages = messages.iter().map(|message| Value::from(Serde(message)));
            self.render_messages(messages.collect(), false, None).ok()
        });
        match marked {
            Some(marked) => places::places(&marked, text, count),
            None => vec![None; count],
        }
    }

    fn render_messages(
        &self,
        messages: Vec<Value>,
        add_generation_prompt: bool,
        marks: Option<Marks>,
    ) -> Result<String> {
        let own = [
            ("messages", Value::from(messages)),
            ("add_generation_prompt", Value::from(add_generation_prompt)),
            (generation::MARKS, Marks::variable(marks)),
        ];
        let variables = self.variables.iter().cloned().chain(own);
        let mut text = Text {
            bytes: Vec::new(),
            most: self.most_bytes,
        };
        self.template
            .render_captured_to(Value::from_pairs(variables), &mut text)
            .map_err(|error| self.owner.failed(&error, self.most_bytes))?;
        String::from_utf8(text.bytes).map_err(|_| {
            self.owner
                .fault("the chat template makes what is not a text")
        })
    }
}

/// A text that does not grow without end.
struct Text {
    bytes: Vec<u8>,
    most: usize,
}

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.most - self.bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where in the template it happened.
fn place(error: &minijinja::Error) -> String {
    let line = error.line();
    line.map_or_else(String::new, |line| format!("line {line}: "))
}

/// What happened, with what led to it.
fn cause(error: &minijinja::Error) -> String {
    let mut text = error.kind().to_string();
    if let Some(detail) = error.detail() {
        text = format!("{text}: {detail}");
    }
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// An error of that kind among those that led to this one.
fn find_source<T: std::error::Error + 'static>(error: &minijinja::Error) -> Option<&T> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}
