//! Records of every style, in every format.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::error::{Error, Result};
use crate::text::records::{Records, parse_records};

fn read_with(text: &str, name: &str, options: &ReadOptions) -> Result<Records> {
    parse_records(text.as_bytes(), Path::new(name), options)
}

fn read(text: &str, name: &str) -> Records {
    read_with(text, name, &ReadOptions::default()).unwrap()
}

fn fault(text: &str, name: &str) -> String {
    let found = read_with(text, name, &ReadOptions::default());
    found.unwrap_err().to_string()
}

/// The messages of a conversation or question.
#[track_caller]
fn messages(record: &Record) -> Value {
    match record {
        Record::Conversation { messages, .. } | Record::Question { messages, .. } => {
            messages.clone().into()
        }
        other => panic!("{other:?}"),
    }
}

/// The only record of an object.
#[track_caller]
fn only(object: Value) -> Record {
    let mut found = read(&object.to_string(), "a.jsonl").records;
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[test]
fn share_gpt() {
    let expected = json!([
        {"role": "system", "content": "S"},
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "A", "weight": 1},
    ]);
    let turns = json!([
        {"from": "system", "value": "S"},
        {"from": "human", "value": "Q"},
        {"from": "gpt", "value": "A", "weight": 1},
    ]);
    let of_roles = json!([
        {"role": "system", "content": "S"},
        {"role": "human", "content": "Q"},
        {"role": "model", "content": "A", "weight": 1},
    ]);
    for object in [
        json!({"id": "s0", "conversations": turns}),
        json!({"conversation": turns}),
        json!({"conversations": of_roles}),
        json!({"messages": turns}),
        json!({"conversations": turns.to_string()}),
        json!({"conversations": turns, "system": "another"}),
        json!({"conversations": turns.as_array().unwrap()[1..], "system": "S"}),
        json!({"conversations": turns.as_array().unwrap()[1..], "system_prompt": "S", "system": null}),
    ] {
        assert_eq!(messages(&only(object.clone())), expected, "{object}");
    }
    let found = read(
        &json!({"id": 1, "conversations": turns}).to_string(),
        "a.jsonl",
    );
    let notes = [
        "a.jsonl: read as ShareGPT conversations (\"conversations\")",
        "a.jsonl: key \"id\" is ignored",
    ];
    assert_eq!(found.notes, notes);
    let tools = json!({"conversations": turns, "tools": "[{\"name\": \"f\"}]"});
    let Record::Conversation { tools, .. } = only(tools) else {
        panic!("no conversation")
    };
    assert_eq!(tools, Some(json!([{"name": "f"}])));
    let rounds = json!({"text": null, "conversation": [{"input": "Q", "output": "A"}]});
    let expected = json!([{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]);
    assert_eq!(messages(&only(rounds)), expected);
    let unknown = json!({"conversations": [{"from": "narrator", "value": "x"}]});
    let fault = fault(&unknown.to_string(), "a.jsonl");
    assert!(
        fault.contains("a.jsonl:1: message 1: \"from\" is \"narrator\""),
        "{fault}"
    );
}

#[test]
fn alpaca() {
    for (object, question) in [
        (json!({"instruction": "I", "input": "", "output": "O"}), "I"),
        (
            json!({"instruction": "I", "input": null, "output": "O"}),
            "I",
        ),
        (json!({"instruction": "I", "output": "O"}), "I"),
        (json!({"instruction": "I", "response": "O"}), "I"),
        (
            json!({"instruction": "I", "input": "X", "output": "O"}),
            "I\n\nX",
        ),
        (
            json!({"instruction": "I", "context": "X", "response": "O"}),
            "I\n\nX",
        ),
    ] {
        let record = only(object.clone());
        let expected = json!([
            {"role": "user", "content": question},
            {"role": "assistant", "content": "O"},
        ]);
        assert_eq!(messages(&record), expected, "{object}");
        let Record::Question {
            prompt, completion, ..
        } = record
        else {
            panic!("no question")
        };
        assert_eq!(completion, "O");
        assert!(prompt.starts_with("Below is an instruction"), "{prompt}");
        let end = match question {
            "I" => "the request.\n\n### Instruction:\nI\n\n### Response:\n",
            _ => "### Instruction:\nI\n\n### Input:\nX\n\n### Response:\n",
        };
        assert!(prompt.ends_with(end), "{prompt}");
    }
    let record = only(json!({
        "instruction": "I", "input": "", "output": "O", "system": "S", "history": [["a", "b"]],
    }));
    let expected = json!([
        {"role": "system", "content": "S"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "I"},
        {"role": "assistant", "content": "O"},
    ]);
    assert_eq!(messages(&record), expected);
    // The text that the data set was made with takes precedence, as everywhere.
    let record = only(json!({"instruction": "I", "output": "O", "text": "T"}));
    assert_eq!(record, Record::Text("T".to_string()));
    // Python's NaN stands for a missing cell.
    let found = read(
        "[{\"instruction\": \"I\", \"input\": NaN, \"output\": \"O\"}]",
        "a.json",
    );
    assert_eq!(messages(&found.records[0])[0]["content"], "I");
    assert_eq!(
        found.notes,
        ["a.json: read as Alpaca instructions (\"instruction\" and \"output\")"]
    );
}

#[test]
fn questions_with_answers() {
    for (question, answer) in [
        ("question", "answer"),
        ("question", "response"),
        ("prompt", "response"),
        ("query", "response"),
        ("input", "output"),
    ] {
        let mut object = Map::new();
        object.insert(question.to_string(), "Q?".into());
        object.insert(answer.to_string(), "A.".into());
        let json = Value::from(object).to_string();
        let table = format!("id,{answer},{question}\n1,A.,Q?\n");
        for found in [read(&json, "a.jsonl"), read(&table, "a.csv")] {
            let expected = json!([
                {"role": "user", "content": "Q?"},
                {"role": "assistant", "content": "A."},
            ]);
            assert_eq!(messages(&found.records[0]), expected, "{json}");
            let Record::Question { prompt, .. } = &found.records[0] else {
                panic!("no question")
            };
            assert_eq!(prompt, "Q?\n");
            assert!(
                found.notes[0].contains("read as questions with answers"),
                "{:?}",
                found.notes
            );
        }
    }
    let fault = fault("{\"question\": \"Q\", \"answer\": NaN}", "a.jsonl");
    assert!(
        fault.contains("\"answer\" is null: expected a string"),
        "{fault}"
    );
}

#[test]
fn prompts_and_completions_may_be_messages() {
    let user = json!({"role": "user", "content": "Q"});
    let assistant = |text: &str| json!({"role": "assistant", "content": text});
    let prompt = json!([user, assistant("a"), user]);
    let completion = json!([assistant("A")]);
    let expected = json!([
        user,
        {"role": "assistant", "content": "a", "weight": 0},
        user,
        assistant("A"),
    ]);
    for object in [
        json!({"prompt": prompt, "completion": completion}),
        json!({"prompt": prompt.to_string(), "completion": completion.to_string()}),
    ] {
        assert_eq!(messages(&only(object)), expected);
    }
    let mixed = json!({"prompt": prompt, "completion": "A"});
    assert!(fault(&mixed.to_string(), "a.jsonl").contains("\"prompt\" is a list"));
    let texts = json!({"prompt": "[1]", "completion": "[2]"});
    let expected = Record::Completion {
        prompt: "[1]".to_string(),
        completion: "[2]".to_string(),
    };
    assert_eq!(only(texts), expected);
}

#[test]
fn columns_have_any_name() {
    let object =
        json!({"q": "Q", "a": "A", "chat": [{"role": "user", "content": "hi"}], "completion": "C"});
    let table = "q,a,completion,chat\nQ,A,C,\"[{\"\"from\"\": \"\"human\"\", \"\"value\"\": \"\"hi\"\"}]\"\n";
    let name = |name: &str| Some(name.to_string());
    for (text, file) in [
        (object.to_string(), "a.jsonl"),
        (table.to_string(), "a.csv"),
    ] {
        for (completion_column, expected) in [(name("a"), "A"), (None, "C")] {
            let options = ReadOptions {
                prompt_column: name("q"),
                completion_column,
                ..ReadOptions::default()
            };
            let expected = Record::Completion {
                prompt: "Q".to_string(),
                completion: expected.to_string(),
            };
            assert_eq!(
                read_with(&text, file, &options).unwrap().records,
                [expected]
            );
        }
        let options = ReadOptions {
            messages_column: name("chat"),
            ..ReadOptions::default()
        };
        let found = read_with(&text, file, &options).unwrap();
        assert_eq!(
            messages(&found.records[0]),
            json!([{"role": "user", "content": "hi"}])
        );
        let options = ReadOptions {
            completion_column: name("b"),
            ..ReadOptions::default()
        };
        let fault = read_with(&text, file, &options).unwrap_err().to_string();
        assert!(fault.contains("\"prompt\" and \"b\" (found"), "{fault}");
    }
    let options = ReadOptions {
        column: name("q"),
        messages_column: name("chat"),
        ..ReadOptions::default()
    };
    let error = read_with("{}", "a.jsonl", &options).unwrap_err();
    assert!(
        matches!(error, Error::InvalidSetting { name: "column", .. }),
        "{error}"
    );
}

#[test]
fn arrow_and_openai_fill_in_what_is_dropped() {
    let object = json!({
        "messages": [
            {"role": "system", "content": null, "tool_calls": null, "name": null},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": null, "function": {"name": "f", "arguments": {"a": 1, "b": null}}},
                {"function": {"name": "f", "arguments": "{\"c\": null}"}},
            ]},
            {"role": "assistant", "content": [{"type": "text", "text": "t", "image": null}]},
        ],
        "tools": [{"function": {"parameters": {"a": {"type": "string"}, "b": null}}}],
    });
    let record = only(object);
    let expected = json!([
        {"role": "system", "content": ""},
        {"role": "assistant", "content": null, "tool_calls": [
            {"function": {"name": "f", "arguments": {"a": 1}}},
            {"function": {"name": "f", "arguments": {"c": null}}},
        ]},
        {"role": "assistant", "content": [{"type": "text", "text": "t"}]},
    ]);
    assert_eq!(messages(&record), expected);
    let Record::Conversation { tools, .. } = record else {
        panic!("no conversation")
    };
    let expected = json!([{"function": {"parameters": {"a": {"type": "string"}}}}]);
    assert_eq!(tools, Some(expected));
}

