//! Errors, values and filters of rendered templates.

use serde_json::{Value, json};

use super::ChatTemplate;
use super::expected_tests::template;

#[test]
fn errors_name_the_line_and_the_reason() {
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
            .ends_with("the chat template rejects the conversation: roles must alternate")
    );
    assert!(render("\n{{ messages[0].name.first }}").contains("line 2: "));
    assert!(render("{{ strftime_now('%Q') }}").contains("\"%Q\" is not a valid date format"));

    let message = template("").render(&[], None, false).unwrap_err();
    assert!(message.to_string().contains("no messages"));
    let message = template("").render(&[json!("a")], None, false).unwrap_err();
    assert!(message.to_string().contains("message 1 is not an object"));
}

#[test]
fn the_tool_use_template_is_used_with_tools() {
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
fn json_matches_python() {
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
fn value_types_match_jinja() {
    let text = "{{ none is iterable }} {{ nothing is iterable }} {{ 'a' is sequence }} \
                {{ {} is sequence }} {{ messages[1:] is sequence }} {{ 1 is sequence }} \
                {{ 1.0 }} {{ 1e16 }} {{ true }} {{ none }} {{ ['a', 1.5] }} {{ none | trim }}";
    let messages = [json!({"role": "user", "content": "a"})];
    assert_eq!(
        template(text).render(&messages, None, false).unwrap(),
        "False True True True True False 1.0 1e+16 True None ['a', 1.5] None"
    );
}
