//! Conversations: the library's `Chat`, `minift chat` and `minift generate --chat`.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Output};

use minift::device::Device;
use minift::model::{CausalLm, Chat, FileBytes, ModelFiles, Sampling};
use pollster::block_on;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A template that only begins with a special token, so that the embedded model reads a plain text.
const TEMPLATE: &str = "<|endoftext|>{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}\
                        {% endfor %}{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}";

/// The embedded model with a chat template.
fn chat_model() -> CausalLm {
    let mut files = ModelFiles::embedded();
    let template = FileBytes::InMemory(TEMPLATE.as_bytes().into());
    files.companions.push(("chat_template.jinja", template));
    CausalLm::from_files(files, &Device::cpu()).unwrap()
}

fn answer(chat: &mut Chat, question: &str, most: usize) -> minift::Result<String> {
    let go_on = |_: &str| ControlFlow::Continue(());
    block_on(chat.answer(question, most, &Sampling::default(), go_on))
}

#[test]
fn every_answer_equals_that_to_the_whole_conversation() {
    let model = chat_model();
    let mut chat = Chat::new(model.clone()).unwrap();
    chat.set_system(Some("Tell stories.".to_string()));
    let mut text = "<|endoftext|>system: Tell stories.\n".to_string();
    for question in ["A dog sat", "Then it rained", "What did Lily find?"] {
        text.push_str(&format!("user: {question}\nassistant:"));
        let expected = block_on(model.generate(&text, 12, &Sampling::default(), |_| ())).unwrap();
        let found = answer(&mut chat, question, 12).unwrap();
        assert_eq!(found, expected);
        text.push_str(&format!(" {found}\n"));
    }
    assert_eq!(chat.messages().len(), 7);
    // A changed beginning is computed again.
    chat.set_system(None);
    chat.reset();
    assert!(chat.messages().is_empty());
    let alone = answer(&mut chat, "A dog sat", 12).unwrap();
    let text = "<|endoftext|>user: A dog sat\nassistant:";
    let expected = block_on(model.generate(text, 12, &Sampling::default(), |_| ())).unwrap();
    assert_eq!(alone, expected);
}

#[test]
fn an_answer_can_be_stopped_and_an_error_changes_nothing() {
    let mut chat = Chat::new(chat_model()).unwrap();
    let mut pieces = 0;
    let stop = |_: &str| {
        pieces += 1;
        match pieces {
            3 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    let stopped = block_on(chat.answer("A dog sat", 100, &Sampling::default(), stop)).unwrap();
    assert_eq!(pieces, 3);
    assert!(stopped.len() < answer(&mut chat, "A dog sat", 30).unwrap().len());
    let messages = chat.messages().to_vec();
    let error = answer(&mut chat, &"The dog ran. ".repeat(200), 10).unwrap_err();
    assert!(error.to_string().contains("less than 256"), "{error}");
    assert_eq!(chat.messages(), messages);
    answer(&mut chat, "And then?", 4).unwrap();
    assert_eq!(chat.messages().len(), messages.len() + 2);
    let embedded = CausalLm::embedded(&Device::cpu()).unwrap();
    assert_eq!(Chat::new(embedded).unwrap_err().kind(), "ChatTemplate");
}

fn minift(arguments: &[&str], folder: &Path, input: &str) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_minift"));
    program.args(arguments).args(["--device", "cpu"]);
    common::output_for_input(program.current_dir(folder), input.as_bytes())
}

fn objects(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{output:?}");
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    let lines = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

#[test]
fn the_command_answers_saves_and_compares() {
    let folder = TempDir::new().unwrap();
    let model = chat_model();
    block_on(model.save(folder.path().join("model"))).unwrap();
    let adapted = model
        .with_new_adapter(
            minift::model::adapter::AdapterSettings::Lora(Default::default()),
            0,
        )
        .unwrap();
    block_on(adapted.save(folder.path().join("adapter"))).unwrap();

    let limit = ["--max-new-tokens", "8", "--json"];
    let chat = [&["chat", "--model", "model"][..], &limit].concat();
    let input = "A dog sat\n\nAnd then?\n/save talk.jsonl\n/reset\nA dog sat\n/nonsense\n/save talk.jsonl\n";
    let found = objects(&minift(&chat, folder.path(), input));
    assert_eq!(found.len(), 3);
    assert_eq!(found[0]["question"], "A dog sat");
    assert_eq!(found[0]["answer"], found[2]["answer"]);
    let expected = answer(&mut Chat::new(model.clone()).unwrap(), "A dog sat", 8).unwrap();
    assert_eq!(found[0]["answer"], json!(expected));
    let saved = std::fs::read_to_string(folder.path().join("talk.jsonl")).unwrap();
    let saved: Vec<Value> = saved
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let counts = saved
        .iter()
        .map(|line| line["messages"].as_array().unwrap().len());
    assert_eq!(counts.collect::<Vec<_>>(), [4, 2]);
    assert_eq!(saved[0]["messages"][1]["content"], json!(expected));

    let compare = ["--adapter-dir", "adapter", "--compare"];
    let found = objects(&minift(
        &[&chat[..], &compare].concat(),
        folder.path(),
        "A dog sat\n",
    ));
    // A new adapter does not change the model.
    assert_eq!(found[0]["untouched"], json!(expected));
    assert_eq!(found[0]["trained"], json!(expected));
    let refused = minift(&[&chat[..], &["--compare"]].concat(), folder.path(), "");
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(
        !refused.status.success() && error.contains("run.json"),
        "{error}"
    );

    let generate = [
        "generate",
        "--model",
        "model",
        "--prompt",
        "A dog sat",
        "--chat",
    ];
    let found = objects(&minift(
        &[&generate[..], &limit].concat(),
        folder.path(),
        "",
    ));
    assert_eq!(found[0]["text"], json!(expected));
}
