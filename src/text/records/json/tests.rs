//! Records in JSON.

use super::*;
use crate::text::records::{Place, Record, parse_records};
use serde_json::json;

fn read(text: &str, name: &str, column: Option<&str>) -> Result<Records> {
    let column = column.map(ToString::to_string);
    let options = ReadOptions {
        column,
        ..ReadOptions::default()
    };
    parse_records(text.as_bytes(), Path::new(name), &options)
}

fn text(text: &str) -> Record {
    Record::Text(text.to_string())
}

#[track_caller]
fn assert_fault(text: &str, name: &str, expected_line: usize, part: &str) {
    match read(text, name, None) {
        Err(Error::DataLine { line, message, .. }) => {
            assert_eq!(line, expected_line, "{text}: {message}");
            assert!(message.contains(part), "{text}: {message}");
        }
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn other_keys_and_blank_lines_are_ignored() {
    let lines =
        "\u{feff}{\"text\": \"a\", \"id\": 3}\r\n\n{\"date\": 1, \"text\": \"b\", \"id\": 4}";
    for name in ["a.JSONL", "a.ndjson", "a.json"] {
        let found = read(lines, name, None).unwrap();
        assert_eq!(found.records, [text("a"), text("b")]);
        let note = format!("{name}: keys \"date\" and \"id\" are ignored");
        assert_eq!(found.notes, [note]);
    }
}

#[test]
fn text_takes_precedence_over_the_other_styles() {
    let line = r#"{"messages": 1, "prompt": "p", "completion": "c", "text": "t"}"#;
    let found = read(line, "a.jsonl", None).unwrap();
    assert_eq!(found.records, [text("t")]);
    assert_eq!(found.notes.len(), 1);
    let found = read(line, "a.jsonl", Some("completion")).unwrap();
    assert_eq!(found.records, [text("c")]);
    let fault = read(line, "a.jsonl", Some("body")).unwrap_err().to_string();
    assert!(
        fault.contains("a.jsonl:1: no \"body\" (found \"messages\""),
        "{fault}"
    );
}

#[test]
fn completions() {
    let line = r#"{"completion": "c", "prompt": "p"}"#;
    let completion = Record::Completion {
        prompt: "p".to_string(),
        completion: "c".to_string(),
    };
    assert_eq!(read(line, "a.jsonl", None).unwrap().records, [completion]);
}

#[test]
fn conversations_are_kept_unchanged() {
    let messages = json!([
        {"role": "user", "content": [{"type": "text", "text": "hi"}], "name": "Ann"},
        {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f"}}]},
        {"role": "tool", "content": ""},
    ]);
    let tools = json!([{"type": "function"}]);
    for (given, kept) in [
        (tools.clone(), Some(tools.clone())),
        (json!(tools.to_string()), Some(tools)),
        (Value::Null, None),
    ] {
        let line = json!({"messages": messages, "tools": given}).to_string();
        let found = read(&line, "a.jsonl", None).unwrap();
        let Value::Array(messages) = messages.clone() else {
            unreachable!()
        };
        let expected = Record::Conversation {
            messages,
            tools: kept,
            place: Place {
                path: Path::new("a.jsonl").into(),
                line: 1,
            },
        };
        assert_eq!(found.records, [expected]);
        assert_eq!(found.notes, [""; 0]);
    }
}

#[test]
fn invalid_conversations_are_rejected() {
    for (messages, part) in [
        ("5", "\"messages\" is a number"),
        ("[]", "\"messages\" is empty"),
        ("[5]", "message 1: is a number"),
        (
            r#"[{"role": "a", "content": ""}, {"content": ""}]"#,
            "message 2: no \"role\"",
        ),
        (r#"[{"role": 1, "content": ""}]"#, "\"role\" is a number"),
        (r#"[{"role": "a"}]"#, "no \"content\""),
        (
            r#"[{"role": "a", "content": "", "weight": 0.5}]"#,
            "\"weight\" is 0.5: expected 0",
        ),
        (
            r#"[{"from": "x", "value": ""}]"#,
            "\"from\" is \"x\": expected human",
        ),
        (
            r#"[{"role": "a", "content": {}}]"#,
            "\"content\" is an object",
        ),
        (
            r#"[{"role": "a", "content": [{"type": "image"}]}]"#,
            "of type \"image\"",
        ),
        (
            r#"[{"role": "a", "content": [{"type": "text"}]}]"#,
            "not a text",
        ),
        (r#"[{"role": "a", "content": ["b"]}]"#, "not a text"),
    ] {
        let lines = format!("\n{{\"messages\": {messages}}}");
        assert_fault(&lines, "a.jsonl", 2, part);
        assert_fault(&lines, "a.json", 2, part);
    }
    let tools = r#"{"messages": [{"role": "a", "content": ""}], "tools": {}}"#;
    assert_fault(tools, "a.jsonl", 1, "\"tools\" is an object");
}

#[test]
fn errors_name_the_line() {
    for (text, line, part) in [
        ("{\"text\": \"a\"}\n[1]\n", 2, "but a list"),
        (
            "{\"text\": \"a\"}\n\n{\"txt\": \"b\"}\n",
            3,
            "no \"text\" (found \"txt\")",
        ),
        ("{\"text\": 5}", 1, "\"text\" is a number"),
        ("{\"text\": \"a\"", 1, "at column 12"),
        ("{}", 1, "(found nothing)"),
        ("{\"prompt\": \"a\"}", 1, "found \"prompt\""),
        (
            "{\"text\": \"a\"}\n{\"prompt\": \"b\", \"completion\": \"c\"}",
            2,
            "has \"prompt\" and \"completion\", but the first record has \"text\"",
        ),
    ] {
        assert_fault(text, "a.jsonl", line, part);
        assert_fault(text, "a.json", line, part);
    }
}

#[test]
fn lists_may_span_many_lines() {
    let list = "\n [\n{\"text\":\n\"a\"}\n, {\"text\": \"b\"}]\n";
    let found = read(list, "a.json", None).unwrap();
    assert_eq!(found.records, [text("a"), text("b")]);
    assert_eq!(read(" [ ] ", "a.json", None).unwrap().records, []);
    for (list, line, part) in [
        ("[", 1, "unexpected end"),
        ("[\n{\"text\": \"a\"}\n", 3, "expected , or ]"),
        ("[\n{\"text\": \"a\"},\n]", 3, "invalid JSON"),
        (
            "[\n{\"text\": \"a\"}\n{\"text\": \"a\"}]",
            3,
            "expected , or ]",
        ),
        ("[\n{\"text\": \"a\"}]\n\n{}", 4, "nothing after the list"),
        (
            "[\n{\"text\": \"a\"},\n{\"text\":\n5}]",
            3,
            "\"text\" is a number",
        ),
        ("[\n{\"text\": \"a\"},\n{\"text\":\nx}]", 4, "at column 1"),
    ] {
        assert_fault(list, "a.json", line, part);
    }
}

#[test]
fn deep_nesting_is_an_error() {
    let deep = format!("{{\"text\": {}", "[".repeat(1_000_000));
    assert_fault(&deep, "a.jsonl", 1, "recursion limit");
    assert_fault(&deep, "a.json", 1, "recursion limit");
}
