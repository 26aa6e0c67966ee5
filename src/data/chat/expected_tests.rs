//! Against what transformers makes of the same conversations (tests/render_chat_templates.py).

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
    /// What the assistant wrote; none where it is not only added to what is before it.
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

/// The time that the file was made at, as it was told.
fn clock() -> NaiveDateTime {
    let day = NaiveDate::from_ymd_opt(2024, 7, 4).unwrap();
    day.and_hms_opt(9, 5, 3).unwrap()
}

fn template(text: &str) -> ChatTemplate {
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
fn texts_and_parts_are_those_of_transformers() {
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
                    // What a template says itself is passed on; what Python says is not.
                    let raised = message.contains("refuses the conversation");
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

/// Where a message is rendered otherwise once others follow, what it becomes was looked up by hand.
#[test]
fn parts_are_found_where_beginnings_do_not_hold() {
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
fn an_answer_is_found_after_its_question_without_any_beginnings() {
    // Every beginning of the conversation is refused.
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
fn what_is_not_found_says_what_to_do() {
    let text = "{% for m in messages %}{{ m.content[::-1] }}{% endfor %}{{ messages | length }}";
    let messages = [
        json!({"role": "user", "content": "a"}),
        json!({"role": "assistant", "content": "bc"}),
        json!({"role": "user", "content": "d"}),
    ];
    let message = template(text).render_marked(&messages, None).unwrap_err();
    let message = message.to_string();
    assert!(
        message.contains("message 2") && message.contains("--train-on all"),
        "{message}"
    );
}

#[test]
fn errors_say_where_and_why() {
    let parse = |text: &str| {
        let parsed = ChatTemplate::parse(Some(text.as_bytes()), None, "model".as_ref());
        parsed.unwrap_err().to_string()
    };
    let message = parse("a\n{% if %}");
    assert!(
        message.starts_with("model") && message.contains("line 2: "),
        "{message}"
    );
    assert!(parse("\n\n{{ a").contains("line 3: "));

    let messages = [json!({"role": "user", "content": "a"})];
    let render = |text: &str| {
        let rendered = template(text).render(&messages, None, false);
        rendered.unwrap_err().to_string()
    };
    assert!(
        render("{{ raise_exception('roles must alternate') }}")
            .ends_with("the chat template refuses the conversation: roles must alternate")
    );
    assert!(render("\n{{ messages[0].name.first }}").contains("line 2: "));
    assert!(render("{{ strftime_now('%Q') }}").contains("\"%Q\" is not a format"));

    let message = template("").render(&[], None, false).unwrap_err();
    assert!(message.to_string().contains("without a message"));
    let message = template("").render(&[json!("a")], None, false).unwrap_err();
    assert!(message.to_string().contains("message 1 is not an object"));
}

#[test]
fn tools_have_a_template_of_their_own_where_there_is_one() {
    let config = br#"{"chat_template": [
        {"name": "default", "template": "plain{{ tools is none }}"},
        {"name": "tool_use", "template": "{{ tools | tojson(separators=(',', ':')) }}"}
    ]}"#;
    let template = ChatTemplate::parse(None, Some(config), "model".as_ref());
    let template = template.unwrap().unwrap();
    let messages = [json!({"role": "user", "content": "a"})];
    let render = |tools: Option<&Value>| template.render(&messages, tools, false).unwrap();
    assert_eq!(render(None), "plainTrue");
    assert_eq!(render(Some(&Value::Null)), "plainTrue");
    assert_eq!(
        render(Some(&json!([{"b": 1, "a": 2}]))),
        "[{\"b\":1,\"a\":2}]"
    );
}

#[test]
fn json_is_that_of_python() {
    let messages = [json!({"role": "user", "content": "a"})];
    for (expression, expected) in [
        (
            r#"{'b': 1, 'a': [1.0, none, true]} | tojson"#,
            r#"{"b": 1, "a": [1.0, null, true]}"#,
        ),
        (
            r#"{'b': 1, 'a': 2} | tojson(sort_keys=true)"#,
            r#"{"a": 2, "b": 1}"#,
        ),
        (
            r#"[1, {}, []] | tojson(indent=2)"#,
            "[\n  1,\n  {},\n  []\n]",
        ),
        (r#"[1] | tojson(indent='-')"#, "[\n-1\n]"),
        (
            r#"'<é"\\\n\x07\x7f😀>' | tojson"#,
            "\"<é\\\"\\\\\\n\\u0007\u{7f}😀>\"",
        ),
        (
            r#"'é😀' | tojson(ensure_ascii=true)"#,
            r#""\u00e9\ud83d\ude00""#,
        ),
        (
            r#"{7: 2, none: 3, true: 4, 0.5: 5} | tojson"#,
            r#"{"7": 2, "null": 3, "true": 4, "0.5": 5}"#,
        ),
        (
            r#"[1e-7, 1e16] | tojson(separators=(',', ':'))"#,
            "[1e-07,1e+16]",
        ),
        (r#"(1, 2)[:1] | tojson"#, "[1]"),
    ] {
        let rendered = template(&format!("{{{{ {expression} }}}}")).render(&messages, None, false);
        assert_eq!(rendered.unwrap(), expected, "{expression}");
    }
    for expression in [
        "nothing | tojson",
        "1 | tojson(indent=1000)",
        "1 | tojson(separators=('a',))",
        "1 | tojson(indents=1)",
        "raise_exception | tojson",
    ] {
        let rendered = template(&format!("{{{{ {expression} }}}}")).render(&messages, None, false);
        assert!(rendered.is_err(), "{expression}: {rendered:?}");
    }
}

#[test]
fn kinds_of_values_are_those_of_jinja() {
    let text = "{{ none is iterable }} {{ nothing is iterable }} {{ 'a' is sequence }} \
                {{ {} is sequence }} {{ messages[1:] is sequence }} {{ 1 is sequence }} \
                {{ 1.0 }} {{ 1e16 }} {{ true }} {{ none }} {{ ['a', 1.5] }} {{ none | trim }}";
    let messages = [json!({"role": "user", "content": "a"})];
    assert_eq!(
        template(text).render(&messages, None, false).unwrap(),
        "False True True True True False 1.0 1e+16 True None ['a', 1.5] None"
    );
}

#[test]
fn calls_of_tools_are_found_where_the_end_token_is_only_after_the_last_message() {
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
fn blocks_that_are_not_only_written_out_do_not_change_the_text() {
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
fn a_question_that_is_changed_does_not_hide_the_answer() {
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
fn a_conversation_has_one_time() {
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
