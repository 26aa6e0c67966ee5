//! Renders conversations with a model's chat template.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use chrono::{Local, NaiveDateTime};
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, Template, Value};

use super::assistant::{self, NotFound};
use super::conversation::Conversation;
use super::environment::{Raised, environment, set_time};
use super::failure::{cause, find_source, place};
use super::generation::{self, Marks};
use super::source::{self, Source};
use super::tags::{self, Rewritten, TooLarge};
use super::{Rendered, limits, places, weight};
use crate::error::{Error, Result};
use crate::text::guard::guarded;

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

/// A template in the environment.
#[derive(Clone, Copy, Debug)]
struct Parsed {
    name: &'static str,
    /// Whether it has generation blocks.
    has_generation: bool,
}

impl ChatTemplate {
    /// Parses the chat template of a model: from the bytes of `chat_template.jinja` if given, else from
    /// those of `tokenizer_config.json`, which also has the special tokens. Returns `None` if the model has
    /// no template. `folder` is for messages.
    ///
    /// Like in transformers, if there are several templates, the one named `tool_use` is used for
    /// conversations with tools, and the one named `default` for all others.
    ///
    /// # Errors
    ///
    /// [`Error::ChatTemplate`] for damaged files and invalid templates.
    pub fn parse(
        template_file: Option<&[u8]>,
        tokenizer_config: Option<&[u8]>,
        folder: &Path,
    ) -> Result<Option<Self>> {
        let source = source::read(template_file, tokenizer_config, folder)?;
        let now = || Local::now().naive_local();
        source.map(|source| Self::new(source, now)).transpose()
    }