#[test]
fn strings_and_lists_are_records() {
    let texts = ["a", "b"].map(|text| Record::Text(text.to_string()));
    for (text, name) in [
        ("[\"a\", \"b\"]", "a.json"),
        ("[\"a\",\n\"b\"]", "a.jsonl"),
        ("\"a\"\n\"b\"", "a.jsonl"),
        ("\"a\"\n\"b\"", "a.json"),
    ] {
        let found = read(text, name);
        assert_eq!(found.records, texts, "{text}");
        assert_eq!(found.notes, [format!("{name}: read as a list of texts")]);
    }
    for text in [
        "[{\"text\": \"a\"}, {\"text\": \"b\"}]",
        "[\n{\"text\": \"a\"},\n{\"text\": \"b\"}\n]",
        "{\n\"text\": \"a\"\n}\n{\n\"text\": \"b\"}",
    ] {
        assert_eq!(read(text, "a.jsonl").records, texts, "{text}");
    }
    let chat = "[{\"role\": \"user\", \"content\": \"hi\"}]";
    for (text, name, count) in [
        (chat.to_string(), "a.json", 1),
        (chat.to_string(), "a.jsonl", 1),
        (format!("[{chat}, {chat}]"), "a.json", 2),
        (format!("{chat}\n{chat}"), "a.jsonl", 2),
    ] {
        let found = read(&text, name).records;
        assert_eq!(found.len(), count, "{text}");
        assert_eq!(
            messages(&found[0]),
            json!([{"role": "user", "content": "hi"}])
        );
    }
    for text in [
        "\"a\"\n{\"text\": \"b\"}",
        "{\"text\": \"b\"}\n\"a\"",
        "[1]",
        "5",
    ] {
        assert!(
            read_with(text, "a.jsonl", &ReadOptions::default()).is_err(),
            "{text}"
        );
    }
}

#[test]
fn numbers_of_python_are_read_in_unused_keys() {
    let lines = "{\"text\": \"NaN\", \"score\": NaN}\n{\"text\": \"b\", \"score\": -Infinity}\n";
    for name in ["a.jsonl", "a.json"] {
        let texts = ["NaN", "b"].map(|text| Record::Text(text.to_string()));
        assert_eq!(read(lines, name).records, texts);
        let fault = fault("{\"text\": \"a\"}\n{\"text\": NaN}", name);
        assert!(fault.contains(":2: \"text\" is null"), "{fault}");
    }
}

#[test]
fn a_file_has_one_style() {
    let fault = fault(
        "{\"question\": \"a\", \"answer\": \"b\"}\n{\"instruction\": \"a\", \"output\": \"b\"}",
        "a.jsonl",
    );
    let expected = "a.jsonl:2: has \"instruction\" and \"output\", but the first record has \"question\" \
                    and \"answer\": expected {\"question\": \"…\", \"answer\": \"…\"} in every record";
    assert_eq!(fault, expected);
}
