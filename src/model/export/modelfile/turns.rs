//! The turns of a chat template, found by rendering conversations with it, and as a template of Ollama.

use serde_json::{Value, json};

use crate::text::chat::ChatTemplate;

/// What a chat template puts around the messages of each role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turns {
    /// Before every conversation.
    start: String,
    system: System,
    user: [String; 2],
    assistant: [String; 2],
    /// The system message of conversations without one.
    pub(super) default_system: Option<String>,
}

/// Where a system message is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum System {
    /// In a turn of its own.
    Turn([String; 2]),
    /// In the first turn of the user, between the text that begins it and this before and after.
    InFirst([String; 2]),
    /// Nowhere.
    None,
}

/// Contents that no template changes.
const SYSTEM: &str = "Qsystemq";
const USER: &str = "Quserq";
const ASSISTANT: &str = "Qassistantq";
const NEXT: &str = "Qnextq";

fn message(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

impl Turns {
    /// Returns the turns of a template, without the text `begin`, which llama.cpp adds. Returns `None` unless
    /// every conversation is rendered as its turns one after the other.
    pub(super) fn of(template: &ChatTemplate, begin: &str) -> Option<Self> {
        let render = |messages: &[Value], prompt: bool| {
            let text = template.render(messages, None, prompt).ok()?;
            Some(text.strip_prefix(begin).unwrap_or(&text).to_string())
        };
        let turns = Self::derive(&render)?;
        let roles: [&[&str]; 4] = [
            &["user"],
            &["user", "assistant", "user"],
            &["system", "user"],
            &["system", "user", "assistant", "user", "assistant", "user"],
        ];
        let with_system = turns.system != System::None;
        let mut checked = roles
            .iter()
            .filter(|roles| with_system || roles[0] != "system");
        let is_right = |roles: &&&[&str]| {
            let messages = roles.iter().enumerate();
            let messages: Vec<(&str, String)> = messages
                .map(|(place, role)| (*role, format!("Text {place}.")))
                .collect();
            let json = messages.iter().map(|(role, text)| message(role, text));
            let json: Vec<Value> = json.collect();
            render(&json, true) == Some(turns.render(&messages))
        };
        checked.all(|roles| is_right(&roles)).then_some(turns)
    }

    fn derive(render: &impl Fn(&[Value], bool) -> Option<String>) -> Option<Self> {
        let (system, user) = (message("system", SYSTEM), message("user", USER));
        let (assistant, next) = (message("assistant", ASSISTANT), message("user", NEXT));
        let single = render(std::slice::from_ref(&user), false)?;
        let prompted = render(std::slice::from_ref(&user), true)?;
        let (head, user_end) = single.split_once(USER)?;
        let prompt = prompted.strip_prefix(&*single)?;
        let answered = render(&[user.clone(), assistant.clone()], false)?;
        let (_, assistant_end) = answered.split_once(ASSISTANT)?;
        let several = render(&[user.clone(), assistant, next], true)?;
        let (_, rest) = several.split_once(ASSISTANT)?;
        let (between, _) = rest.split_once(NEXT)?;
        let user_start = between.strip_prefix(assistant_end)?;
        let with_system = render(&[system, user], false);
        let parts = with_system.as_deref().and_then(|text| {
            let (before, rest) = text.split_once(SYSTEM)?;
            let (middle, end) = rest.split_once(USER)?;
            (end == user_end).then_some((before, middle))
        });
        let owned = |[a, b]: [&str; 2]| [a, b].map(str::to_string);
        let (start, system, default_system) = match parts {
            None => (head.strip_suffix(user_start)?, System::None, None),
            Some((before, middle)) => match middle.strip_suffix(user_start) {
                Some(end) => {
                    let of_default = head.strip_prefix(before);
                    match of_default.and_then(|rest| rest.strip_suffix(middle)) {
                        Some(default) => ("", System::Turn(owned([before, end])), Some(default)),
                        None => {
                            let start = head.strip_suffix(user_start)?;
                            let before = before.strip_prefix(start)?;
                            (start, System::Turn(owned([before, end])), None)
                        }
                    }
                }
                // The system message follows what begins the first turn.
                None => {
                    let before = before.strip_prefix(head)?;
                    let start = head.strip_suffix(user_start)?;
                    (start, System::InFirst(owned([before, middle])), None)
                }
            },
        };
        Some(Self {
            start: start.to_string(),
            system,
            user: owned([user_start, user_end]),
            assistant: owned([prompt, assistant_end]),
            default_system: default_system.map(str::to_string),
        })
    }

    /// Renders a conversation and the beginning of the answer.
    fn render(&self, messages: &[(&str, String)]) -> String {
        let mut text = self.start.clone();
        let mut pending = String::new();
        let has_system = messages.first().is_some_and(|(role, _)| *role == "system");
        if let (Some(default), System::Turn([start, end]), false) =
            (&self.default_system, &self.system, has_system)
        {
            text += &format!("{start}{default}{end}");
        }
        for (role, content) in messages {
            let [start, end] = match (*role, &self.system) {
                ("system", System::Turn(turn)) => turn,
                ("system", System::InFirst([before, after])) => {
                    pending = format!("{before}{content}{after}");
                    continue;
                }
                ("assistant", _) => &self.assistant,
                _ => &self.user,
            };
            text += &format!("{start}{pending}{content}{end}");
            pending.clear();
        }
        text + &self.assistant[0]
    }

    /// Returns the template in the language of Ollama, that of Go's `text/template`.
    pub(super) fn go_template(&self) -> String {
        let [user_start, user_end] = self.user.each_ref().map(|text| literal(text));
        let [assistant_start, assistant_end] = self.assistant.each_ref().map(|text| literal(text));
        let mut text = literal(&self.start);
        // A turn without a message of its own.
        if let (Some(""), System::Turn([start, end])) =
            (self.default_system.as_deref(), &self.system)
        {
            let empty = literal(&format!("{start}{end}"));
            text += &format!(
                "{{{{- if ne (index .Messages 0).Role \"system\" }}}}{empty}{{{{- end }}}}"
            );
        }
        text += "{{- range $i, $_ := .Messages }}";
        text += "{{- $last := eq (len (slice $.Messages $i)) 1 }}";
        let mut system_in_user = String::new();
        match &self.system {
            System::Turn([start, end]) => {
                let [start, end] = [start, end].map(|text| literal(text));
                text += &format!(
                    "{{{{- if eq .Role \"system\" }}}}{start}{{{{ .Content }}}}{end}{{{{- end }}}}"
                );
            }
            System::InFirst([before, after]) => {
                let [before, after] = [before, after].map(|text| literal(text));
                system_in_user = format!(
                    "{{{{- if and (eq $i 1) (eq (index $.Messages 0).Role \"system\") }}}}{before}\
                     {{{{ (index $.Messages 0).Content }}}}{after}{{{{- end }}}}"
                );
            }
            System::None => {}
        }
        text += &format!(
            "{{{{- if eq .Role \"user\" }}}}{user_start}{system_in_user}{{{{ .Content }}}}{user_end}{{{{- end }}}}"
        );
        text += &format!(
            "{{{{- if eq .Role \"assistant\" }}}}{assistant_start}{{{{ .Content }}}}\
             {{{{- if not $last }}}}{assistant_end}{{{{- end }}}}{{{{- end }}}}"
        );
        text += &format!(
            "{{{{- if and $last (ne .Role \"assistant\") }}}}{assistant_start}{{{{- end }}}}"
        );
        text + "{{- end }}"
    }
}

/// Returns a text as it is in a template of Go: within an action, so that neither braces nor the trimming of
/// spaces change it.
fn literal(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => format!("{{{{- {} }}}}", go_string(text)),
    }
}