    /// Compiles a template. `clock` returns the local time, for templates that print the date.
    pub(super) fn new(source: Source, clock: fn() -> NaiveDateTime) -> Result<Self> {
        let mut environment = environment();
        let mut add = |name: &'static str, text: &str| {
            let Rewritten {
                text,
                has_generation,
            } = tags::rewrite(text).map_err(|TooLarge { line }| Error::ChatTemplate {
                path: source.path.clone(),
                message: format!(
                    "line {line}: cannot parse the chat template: a tag is too long, or there are too many \
                     elif"
                ),
            })?;
            guarded(|| environment.add_template_owned(name, text))
                .map_err(|panic| Error::ChatTemplate {
                    path: source.path.clone(),
                    message: format!("cannot parse the chat template: {panic}"),
                })?
                .map_err(|error| Error::ChatTemplate {
                    path: source.path.clone(),
                    message: format!(
                        "{}cannot parse the chat template: {}",
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

    /// Renders a conversation, followed by the generation prompt with `add_generation_prompt`: the same as
    /// `apply_chat_template(…, tokenize=False)` in Python.
    ///
    /// # Errors
    ///
    /// [`Error::ChatTemplate`] for a conversation that the template rejects or cannot render, and for a
    /// template that does not terminate.
    pub fn render(
        &self,
        messages: &[serde_json::Value],
        tools: Option<&serde_json::Value>,
        add_generation_prompt: bool,
    ) -> Result<String> {
        let conversation = self.conversation(messages, tools)?;
        self.attempt(&conversation, |run, _| {
            run.render(messages.len(), add_generation_prompt, None)
        })
    }

    /// Renders a conversation and locates the assistant's messages.
    ///
    /// Templates with `{% generation %}` blocks mark them. For others, it is the text that an assistant
    /// message adds to the conversation before it, up to the end of its turn. If a template renders a
    /// message differently once others follow (many drop earlier reasoning), it is the part of the message
    /// that remains. Messages with a `weight` of 0 are left out.
    ///
    /// # Errors
    ///
    /// Those of [`Self::render`], and [`Error::ChatTemplate`] if an assistant message cannot be located in
    /// the text.
    pub fn render_marked(
        &self,
        messages: &[serde_json::Value],
        tools: Option<&serde_json::Value>,
    ) -> Result<Rendered> {
        let conversation = self.conversation(messages, tools)?;
        self.attempt(&conversation, |run, conversation| {
            self.mark(run, conversation)
        })
    }

    /// Renders a conversation, and once more with the arguments of tool calls as text if the template only
    /// accepts these.
    fn attempt<T>(
        &self,
        conversation: &Conversation<'_>,
        render: impl Fn(&Rendering<'_>, &Conversation<'_>) -> Result<T>,
    ) -> Result<T> {
        let once = |conversation: &Conversation<'_>| {
            let environment = self.environment_for(conversation);
            render(&self.run(&environment, conversation)?, conversation)
        };
        once(conversation).or_else(|error| match conversation.with_arguments_as_text() {
            Some(conversation) => once(&conversation).map_err(|_| error),
            None => Err(error),
        })
    }

    fn mark(&self, run: &Rendering<'_>, conversation: &Conversation<'_>) -> Result<Rendered> {
        let count = conversation.messages.len();
        let text = run.render(count, false, None)?;
        let is_trained = |message: usize| weight::is_trained(&conversation.messages[message]);
        if run.parsed.has_generation
            && let Some(marks) = Marks::not_in(&text)
            && let Some(rendered) = marks.take_out(&run.render(count, false, Some(marks))?)
            // A template that processes the blocks further is treated as one without.
            && rendered.text == text
        {
            let messages = weight::assistant(&conversation.messages);
            let spans: Vec<_> = if (0..count).all(is_trained) {
                return Ok(rendered);
            } else if messages.len() == rendered.assistant.len() {
                std::iter::zip(messages, rendered.assistant.iter().cloned()).collect()
            } else {
                self.spans(run, conversation, &text)?
            };
            return Ok(weight::without_untrained(rendered, &spans, is_trained));
        }
        let spans = self.spans(run, conversation, &text)?;
        let trained = spans
            .into_iter()
            .filter(|(message, _)| is_trained(*message));
        let assistant = trained.map(|(_, span)| span).collect();
        Ok(Rendered { text, assistant })
    }

    /// Locates the assistant's messages in a text, each with its index.
    fn spans(
        &self,
        run: &Rendering<'_>,
        conversation: &Conversation<'_>,
        text: &str,
    ) -> Result<Vec<(usize, Range<usize>)>> {
        let mut tokens = self.special_tokens.iter();
        let end_token = tokens.find(|token| token.0 == "eos_token");
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
        let places = run.places(conversation, text);
        assistant::spans(&conversation.messages, text, &places, end_token, prefix).map_err(
            |NotFound { message }| {
                self.fault(format!(
                    "cannot locate message {} (assistant) in the rendered text, since the chat template \
                     changes it: set train_on to all to predict the whole text",
                    message + 1
                ))
            },
        )
    }

    fn conversation<'a>(
        &self,
        messages: &[serde_json::Value],
        tools: Option<&'a serde_json::Value>,
    ) -> Result<Conversation<'a>> {
        if messages.is_empty() {
            return Err(self.fault("the conversation has no messages"));
        }
        Conversation::new(messages, tools).map_err(|message| {
            self.fault(format!(
                "message {} is not an object: expected {{\"role\": \"…\", \"content\": \"…\"}}",
                message + 1
            ))
        })
    }

    /// The environment with the time, and with fuel for the size of the conversation.
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
    ) -> Result<Rendering<'a>> {
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
        Ok(Rendering {
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

    /// Converts a rendering error.
    fn failed(&self, error: &minijinja::Error, most_bytes: usize) -> Error {
        if let Some(Raised(message)) = find_source(error) {
            return self.fault(format!(
                "the chat template rejects the conversation: {message}"
            ));
        }
        let place = place(error);
        self.fault(match error.kind() {
            ErrorKind::OutOfFuel => {
                format!("{place}the chat template does not terminate for this conversation")
            }
            ErrorKind::WriteFailure => format!(
                "{place}the chat template renders more than {most_bytes} bytes for this conversation"
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

/// A template and the variables of a conversation.
struct Rendering<'a> {
    owner: &'a ChatTemplate,
    template: Template<'a, 'a>,
    parsed: Parsed,
    /// Variables that all renderings share.
    variables: Vec<(&'static str, Value)>,
    messages: Vec<Value>,
    most_bytes: usize,
}

impl Rendering<'_> {
    /// Renders the first `count` messages.
    fn render(
        &self,
        count: usize,
        add_generation_prompt: bool,
        marks: Option<Marks>,
    ) -> Result<String> {
        let messages = self.messages.iter().take(count).cloned().collect();
        self.render_messages(messages, add_generation_prompt, marks)
    }

    /// Positions of the messages' content in the rendered text, where they can be determined.
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
        let variables = Value::from_pairs(variables);
        guarded(|| self.template.render_captured_to(variables, &mut text))
            .map_err(|panic| {
                let owner = self.owner;
                owner.fault(format!(
                    "the chat template cannot render the conversation: {panic}"
                ))
            })?
            .map_err(|error| self.owner.failed(&error, self.most_bytes))?;
        String::from_utf8(text.bytes)
            .map_err(|_| self.owner.fault("the chat template renders invalid UTF-8"))
    }
}

/// A text with a maximum length.
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
