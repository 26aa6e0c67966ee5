//! Data in every form: the same text is the same samples, what is trained is what was written by whom
//! it should be, and long texts lose nothing.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use minift::data::{
    LongTexts, Preparation, ReadOptions, Record, Sample, Samples, TrainOn, parse_records,
    read_records,
};
use minift::model::{FileBytes, ModelFiles, TextReader};
use serde_json::{Value, json};
use tempfile::TempDir;

const TEXTS: [&str; 3] = [
    "The front wheel is bent, \"badly\".",
    "The chain slips;\nthe cassette is worn.",
    "Brake pads worn, rotor scored.",
];

/// ChatML, as many small models have it.
const TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + \
                        message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}\
                        {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// The embedded model's configuration and tokenizer, with a chat template or without.
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

/// The text of the tokens that are to be predicted, and of the others.
fn learnt(reader: &TextReader, sample: &Sample) -> [String; 2] {
    [true, false].map(|wanted| {
        let tokens = sample.tokens().iter().zip(sample.predicted());
        let ids = tokens.filter(|&(_, &predicted)| predicted == wanted);
        let ids: Vec<u32> = ids.map(|(&id, _)| id).collect();
        reader.tokenizer().decode_all(&ids).unwrap()
    })
}

#[test]
fn the_same_texts_in_every_form_are_the_same_samples() {
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
        .map(|text| Sample::new(reader.tokenizer().encode(text).unwrap()))
        .collect();
    for form in forms {
        let found = read_records(&form, &ReadOptions::default()).unwrap();
        let found = samples(&reader, &found.records, TrainOn::Answers);
        assert_eq!(found, expected, "{}", form.display());
    }
}

#[test]
fn of_prompts_only_completions_are_learnt_and_that_they_end() {
    let reader = reader(None);
    let record = Record::Completion {
        prompt: "Complaint: the bell does not ring.\nFindings:".to_string(),
        completion: " clapper bent.".to_string(),
    };
    let found = samples(&reader, std::slice::from_ref(&record), TrainOn::Answers);
    let [answers, given] = learnt(&reader, &found[0]);
    assert_eq!(answers, " clapper bent.<|endoftext|>");
    assert_eq!(
        given,
        "<|endoftext|>Complaint: the bell does not ring.\nFindings:"
    );
    let all = samples(&reader, &[record], TrainOn::All);
    assert_eq!(all[0].tokens(), found[0].tokens());
    assert_eq!(all[0].positions(), all[0].len() - 1);
}

#[test]
fn of_conversations_only_what_the_assistant_says_is_learnt() {
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
    let [answers, given] = learnt(&with_template, &found[0]);
    assert_eq!(
        answers,
        "Oil the chain.<|im_end|>\nRide safely.<|im_end|>\n"
    );
    assert!(
        given.contains("It squeaks.") && given.contains("You mend bikes."),
        "{given}"
    );
    let all = samples(&with_template, &records, TrainOn::All);
    assert_eq!(all[0].positions(), found[0].len() - 1);

    let refused = |reader: &TextReader| {
        let preparation = Preparation::to_length(256);
        let error = reader.samples(&records, &preparation, "test").unwrap_err();
        error.to_string()
    };
    let none = refused(&reader(None));
    assert!(none.contains("no chat template"), "{none}");
    let strict = "{{ raise_exception('roles must alternate') }}";
    let error = refused(&reader(Some(strict)));
    assert!(
        error.contains("chat.jsonl:1") && error.contains("roles must alternate"),
        "{error}"
    );
    let broken = refused(&reader(Some("{% for %}")));
    assert!(broken.contains("chat_template.jinja"), "{broken}");
}

#[test]
fn windows_lose_no_token_of_a_long_text() {
    let reader = reader(None);
    let text = minift::demo::tales().unwrap()[..20].join("\n\n");
    let whole = reader.tokenizer().encode(&text).unwrap();
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
            let tokens = sample.tokens().iter().zip(sample.predicted());
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
    let too_much = Preparation {
        long_texts: Some(LongTexts::Windows { overlap: 64 }),
        ..Preparation::to_length(64)
    };
    assert!(
        reader
            .samples(&[Record::Text(text)], &too_much, "test")
            .is_err()
    );
}

/// The last JSON object that the program prints, and what it says to people.
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
fn the_data_command_shows_what_is_masked() {
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
fn a_seed_chooses_what_is_held_out_and_packed_samples_train() {
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
