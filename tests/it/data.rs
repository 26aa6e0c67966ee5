//! Data preparation: all formats yield the same samples, the loss mask covers the answers, and windows
//! keep every token of long texts.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use minift::model::{FileBytes, ModelFiles, TextReader};
use minift::text::{
    EndToken, LongTexts, Preparation, ReadOptions, Record, Sample, Samples, TrainOn, parse_records,
    read_records,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const TEXTS: [&str; 3] = [
    "The front wheel is bent, \"badly\".",
    "The chain slips;\nthe cassette is worn.",
    "Brake pads worn, rotor scored.",
];

/// ChatML, the chat template of many small models.
const TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + \
                        message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}\
                        {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// The embedded model's configuration and tokenizer, with an optional chat template.
fn reader(template: Option<&str>) -> TextReader {
    let mut files = ModelFiles::embedded();
    if let Some(template) = template {
        let bytes = template.as_bytes().to_vec();
        let template = FileBytes::InMemory(bytes.into());
        files.companions.push(("chat_template.jinja", template));
    }
    TextReader::new(files).unwrap()
}

fn samples(reader: &TextReader, records: &[Record], train_on: TrainOn) -> Vec<Sample> {
    let preparation = Preparation {
        train_on,
        ..Preparation::to_length(256)
    };
    let found = reader.samples(records, &preparation, "test").unwrap();
    found.samples
}

/// The text of the predicted tokens, and of the others.
fn predicted_and_context(reader: &TextReader, sample: &Sample) -> [String; 2] {
    [true, false].map(|value| {
        let tokens = sample.tokens().iter().zip(sample.loss_mask());
        let ids = tokens.filter(|&(_, &predicted)| predicted == value);
        let ids: Vec<u32> = ids.map(|(&id, _)| id).collect();
        reader.tokenizer().decode_all(&ids).unwrap()
    })
}

/// The tokens of a text and the end token after them.
fn with_end(reader: &TextReader, text: &str) -> Vec<u32> {
    let mut tokens = reader.tokenizer().encode(text).unwrap();
    tokens.extend(reader.end_token());
    tokens
}

#[test]
fn texts_that_are_not_truncated_end_with_the_end_token() {
    let reader = reader(None);
    let end = reader.end_token().unwrap();
    let bare = reader.tokenizer().encode(TEXTS[0]).unwrap();
    let tokens = |text: &str, max_length: usize, end_token| {
        let preparation = Preparation {
            end_token,
            ..Preparation::to_length(max_length)
        };
        let found = reader.samples_of_texts(&[text], &preparation, "test");
        let found = found.unwrap();
        assert_eq!(
            found.texts[0].cut,
            found.samples[0].len() < bare.len() || max_length == bare.len()
        );
        found.samples[0].clone()
    };
    let whole = tokens(TEXTS[0], 64, EndToken::Auto);
    assert_eq!(whole.tokens(), [&bare[..], &[end]].concat());
    assert_eq!(whole.predicted_tokens(), bare.len());
    let marked = format!("{}<|endoftext|>", TEXTS[0]);
    assert_eq!(tokens(&marked, 64, EndToken::Auto), whole);
    assert_eq!(tokens(TEXTS[0], bare.len(), EndToken::Auto).tokens(), bare);
    assert_eq!(tokens(TEXTS[0], 5, EndToken::Auto).tokens(), &bare[..5]);
    assert_eq!(tokens(TEXTS[0], 64, EndToken::Never).tokens(), bare);
    let completion = Record::Completion {
        prompt: "Findings:".to_string(),
        completion: " worn.".to_string(),
    };
    let preparation = Preparation {
        end_token: EndToken::Never,
        ..Preparation::to_length(64)
    };
    let found = reader.samples(&[completion], &preparation, "test").unwrap();
    assert_ne!(found.samples[0].tokens().last(), Some(&end));
}

#[test]
fn an_error_says_why_no_sample_is_left() {
    let reader = reader(Some(TEMPLATE));
    let error = |records: &[Record], max_length: usize| {
        let preparation = Preparation::to_length(max_length);
        let found = reader.samples(records, &preparation, "a.jsonl");
        found.unwrap_err().to_string()
    };
    let long = Record::Completion {
        prompt: "word ".repeat(20),
        completion: " worn.".to_string(),
    };
    let message = error(&[long], 8);
    assert!(
        message.contains("no answer is left of its 1 text within max_length (8 tokens)"),
        "{message}"
    );
    let place = minift::text::Place {
        path: Path::new("a.jsonl").into(),
        line: 1,
    };
    let unanswered = Record::Conversation {
        messages: vec![json!({"role": "user", "content": "Why?"})],
        tools: None,
        place,
    };
    let message = error(&[unanswered.clone(), unanswered], 64);
    assert!(
        message.contains("role assistant to predict in its 2 conversations"),
        "{message}"
    );
    let message = error(&[], 64);
    assert!(message.ends_with("it contains no text"), "{message}");
}

#[test]
fn questions_without_a_chat_template_are_counted() {
    let options = ReadOptions::default();
    let line = br#"{"question": "Why?", "answer": "Worn."}"#;
    let records = parse_records(line, "a.jsonl", &options).unwrap().records;
    for (template, expected) in [(None, 1), (Some(TEMPLATE), 0)] {
        let reader = reader(template);
        let found = reader.samples(&records, &Preparation::to_length(64), "test");
        assert_eq!(found.unwrap().without_template, expected);
    }
}

#[test]
fn every_format_yields_the_same_samples() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    };
    let objects = TEXTS.map(|text| json!({ "text": text }));
    let lines = objects.clone().map(|object| object.to_string()).join("\n");
    let quoted = TEXTS.map(|text| format!("\"{}\"", text.replace('"', "\"\"")));
    for (number, text) in TEXTS.iter().enumerate() {
        write(&format!("texts/{number}.md"), text.to_string());
        write(
            &format!("parts/{number}.jsonl"),
            json!({ "text": text }).to_string(),
        );
    }
    let forms = [
        write("a.txt", TEXTS.join("\n\n")),
        write("a.jsonl", lines.clone()),
        write("a.ndjson", lines),
        write("a.json", Value::from(objects.to_vec()).to_string()),
        write(
            "a.csv",
            format!(
                "id,text\n{}\n",
                quoted.clone().map(|text| format!("7,{text}")).join("\n")
            ),
        ),
        write("a.tsv", format!("text\n{}\n", quoted.join("\n"))),
        folder.path().join("texts"),
        folder.path().join("parts/*.jsonl"),
    ];
    let reader = reader(None);
    let expected: Vec<Sample> = TEXTS
        .iter()
        .map(|text| Sample::new(with_end(&reader, text)))
        .collect();
    for form in forms {
        let found = read_records(&form, &ReadOptions::default()).unwrap();
        let found = samples(&reader, &found.records, TrainOn::Answers);
        assert_eq!(found, expected, "{}", form.display());
    }
}

