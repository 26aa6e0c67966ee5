//! Data in the styles and formats that people bring: what is trained of it, and how the program finds it.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::fs;
use std::path::Path;
use std::process::Command;

use minift::model::{FileBytes, ModelFiles, TextReader};
use minift::text::{Preparation, ReadOptions, parse_records};
use serde_json::{Value, json};
use tempfile::TempDir;

const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}\
                      {% if message['content'] is string %}{{ message['content'] }}{% endif %}\
                      {% for call in message['tool_calls'] or [] %}{{ call['function'] | tojson }}\
                      {% endfor %}{{ '<|im_end|>\\n' }}{% endfor %}\
                      {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
/// The same, with the assistant's messages marked.
const MARKED: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}\
                      {% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}\
                      {{ '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}\
                      {% else %}{{ message['content'] + '<|im_end|>\\n' }}{% endif %}{% endfor %}\
                      {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
/// A template that concatenates arguments.
const TEXT_ARGUMENTS: &str = "{% for message in messages %}{% for call in message.tool_calls or [] %}\
                              {{ 'call ' + call.function.arguments + '\\n' }}{% endfor %}\
                              {{ message.content or '' }}{{ eos_token }}{% endfor %}";

/// The embedded model's configuration and tokenizer, with an optional chat template.
fn reader(template: Option<&str>) -> TextReader {
    let mut files = ModelFiles::embedded();
    if let Some(template) = template {
        let template = FileBytes::InMemory(template.as_bytes().to_vec().into());
        files.companions.push(("chat_template.jinja", template));
    }
    TextReader::new(files).unwrap()
}

/// The text of the first sample, with the predicted parts in ⟦ ⟧.
fn marked(object: &Value, template: Option<&str>) -> String {
    let reader = reader(template);
    let bytes = object.to_string();
    let records = parse_records(
        bytes.as_bytes(),
        Path::new("a.jsonl"),
        &ReadOptions::default(),
    );
    let preparation = Preparation::to_length(256);
    let found = reader.samples(&records.unwrap().records, &preparation, "test");
    let sample = found.unwrap().samples.remove(0);
    let tokens: Vec<(u32, bool)> = std::iter::zip(
        sample.tokens().iter().copied(),
        sample.loss_mask().iter().copied(),
    )
    .collect();
    let parts = tokens.chunk_by(|a, b| a.1 == b.1).map(|part| {
        let ids: Vec<u32> = part.iter().map(|&(id, _)| id).collect();
        let text = reader.tokenizer().decode_all(&ids).unwrap();
        match part[0].1 {
            true => format!("⟦{text}⟧"),
            false => text,
        }
    });
    parts.collect()
}

#[test]
fn styles_are_rendered_as_conversations_and_answers_are_trained() {
    let expected = "<|im_start|>user\nWhat squeaks?<|im_end|>\n<|im_start|>assistant\n\
                    ⟦The chain.<|im_end|>\n⟧";
    let user = json!({"role": "user", "content": "What squeaks?"});
    let assistant = json!({"role": "assistant", "content": "The chain."});
    for object in [
        json!({"conversations": [
            {"from": "human", "value": "What squeaks?"}, {"from": "gpt", "value": "The chain."}]}),
        json!({"instruction": "What squeaks?", "input": "", "output": "The chain."}),
        json!({"question": "What squeaks?", "answer": "The chain."}),
        json!({"prompt": "What squeaks?", "response": "The chain."}),
        json!({"prompt": [user], "completion": [assistant]}),
        json!({"messages": json!([user, assistant]).to_string()}),
    ] {
        assert_eq!(marked(&object, Some(CHATML)), expected, "{object}");
    }
    let object = json!({"question": "What squeaks?", "answer": "The chain."});
    let plain = marked(&object, None);
    assert!(
        plain.ends_with("What squeaks?\n⟦The chain.<|endoftext|>⟧"),
        "{plain}"
    );
    let object = json!({"instruction": "What squeaks?", "output": "The chain."});
    let plain = marked(&object, None);
    assert!(
        plain.ends_with(
            "### Instruction:\nWhat squeaks?\n\n### Response:\n⟦The chain.<|endoftext|>⟧"
        ),
        "{plain}"
    );
    // A prompt and its completion are continued as they are.
    let object = json!({"prompt": "What squeaks?", "completion": " The chain."});
    let plain = marked(&object, Some(CHATML));
    assert!(
        plain.ends_with("What squeaks?⟦ The chain.<|endoftext|>⟧"),
        "{plain}"
    );
}

#[test]
fn messages_of_weight_0_are_not_trained() {
    for (weights, trained) in [
        ([json!(0), json!(1)], [false, true]),
        ([json!(1), json!(0.0)], [true, false]),
        ([json!(null), json!(false)], [true, false]),
    ] {
        let object = json!({"messages": [
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "First answer.", "weight": weights[0]},
            {"role": "user", "content": "Two?"},
            {"role": "assistant", "content": "Second answer.", "weight": weights[1]},
        ]});
        for template in [CHATML, MARKED] {
            let text = marked(&object, Some(template));
            let found = ["First answer.", "Second answer."]
                .map(|answer| text.contains(&format!("⟦{answer}")));
            assert_eq!(found, trained, "{text}");
            assert_eq!(text.matches('⟦').count(), 1, "{text}");
        }
    }
    // Earlier answers in a prompt are context, too.
    let object = json!({
        "prompt": [
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "First answer."},
            {"role": "user", "content": "Two?"},
        ],
        "completion": [{"role": "assistant", "content": "Second answer."}],
    });
    for template in [CHATML, MARKED] {
        let text = marked(&object, Some(template));
        assert!(text.contains("First answer.<|im_end|>"), "{text}");
        assert!(text.contains("⟦Second answer.<|im_end|>"), "{text}");
    }
}