/// Quotes a text for Go.
fn go_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;

    const CHATML: &str = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + \
        message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}\
        {{ '<|im_start|>assistant\n' }}{% endif %}";
    const WITH_DEFAULT: &str = "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}\
        {% endif %}";
    const GEMMA: &str = "{{ bos_token }}{% set first = '' %}{% if messages[0]['role'] == 'system' %}\
        {% set first = messages[0]['content'] + '\n\n' %}{% set messages = messages[1:] %}{% endif %}\
        {% for message in messages %}{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user') \
        + '\n' + (first if loop.first else '') + message['content'] + '<end_of_turn>\n' }}{% endfor %}\
        {% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}";

    fn turns(template: &str, begin: &str) -> Option<Turns> {
        let config = json!({"bos_token": "<bos>", "chat_template": template}).to_string();
        let template = ChatTemplate::parse(None, Some(config.as_bytes()), Path::new("model"));
        Turns::of(&template.unwrap().unwrap(), begin)
    }

    #[test]
    fn turns_are_found_by_rendering() {
        let found = turns(CHATML, "").unwrap();
        let turn = |role: &str| [format!("<|im_start|>{role}\n"), "<|im_end|>\n".to_string()];
        assert_eq!(found.user, turn("user"));
        assert_eq!(found.assistant, turn("assistant"));
        assert_eq!(found.system, System::Turn(turn("system")));
        assert_eq!(found.default_system, None);

        let found = turns(&format!("{WITH_DEFAULT}{CHATML}"), "").unwrap();
        assert_eq!(found.default_system.as_deref(), Some("Be kind."));
        assert_eq!(found.system, System::Turn(turn("system")));

        let found = turns(GEMMA, "<bos>").unwrap();
        assert_eq!(found.start, "");
        let turn = |role: &str| {
            [
                format!("<start_of_turn>{role}\n"),
                "<end_of_turn>\n".to_string(),
            ]
        };
        assert_eq!(found.user, turn("user"));
        assert_eq!(found.assistant, turn("model"));
        let system = ["", "\n\n"].map(str::to_string);
        assert_eq!(found.system, System::InFirst(system));
    }

    #[test]
    fn a_template_that_is_no_sequence_of_turns_is_left_alone() {
        let counts = CHATML.replace(
            "'<|im_start|>' + m",
            "'<|im_start|>' + (loop.index | string) + m",
        );
        assert_eq!(turns(&counts, ""), None);
    }

    #[test]
    fn ollama_gets_the_texts_as_literals() {
        let template = turns(CHATML, "").unwrap().go_template();
        let user = r#"{{- if eq .Role "user" }}{{- "<|im_start|>user\n" }}{{ .Content }}{{- "<|im_end|>\n" }}{{- end }}"#;
        assert!(template.contains(user), "{template}");
        assert!(!template.contains("\n"));
        assert_eq!(go_string("a\"\\\n"), r#""a\"\\\n""#);
    }
}