#[test]
fn completions_and_their_end_token_are_predicted() {
    let reader = reader(None);
    let record = Record::Completion {
        prompt: "Complaint: the bell does not ring.\nFindings:".to_string(),
        completion: " clapper bent.".to_string(),
    };
    let found = samples(&reader, std::slice::from_ref(&record), TrainOn::Answers);
    let [answers, given] = predicted_and_context(&reader, &found[0]);
    assert_eq!(answers, " clapper bent.<|endoftext|>");
    assert_eq!(
        given,
        "<|endoftext|>Complaint: the bell does not ring.\nFindings:"
    );
    let all = samples(&reader, &[record], TrainOn::All);
    assert_eq!(all[0].tokens(), found[0].tokens());
    assert_eq!(all[0].predicted_tokens(), all[0].len() - 1);
}

#[test]
fn assistant_messages_are_predicted() {
    let lines = json!({"messages": [
        {"role": "system", "content": "You mend bikes."},
        {"role": "user", "content": "It squeaks."},
        {"role": "assistant", "content": "Oil the chain."},
        {"role": "user", "content": "Thanks."},
        {"role": "assistant", "content": "Ride safely."},
    ]});
    let path = Path::new("chat.jsonl");
    let records = parse_records(lines.to_string().as_bytes(), path, &ReadOptions::default());
    let records = records.unwrap().records;
    let with_template = reader(Some(TEMPLATE));
    let found = samples(&with_template, &records, TrainOn::Answers);
    let [answers, given] = predicted_and_context(&with_template, &found[0]);
    assert_eq!(
        answers,
        "Oil the chain.<|im_end|>\nRide safely.<|im_end|>\n"
    );
    assert!(
        given.contains("It squeaks.") && given.contains("You mend bikes."),
        "{given}"
    );
    let all = samples(&with_template, &records, TrainOn::All);
    assert_eq!(all[0].predicted_tokens(), found[0].len() - 1);

    let rejected = |reader: &TextReader| {
        let preparation = Preparation::to_length(256);
        let error = reader.samples(&records, &preparation, "test").unwrap_err();
        error.to_string()
    };
    let none = rejected(&reader(None));
    assert!(none.contains("no chat template"), "{none}");
    let strict = "{{ raise_exception('roles must alternate') }}";
    let error = rejected(&reader(Some(strict)));
    assert!(
        error.contains("chat.jsonl:1") && error.contains("roles must alternate"),
        "{error}"
    );
    let broken = rejected(&reader(Some("{% for %}")));
    assert!(broken.contains("chat_template.jinja"), "{broken}");
}