#[test]
fn nulls_and_json_strings_do_not_reach_the_text() {
    let call = |arguments: Value| {
        json!({"messages": [
            {"role": "system", "content": null, "tool_calls": null},
            {"role": "user", "content": "Find it."},
            {"role": "assistant", "content": null, "tool_calls": [
                {"type": "function", "function": {"name": "find", "arguments": arguments}}]},
        ]})
    };
    for arguments in [
        json!({"thing": "hat"}),
        json!({"thing": "hat", "place": null}),
        json!("{\"thing\": \"hat\"}"),
    ] {
        let text = marked(&call(arguments.clone()), Some(CHATML));
        let expected = "<|im_start|>system\n<|im_end|>\n<|im_start|>user\nFind it.<|im_end|>\n\
                        <|im_start|>assistant\n⟦{\"name\": \"find\", \"arguments\": {\"thing\": \"hat\"}}<|im_end|>\n⟧";
        assert_eq!(text, expected, "{arguments}");
        let text = marked(&call(arguments), Some(TEXT_ARGUMENTS));
        assert!(text.contains("call {\"thing\": \"hat\"}\n"), "{text}");
    }
}

/// The JSON objects that the program prints, and its text output.
fn minift(folder: &Path, arguments: &[&str], input: &[u8]) -> (Vec<Value>, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_minift"));
    program.args(arguments).args(["--json", "--device", "cpu"]);
    let done = common::output_for_input(program.current_dir(folder), input);
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{text}");
    let lines = String::from_utf8(done.stdout).unwrap();
    let objects = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (objects.collect(), text)
}

#[test]
fn data_is_read_from_the_standard_input() {
    let folder = TempDir::new().unwrap();
    let text = b"One cup of tea.\n\nTwo cups of tea.\n".to_vec();
    let lines = b"{\"text\": \"One cup of tea.\"}\n{\"text\": \"Two cups of tea.\"}\n".to_vec();
    let zipped = zstd::encode_all(&lines[..], 3).unwrap();
    let table = b"id,text\n1,One cup of tea.\n2,Two cups of tea.\n".to_vec();
    for (input, format) in [
        (text, "plain text"),
        (lines, "JSON lines"),
        (zipped, "JSON lines"),
        (table, "CSV"),
    ] {
        let (objects, text) = minift(folder.path(), &["data", "-"], &input);
        let found = objects.last().unwrap();
        assert_eq!(found["text"]["samples"], 2, "{text}");
        assert_eq!(found["text"]["origin"], "-");
        let note = format!("stdin: read as {format}, by its content");
        assert!(text.contains(&note), "{text}");
    }
}

#[test]
fn columns_can_be_named() {
    let folder = TempDir::new().unwrap();
    let turns = json!([{"role": "user", "content": "a"}])
        .to_string()
        .replace('"', "\"\"");
    let table = format!("ask,reply,chat\nWhat squeaks?, The chain.,\"{turns}\"\n");
    fs::write(folder.path().join("a.csv"), table).unwrap();
    let arguments = [
        "data",
        "a.csv",
        "--prompt-column",
        "ask",
        "--completion-column",
        "reply",
    ];
    let (objects, text) = minift(folder.path(), &arguments, b"");
    assert_eq!(objects.last().unwrap()["text"]["samples"], 1);
    assert!(
        text.contains("What squeaks?⟦ The chain.<|endoftext|>⟧"),
        "{text}"
    );
    assert!(text.contains("column \"chat\" is ignored"), "{text}");
}

/// A folder with the splits of a data set of 8, 3 and 2 texts.
fn splits() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("set")).unwrap();
    for (name, count) in [("train", 8), ("valid", 3), ("test", 2)] {
        let line = |number| {
            let text = format!("Text {number} of the set {name}, about a red ball.");
            json!({ "text": text }).to_string()
        };
        let lines: Vec<String> = (0..count).map(line).collect();
        fs::write(
            folder.path().join(format!("set/{name}.jsonl")),
            lines.join("\n"),
        )
        .unwrap();
    }
    folder
}

#[test]
fn a_folder_of_splits_trains_on_one_and_holds_out_another() {
    let folder = splits();
    let (objects, text) = minift(folder.path(), &["data", "set"], b"");
    assert_eq!(objects.last().unwrap()["text"]["samples"], 8);
    let note = "set: read train (\"train.jsonl\"); held out: validation (\"valid.jsonl\"), test (\"test.jsonl\")";
    assert!(text.contains(note), "{text}");

    let arguments = [
        "train",
        "--data",
        "set",
        "--general",
        "set/test.jsonl",
        "--epochs",
        "1",
        "--out",
        "out",
    ];
    let (_, text) = minift(folder.path(), &arguments, b"");
    let report = fs::read(folder.path().join("out/run.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["setup"]["train"]["samples"], 8, "{text}");
    assert_eq!(report["setup"]["domain"]["samples"], 3);
    assert_eq!(report["setup"]["domain"]["origin"], "set, validation");

    let evaluate = |folder: &Path| {
        let (objects, _) = minift(folder, &["eval", "--data", "set"], b"");
        objects.last().unwrap()["samples"].clone()
    };
    assert_eq!(evaluate(folder.path()), 2);
    fs::remove_file(folder.path().join("set/test.jsonl")).unwrap();
    assert_eq!(evaluate(folder.path()), 3);
}
