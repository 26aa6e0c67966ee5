//! Compares renderings with those of transformers (tests/render_chat_templates.py).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{NaiveDate, NaiveDateTime};
use serde::Deserialize;
use serde_json::{Value, json};

use super::source::Source;
use super::{ChatTemplate, Rendered};

#[derive(Deserialize)]
struct File {
    now: String,
    templates: BTreeMap<String, String>,
    conversations: BTreeMap<String, Conversation>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Conversation {
    messages: Vec<Value>,
    tools: Option<Value>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    conversation: String,
    plain: Outcome,
    with_prompt: Outcome,
    /// The assistant's messages; `None` if a message changes the text before it.
    assistant: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Text(String),
    Error(String),
}

fn read() -> File {
    serde_json::from_str(include_str!("../../../tests/data/chat_templates.json")).unwrap()
}

/// The time with which the file was generated.
fn clock() -> NaiveDateTime {
    let day = NaiveDate::from_ymd_opt(2024, 7, 4).unwrap();
    day.and_hms_opt(9, 5, 3).unwrap()
}

pub(super) fn template(text: &str) -> ChatTemplate {
    with_clock(text, clock)
}

fn with_clock(text: &str, clock: fn() -> NaiveDateTime) -> ChatTemplate {
    let source = Source {
        path: PathBuf::from("chat_template.jinja"),
        default: text.to_string(),
        with_tools: None,
        special_tokens: vec![
            ("bos_token", "<s>".to_string()),
            ("eos_token", "</s>".to_string()),
        ],
    };
    ChatTemplate::new(source, clock).unwrap()
}

fn parts(rendered: &Rendered) -> Vec<&str> {
    let parts = rendered.assistant.iter().cloned();
    parts.map(|part| &rendered.text[part]).collect()
}

#[test]
fn renderings_match_transformers() {
    let file = read();
    assert_eq!(clock().format("%Y-%m-%dT%H:%M:%S").to_string(), file.now);
    let (mut texts, mut marked) = (0, 0);
    for case in &file.cases {
        let name = format!("{} with {}", case.template, case.conversation);
        let template = template(&file.templates[&case.template]);
        let Conversation { messages, tools } = &file.conversations[&case.conversation];
        for (expected, prompt) in [(&case.plain, false), (&case.with_prompt, true)] {
            let found = template.render(messages, tools.as_ref(), prompt);
            match expected {
                Outcome::Text(expected) => assert_eq!(&found.unwrap(), expected, "{name}"),
                Outcome::Error(expected) => {
                    let message = found.expect_err(&name).to_string();
                    // Messages of a template are passed on, those of Python are not.
                    let raised = message.contains("rejects the conversation");
                    assert!(!raised || message.ends_with(expected), "{name}: {message}");
                }
            }
            texts += 1;
        }
        if let Some(expected) = &case.assistant {
            let rendered = template.render_marked(messages, tools.as_ref()).unwrap();
            assert_eq!(&parts(&rendered), expected, "{name}");
            marked += 1;
        }
    }
    assert!(texts > 150 && marked > 60, "{texts}, {marked}");
}

/// Messages that render differently once others follow; the expected parts were determined by hand.
#[test]
fn parts_are_found_where_prefixes_do_not_match() {
    let file = read();
    let expected = [
        ("mistral", "same", &[" ok</s>", " ok</s>"][..]),
        (
            "mistral",
            "calls",
            &[
                "[TOOL_CALLS] [{\"name\": \"weather\", \"arguments\": {\"place\": \"Zürich\", \
                 \"days\": [1], \"exact\": 0.5}, \"id\": \"abcdef123\"}]</s>",
                " Good.</s>",
                " You are welcome.</s>",
            ],
        ),
        (
            "phi3",
            "turns",
            &[" Hello!\n<|end|>\n", "Ja, größer 😀.<|end|>\n</s>"],
        ),
        ("phi3", "same", &["ok<|end|>\n", "ok<|end|>\n</s>"]),
        (
            "qwen3",
            "turns",
            &[
                " Hello!\n<|im_end|>\n",
                "<think>\n\n</think>\n\nJa, größer 😀.<|im_end|>\n",
            ],
        ),
        (
            "qwen3",
            "same",
            &["ok<|im_end|>\n", "<think>\n\n</think>\n\nok<|im_end|>\n"],
        ),
        (
            "qwen3",
            "thoughts",
            &[
                "2<|im_end|>\n",
                "<think>\nTwo more than 2.\n</think>\n\n4<|im_end|>\n",
            ],
        ),
        (
            "qwen3",
            "reasoning",
            &[
                "2<|im_end|>\n",
                "<think>\nTwo more.\n</think>\n\n4<|im_end|>\n",
            ],
        ),
        (
            "qwen3",
            "calls",
            &[
                "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"place\": \"Zürich\", \
                 \"days\": [1], \"exact\": 0.5}}\n</tool_call><|im_end|>\n",
                "Good.<|im_end|>\n",
                "<think>\n\n</think>\n\nYou are welcome.<|im_end|>\n",
            ],
        ),
        (
            "deepseek",
            "turns",
            &[" Hello!\n</s>", "Ja, größer 😀.</s>"],
        ),
        ("deepseek", "same", &["ok</s>", "ok</s>"]),
        ("deepseek", "thoughts", &["\n\n2</s>", "\n\n4</s>"]),
    ];
    for (name, conversation, expected) in expected {
        let Conversation { messages, tools } = &file.conversations[conversation];
        let rendered = template(&file.templates[name]).render_marked(messages, tools.as_ref());
        assert_eq!(
            parts(&rendered.unwrap()),
            expected,
            "{name} with {conversation}"
        );
    }
}

#[test]
fn answers_are_found_without_any_prefix() {
    // The template rejects every prefix of the conversation.
    let text = "{% if messages | length < 5 %}{{ raise_exception('too short') }}{% endif %}\
                {% for m in messages %}[{{ m.role }}]{{ m.content | trim }}{{ eos_token }}\n{% endfor %}";
    let messages = [
        json!({"role": "system", "content": "Say yes."}),
        json!({"role": "user", "content": "yes or no?"}),
        json!({"role": "assistant", "content": " yes\n"}),
        json!({"role": "user", "content": "no?"}),
        json!({"role": "assistant", "content": "no"}),
    ];
    let rendered = template(text).render_marked(&messages, None).unwrap();
    assert_eq!(parts(&rendered), ["yes</s>\n", "no</s>\n"]);
    assert_eq!(
        rendered.assistant[0].start,
        rendered.text.find("t]yes").unwrap() + 2
    );
}

#[test]
fn a_message_that_is_not_found_is_an_error_with_advice() {
    let text = "{% for m in messages %}{{ m.content[::-1] }}{% endfor %}{{ messages | length }}";
    let messages = [
        json!({"role": "user", "content": "a"}),
        json!({"role": "assistant", "content": "bc"}),
        json!({"role": "user", "content": "d"}),
    ];
    let message = template(text).render_marked(&messages, None).unwrap_err();
    let message = message.to_string();
    assert!(
        message.contains("message 2") && message.contains("train_on"),
        "{message}"
    );
}

#[test]
fn tool_calls_are_found_if_only_the_last_message_has_an_end_token() {
    let text = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\
                {{- m.tool_calls | tojson if m.tool_calls }}<end>{% endfor %}\
                {{- '<assistant>' if add_generation_prompt else eos_token }}";
    let messages = [
        json!({"role": "user", "content": "a"}),
        json!({"role": "assistant", "content": "", "tool_calls": [1]}),
        json!({"role": "tool", "content": "b"}),
        json!({"role": "assistant", "content": "c"}),
    ];
    let rendered = template(text).render_marked(&messages, None).unwrap();
    assert_eq!(parts(&rendered), ["[1]<end>", "c<end></s>"]);
}

#[test]
fn captured_generation_blocks_do_not_change_the_text() {
    let text = "{% for m in messages %}{% set said %}{% generation %} {{ m.content }} \
                {%- endgeneration %}{% endset %}[{{ said | trim | length }}{{ said | trim }}]{% endfor %}";
    let messages = [
        json!({"role": "user", "content": "a"}),
        json!({"role": "assistant", "content": "bc"}),
    ];
    let rendered = template(text).render_marked(&messages, None).unwrap();
    assert_eq!(rendered.text, "[1a][2bc]");
    assert_eq!(parts(&rendered), ["[2bc]"]);
}

#[test]
fn a_transformed_question_does_not_hide_the_answer() {
    let text = "{% for m in messages %}[{{ m.role }}]{{ m.content if m.role == 'assistant' else m.content | upper }}\
                {% endfor %}{{ '[assistant]' if add_generation_prompt }}";
    let messages = [
        json!({"role": "user", "content": "yes"}),
        json!({"role": "assistant", "content": "yes"}),
        json!({"role": "user", "content": "no"}),
        json!({"role": "assistant", "content": "no"}),
    ];
    let rendered = template(text).render_marked(&messages, None).unwrap();
    assert_eq!(
        rendered.text,
        "[user]YES[assistant]yes[user]NO[assistant]no"
    );
    assert_eq!(rendered.assistant, [20..23, 42..44]);
}

#[test]
fn a_conversation_is_rendered_with_one_time() {
    static SECONDS: AtomicU32 = AtomicU32::new(0);
    let ticking = || {
        let day = NaiveDate::from_ymd_opt(2024, 7, 4).unwrap();
        let seconds = SECONDS.fetch_add(1, Ordering::Relaxed);
        day.and_hms_opt(9, 5, seconds).unwrap()
    };
    let text = "{{ strftime_now('%S%Z%z ') }}{% for m in messages %}[{{ m.role }}]\
                {% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}\
                {% else %}{{ m.content }}{% endif %}{% endfor %}\
                {{ '[assistant]' if add_generation_prompt }}{{ strftime_now('%S') }}";
    let messages = [
        json!({"role": "user", "content": "a"}),
        json!({"role": "assistant", "content": "a"}),
    ];
    let template = with_clock(text, ticking);
    for expected in ["00 [user]a[assistant]a00", "01 [user]a[assistant]a01"] {
        let rendered = template.render_marked(&messages, None).unwrap();
        assert_eq!(rendered.text, expected);
        assert_eq!(
            rendered.assistant.as_slice(),
            std::slice::from_ref(&(21..22))
        );
    }
}
