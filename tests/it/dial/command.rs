//! `minift train` and `minift dial`.

use std::path::Path;
use std::process::{Command, Output};

use minift::device::Device;
use minift::model::CausalLm;
use serde_json::Value;

use crate::common::{names, values, write_texts};

fn minift(folder: &Path, arguments: &str) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_minift"))
        .args(arguments.split_whitespace())
        .args(["--device", "cpu"])
        .current_dir(folder)
        .output();
    output.unwrap()
}

/// Runs the program and returns what it printed.
fn printed(folder: &Path, arguments: &str) -> String {
    let output = minift(folder, arguments);
    assert!(output.status.success(), "{arguments}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(folder: &Path, arguments: &str) -> String {
    let output = minift(folder, arguments);
    assert!(!output.status.success(), "{arguments}");
    String::from_utf8(output.stderr).unwrap()
}

const TRAIN: &str = "train --data train.txt --held-out held.txt --general general.txt --max-length 24 \
                     --method ft --epochs 4 --batch-size 4";

fn report(folder: &Path, out: &str) -> Value {
    let json = std::fs::read(folder.join(out).join("run.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    json["runs"][0].clone()
}

fn weights(folder: &Path) -> Vec<Vec<f32>> {
    let model = CausalLm::load(folder, &Device::cpu()).unwrap();
    model.parameters().into_iter().map(values).collect()
}

#[test]
fn train_measures_a_front_and_dial_writes_any_of_its_points() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    write_texts(folder);
    let text = printed(folder, &format!("{TRAIN} --out full"));
    for words in [
        "gained, nats per token",
        "forgotten, nats per token",
        "of the training",
    ] {
        assert!(text.contains(words), "{text}");
    }
    let run = report(folder, "full");
    assert_eq!(
        (&run["weight"], &run["settings"]["dial"]),
        (&1.0.into(), &"uniform".into())
    );
    let points = run["front"]["points"].as_array().unwrap();
    let strengths: Vec<f64> = points
        .iter()
        .map(|point| point["weight"].as_f64().unwrap())
        .collect();
    assert!(strengths.is_sorted_by(|a, b| a < b), "{strengths:?}");
    assert_eq!(strengths.len(), 7, "{strengths:?}");
    for point in points {
        for key in [
            "weight",
            "domain",
            "general",
            "specialization",
            "degeneralization",
        ] {
            assert!(point[key].is_number(), "{point}");
        }
    }
    assert!(names(&folder.join("full")).contains(&"dial.svg".to_string()));
    let without = format!("{TRAIN} --out without --no-dial");
    assert!(!printed(folder, &without).contains("gained, nats"));
    let plain = report(folder, "without");
    assert!(plain["front"].is_null() && plain["settings"]["dial"].is_null());
    assert_eq!(plain["losses"], run["losses"]);

    // The record names the base model, here the embedded one.
    let texts = "--data held.txt --general general.txt --max-length 24";
    let text = printed(folder, &format!("dial --trained full {texts}"));
    assert!(
        text.contains("minift-tales-360k (embedded), named by run.json"),
        "{text}"
    );
    assert!(text.contains("Δ general"), "{text}");
    printed(folder, "dial --trained full --weight 0.5 --out half");
    printed(folder, "dial --trained full --weight 1 --out one");
    printed(folder, "dial --trained full --weight 0 --out zero");
    let base = CausalLm::embedded(&Device::cpu()).unwrap();
    let base: Vec<Vec<f32>> = base.parameters().into_iter().map(values).collect();
    assert_eq!(weights(&folder.join("zero")), base);
    assert_eq!(weights(&folder.join("one")), weights(&folder.join("full")));
    let half = weights(&folder.join("half"));
    let full = weights(&folder.join("full"));
    for ((half, full), base) in half.iter().zip(&full).zip(&base) {
        for ((half, full), base) in half.iter().zip(full).zip(base) {
            // Interpolated in float32, and saved in float16 as the model is.
            let expected = f32::midpoint(*full, *base);
            let rounding = expected.abs() * f32::powi(2.0, -11) + 1e-7;
            assert!((half - expected).abs() <= rounding, "{half} {expected}");
        }
    }

    // On its own general text the limit holds, and the front has the strength.
    let bounded = format!("dial --trained full {texts} --max-degeneralization 2% --out bounded");
    let text = printed(folder, &format!("{bounded} --json"));
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |kind: &str| {
        events
            .iter()
            .filter(|event| event["event"] == kind)
            .collect::<Vec<_>>()
    };
    let weight = of("dialled")[0]["weight"].as_f64().unwrap();
    assert!(weight > 0.0 && weight < 1.0, "{weight}");
    let points = of("front")[0]["front"]["points"].as_array().unwrap();
    let point = points
        .iter()
        .find(|point| point["weight"] == weight)
        .unwrap();
    let untouched = points[0]["general"].as_f64().unwrap();
    assert!(
        point["general"].as_f64().unwrap() <= 1.02 * untouched,
        "{point}"
    );
    assert!(!of("trial").is_empty());
    assert!(names(&folder.join("bounded")).contains(&"dial.svg".to_string()));
}

#[test]
fn an_adapter_stays_an_adapter_and_keeps_its_format() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    write_texts(folder);
    printed(
        folder,
        &format!("{TRAIN} --adapter lora --no-dial --out adapter"),
    );
    printed(
        folder,
        "dial --adapter-dir adapter --weight 0.25 --out quarter",
    );
    let config = std::fs::read(folder.join("quarter/adapter_config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["lora_alpha"], 4);
    printed(
        folder,
        "dial --adapter-dir adapter --weight 0.25 --by-depth --out deep",
    );
    let config = std::fs::read(folder.join("deep/adapter_config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(
        config["alpha_pattern"]["model.layers.0.self_attn.q_proj"],
        4
    );
    printed(
        folder,
        "eval --adapter-dir deep --data held.txt --max-length 24",
    );
}

/// One training, searched over its strengths on the validation set; the present search over trainings stays.
#[test]
fn a_bound_is_met_by_one_training() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    write_texts(folder);
    let bounded = format!("{TRAIN} --validation general.txt --max-degeneralization 3%");
    let text = printed(folder, &format!("{bounded} --out dialled"));
    assert!(text.contains("Selected w "), "{text}");
    let run = report(folder, "dialled");
    let search = &run["search"];
    assert_eq!(
        (&search["over"], &search["profile"]),
        (&"dial".into(), &"uniform".into())
    );
    assert_eq!(run["weight"], search["taken"]["weight"]);
    let weight = run["weight"].as_f64().unwrap();
    assert!(weight > 0.0 && weight < 1.0, "{run}");
    // The general set is the validation set here, so that its perplexity is within the bound.
    let number = |key: &str| run["result"][key].as_f64().unwrap();
    let share = number("general_perplexity_after") / number("general_perplexity_before") - 1.0;
    assert!(share <= 0.03 && share > 0.0, "{share}");
    assert_eq!(
        search["taken"]["general"],
        run["result"]["general_perplexity_after"]
    );
    // One training, whose last evaluation is at full strength.
    let evaluations = run["evaluations"].as_array().unwrap();
    assert_eq!(evaluations.len(), 2);
    assert!(evaluations[1]["general"].as_f64().unwrap() > number("general_perplexity_after"));
    let points = run["front"]["points"].as_array().unwrap();
    assert!(points.iter().any(|point| point["weight"] == weight));

    let text = printed(
        folder,
        &format!("{bounded} --search trainings --no-dial --out searched"),
    );
    assert!(text.contains("searching for the strongest"), "{text}");
    let run = report(folder, "searched");
    assert_eq!(
        (&run["search"]["over"], &run["weight"]),
        (&"trainings".into(), &1.0.into())
    );
}

#[test]
fn faults_are_named() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    write_texts(folder);
    let tiny = |name: &str| crate::common::data("tiny").join(name).display().to_string();
    std::fs::create_dir(folder.join("empty")).unwrap();
    for (arguments, words) in [
        (
            "dial --weight 0.5 --out o".to_string(),
            ["--trained", "required"],
        ),
        (
            "dial --trained empty".to_string(),
            ["weight (--weight): not given", "--general"],
        ),
        (
            "dial --trained empty --weight 0.5".to_string(),
            ["out (--out): not given", "chosen strength"],
        ),
        (
            "dial --trained empty --data held.txt --general general.txt --out o".to_string(),
            ["out (--out): o", "--max-degeneralization"],
        ),
        (
            "dial --trained empty --weight 0.5 --out o".to_string(),
            ["model (--model): not given", "run.json"],
        ),
        (
            "dial --trained empty --max-degeneralization 5% --out o".to_string(),
            ["--general", "required"],
        ),
        (
            format!(
                "dial --model {0} --trained {0} --weight 2 --out o",
                tiny("smollm2")
            ),
            ["tokenizer.json", "missing"],
        ),
    ] {
        let message = refused(folder, &arguments);
        for word in words {
            assert!(message.contains(word), "{arguments}: {message}");
        }
        assert!(!folder.join("o").exists());
    }
    printed(folder, &format!("{TRAIN} --no-dial --out full"));
    let message = refused(folder, "dial --trained full --weight 2 --out o");
    assert!(
        message.contains("weight (--weight): 2, expected 0 to 1"),
        "{message}"
    );
    let message = refused(folder, &format!("{TRAIN} --no-dial --by-depth --out o"));
    assert!(message.contains("--by-depth"), "{message}");
}