#[test]
fn windows_predict_every_token_of_a_long_text_once() {
    let reader = reader(None);
    let text = minift::demo::tales().unwrap()[..20].join("\n\n");
    let whole = with_end(&reader, &text);
    let prepare = |record: Record, long_texts| {
        let preparation = Preparation {
            long_texts,
            ..Preparation::to_length(64)
        };
        reader.samples(&[record], &preparation, "test").unwrap()
    };
    let cut = prepare(Record::Text(text.clone()), None);
    assert_eq!((cut.samples.len(), cut.texts[0].cut), (1, true));
    let all_predicted = |found: &Samples| {
        let mut predicted = Vec::new();
        for sample in &found.samples {
            assert!(sample.len() <= 64);
            let tokens = sample.tokens().iter().zip(sample.loss_mask());
            predicted.extend(
                tokens
                    .filter(|&(_, &predicted)| predicted)
                    .map(|(&id, _)| id),
            );
        }
        assert_eq!(predicted, whole[1..]);
    };
    all_predicted(&prepare(Record::Document(text.clone()), None));
    for overlap in [0, 1, 16, 63] {
        let windows = Some(LongTexts::Windows { overlap });
        all_predicted(&prepare(Record::Text(text.clone()), windows));
    }
}

#[test]
fn windows_that_cannot_advance_are_rejected() {
    let reader = reader(None);
    let text = minift::demo::tales().unwrap()[..20].join("\n\n");
    let records = [Record::Document(text.clone())];
    let windows = |overlap| Some(LongTexts::Windows { overlap });
    for (max_length, long_texts, setting) in [
        (0, None, "invalid max_length: 0"),
        (1, None, "invalid max_length: 1"),
        (1, Some(LongTexts::Cut), "invalid max_length: 1"),
        (0, windows(0), "invalid max_length: 0"),
        (1, windows(0), "invalid max_length: 1"),
        (1, windows(5), "invalid max_length: 1"),
        (64, windows(64), "invalid overlap: 64"),
        (64, windows(usize::MAX), "invalid overlap: "),
    ] {
        let preparation = Preparation {
            long_texts,
            ..Preparation::to_length(max_length)
        };
        let error = reader.samples(&records, &preparation, "test").unwrap_err();
        assert_eq!(error.kind(), "InvalidSetting", "{error}");
        assert!(error.to_string().starts_with(setting), "{error}");
    }
    let texts = [text];
    for max_length in [0, 1] {
        let found = reader.samples_of_texts(&texts, &Preparation::to_length(max_length), "test");
        assert_eq!(found.unwrap_err().kind(), "InvalidSetting");
    }
    let shortest = Preparation {
        long_texts: windows(1),
        ..Preparation::to_length(2)
    };
    let found = reader.samples(&records, &shortest, "test").unwrap();
    assert!(found.samples.iter().all(|sample| sample.len() == 2));
}

