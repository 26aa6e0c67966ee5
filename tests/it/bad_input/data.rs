//! Invalid data files.

use std::fs;

use minift::device::Device;
use minift::model::CausalLm;
use minift::text::{EndToken, Preparation, ReadOptions, Samples, read_all};
use serde_json::Value;

use super::{Case, Scratch, no_faults, refusal, text};

/// Reads the samples of a file for training.
fn read(scratch: &Scratch, name: &str, model: &CausalLm) -> minift::Result<Samples> {
    let found = read_all(&[scratch.path(name)], &ReadOptions::default())?;
    let preparation = Preparation {
        end_token: EndToken::Never,
        ..Preparation::to_length(16)
    };
    model.reader().samples(&found.records, &preparation, name)
}

#[test]
fn errors_in_data_name_file_and_line() {
    let scratch = Scratch::new();
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    fs::create_dir(scratch.path("folder.txt")).unwrap();
    let cases: &[Case<'_, Option<&[u8]>>] = &[
        ("missing.txt", None, &["missing.txt"]),
        ("folder.txt", None, &["folder.txt"]),
        ("empty.txt", Some(b""), &["empty.txt", "no usable sample"]),
        (
            "blank.txt",
            Some(b"\n \n\n"),
            &["blank.txt", "no usable sample"],
        ),
        (
            "empty.jsonl",
            Some(b""),
            &["empty.jsonl", "no usable sample"],
        ),
        (
            "latin.txt",
            Some(b"One cup.\n\nTwo caf\xe9s.\n"),
            &["latin.txt:3", "UTF-8"],
        ),
        (
            "latin.jsonl",
            Some(b"{\"text\": \"One\"}\n{\"text\": \"caf\xe9\"}\n"),
            &["latin.jsonl:2", "UTF-8"],
        ),
        (
            "broken.jsonl",
            Some(b"{\"text\": \"One\"}\n\n{\"text\": \"Two\n"),
            &["broken.jsonl:3", "JSON"],
        ),
        (
            "list.jsonl",
            Some(b"{\"text\": \"One cup\"}\n[\"Two cups\"]\n"),
            &["list.jsonl:2", "object"],
        ),
        (
            "prompt.jsonl",
            Some(b"{\"text\": \"One\"}\n{\"prompt\": \"Two\"}\n"),
            &["prompt.jsonl:2", "\"text\"", "\"prompt\""],
        ),
        (
            "number.jsonl",
            Some(b"{\"text\": 7}\n"),
            &["number.jsonl:1", "\"text\"", "string"],
        ),
        (
            "short.jsonl",
            Some(b"{\"text\": \"\"}\n{\"text\": \"\"}\n"),
            &["short.jsonl", "at least two tokens", "2 skipped"],
        ),
        (
            "report.pdf",
            Some(b"%PDF-1.7\n"),
            &["report.pdf", "a PDF", "text"],
        ),
        (
            "notes.doc",
            Some(b"Some text.\n"),
            &["notes.doc", ".txt", ".jsonl"],
        ),
        (
            "model.safetensors",
            Some(b"\x40\0\0\0\0\0\0\0{\"a\": {}}"),
            &["model.safetensors", "weights of a model"],
        ),
        (
            "utf16.txt",
            Some(b"O\0n\0e\0 \0c\0u\0p\0"),
            &["utf16.txt", "NULs", "UTF-8"],
        ),
        (
            "narrator.jsonl",
            Some(b"{\"conversations\": [{\"from\": \"narrator\", \"value\": \"One\"}]}\n"),
            &["narrator.jsonl:1", "\"narrator\"", "human"],
        ),
    ];
    let mut faults = Vec::new();
    for (name, bytes, fragments) in cases {
        if let Some(bytes) = bytes {
            scratch.write(name, bytes);
        }
        faults.push((
            name.to_string(),
            refusal(read(&scratch, name, &model), fragments),
        ));
    }
    no_faults(faults);
}

/// The error of an invalid text is the same for every option.
#[test]
fn every_option_with_a_text_reports_its_errors() {
    let scratch = Scratch::new();
    scratch.write("broken.jsonl", "{\"text\": \"One\"}\n\n{\"text\": \"Two\n");
    let fragments = ["broken.jsonl:3", "JSON"];
    let mut faults = vec![(
        "eval --data".to_string(),
        scratch.eval_fault(&["--data", "broken.jsonl"], &fragments),
    )];
    for option in ["--data", "--general", "--held-out"] {
        let fault = scratch.train_fault(&[option, "broken.jsonl"], &fragments);
        faults.push((format!("train {option}"), fault));
    }
    no_faults(faults);
}

/// Copies the model with a tokenizer that adds no token before a text.
fn without_begin_token() -> Scratch {
    let scratch = Scratch::with_model();
    scratch.change_json("model/tokenizer.json", |tokenizer| {
        tokenizer["post_processor"] = Value::Null
    });
    scratch
}

#[test]
fn a_file_of_single_token_texts_is_rejected() {
    let scratch = without_begin_token();
    scratch.write("letters.txt", "a\n\nb\n\nc\n");
    let fragments = ["letters.txt", "at least two tokens", "3 skipped"];
    let found = read(&scratch, "letters.txt", &scratch.load().unwrap());
    assert_eq!(refusal(found, &fragments), None);
}

#[test]
fn single_token_texts_are_skipped_and_counted() {
    let scratch = without_begin_token();
    scratch.write(
        "mixed.txt",
        "a\n\nThe cat sat.\n\nb\n\nThe dog ran away from the big house.\n",
    );
    let arguments = [
        "eval",
        "--json",
        "--model",
        "model",
        "--data",
        "mixed.txt",
        "--max-length",
        "6",
        "--end-token",
        "never",
    ];
    let output = scratch.minift(&arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["samples"], 2);
    assert_eq!(found["skipped"], 2);
    assert_eq!(found["truncated"], 1);
    assert!(
        found["tokens"]
            .as_u64()
            .is_some_and(|tokens| (6..=10).contains(&tokens)),
        "{found}"
    );
    assert!(
        found["perplexity"]
            .as_f64()
            .is_some_and(|perplexity| perplexity > 1.0),
        "{found}"
    );
}