#[test]
fn the_cost_of_overlapping_windows_is_noted() {
    let folder = TempDir::new().unwrap();
    let text = minift::demo::tales().unwrap()[..20].join("\n");
    fs::write(folder.path().join("a.md"), text).unwrap();
    let note = |overlap: &str| {
        let arguments = [
            "data",
            "a.md",
            "--long-texts",
            "windows",
            "--overlap",
            overlap,
            "--max-length",
            "32",
        ];
        let (_, text) = minift(folder.path(), &arguments);
        text.lines()
            .find(|line| line.contains("--overlap"))
            .map(str::to_string)
    };
    let found = note("31").unwrap();
    assert!(
        found.contains("every token 3") && found.contains(" times"),
        "{found}"
    );
    assert_eq!(note("15"), None);
}

/// The JSON objects that the program prints, and its text output.
fn minift(folder: &Path, arguments: &[&str]) -> (Vec<Value>, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_minift"))
        .current_dir(folder)
        .args(arguments)
        .args(["--json", "--device", "cpu"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{text}");
    let lines = String::from_utf8(done.stdout).unwrap();
    let objects = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (objects.collect(), text)
}

#[test]
fn the_data_command_shows_the_loss_mask() {
    let folder = TempDir::new().unwrap();
    let line = |number: usize| {
        json!({"id": number, "prompt": format!("Bike {number}:"), "completion": " mended."})
            .to_string()
    };
    let lines: Vec<String> = (0..9).map(line).collect();
    fs::write(folder.path().join("a.jsonl"), lines.join("\n")).unwrap();
    let (objects, text) = minift(folder.path(), &["data", "a.jsonl"]);
    let found = objects.last().unwrap();
    assert_eq!(found["text"]["samples"], 9);
    assert_eq!(found["shown"].as_array().unwrap().len(), 3);
    assert_eq!(found["shown"][1][1]["text"], " mended.<|endoftext|>");
    assert_eq!(found["shown"][1][1]["predicted"], true);
    assert!(text.contains("Bike 4:⟦ mended.<|endoftext|>⟧"), "{text}");
    assert!(text.contains("key \"id\" is ignored"), "{text}");
}

#[test]
fn the_held_out_set_depends_on_the_seed_and_packed_samples_train() {
    let folder = TempDir::new().unwrap();
    let tickets = minift::demo::tickets().unwrap();
    let lines = |texts: &[String]| {
        let lines = texts
            .iter()
            .map(|text| json!({ "text": &text[..60] }).to_string());
        lines.collect::<Vec<_>>().join("\n")
    };
    fs::write(folder.path().join("a.jsonl"), lines(&tickets[..40])).unwrap();
    fs::write(folder.path().join("b.jsonl"), lines(&tickets[40..60])).unwrap();
    let train = |seed: &str, out: &str, more: &[&str]| {
        let arguments = [
            &[
                "train",
                "--data",
                "a.jsonl",
                "b.jsonl",
                "--general",
                "b.jsonl",
                "--epochs",
                "1",
            ],
            &["--seed", seed, "--out", out][..],
            more,
        ];
        let (objects, _) = minift(folder.path(), &arguments.concat());
        let started = objects
            .iter()
            .find(|object| object["event"] == "started")
            .unwrap();
        (started.clone(), objects.last().unwrap().clone())
    };
    let (started, first) = train("1", "one", &[]);
    assert_eq!(started["setup"]["train"]["texts"], 54);
    assert_eq!(started["setup"]["domain"]["texts"], 6);
    assert!(started["memory"]["total"].as_u64().unwrap() > 0);
    let (_, again) = train("1", "again", &[]);
    let before = |done: &Value| done["domain_perplexity_before"].as_f64().unwrap();
    assert_eq!(before(&first), before(&again));
    let (_, other) = train("2", "other", &[]);
    assert_ne!(before(&first), before(&other));
    let (packed, done) = train("1", "packed", &["--pack"]);
    assert!(packed["steps"].as_u64().unwrap() < started["steps"].as_u64().unwrap());
    let after = done["domain_perplexity_after"].as_f64().unwrap();
    assert!(after < before(&done), "{done}");
}
