//! Files written by minift 0.1 are still read: a checkpoint, a `run.json` and a recipe.
#![allow(clippy::unwrap_used)]

use crate::common;

use std::path::Path;
use std::process::Command;

use common::{data, write_texts};
use minift::compare::Recipe;
use minift::model::adapter::AdapterSettings;
use minift::train::{Schedule, Strength, TrainSettings};
use safetensors::SafeTensors;
use serde_json::Value;

/// The options of the run that wrote `old/run.json` and, after step 6 of 9, `old/checkpoint`.
const OPTIONS: &str = "train --data train.txt --held-out held.txt --general general.txt --max-length 24 \
                       --batch-size 4 --adapter lora --rank 1 --schedule cosine --device cpu";

fn old(name: &str) -> Vec<u8> {
    std::fs::read(data("old").join(name)).unwrap()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_checkpoint_without_a_checksum_resumes_with_a_warning() {
    let checkpoint = old("checkpoint");
    let tensors = SafeTensors::deserialize(&checkpoint).unwrap();
    assert!(tensors.names().iter().all(|name| *name != "crc32"));

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_texts(folder);
    std::fs::write(folder.join("out.checkpoint"), checkpoint).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_minift"))
        .args(OPTIONS.split_whitespace())
        .args(["--out", "out", "--resume"])
        .env("RUST_LOG", "warn")
        .current_dir(folder)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("has no checksum"), "{errors}");

    // It ends where the old run ended.
    let found = json(&std::fs::read(folder.join("out/run.json")).unwrap());
    let (found, expected) = (&found["runs"][0], &json(&old("run.json"))["runs"][0]);
    let mut settings = expected["settings"].clone();
    // These are newer.
    settings["max_steps"] = Value::Null;
    settings["dial"] = "uniform".into();
    settings["sample_weights"] = "equal".into();
    assert_eq!(found["settings"], settings);
    let steps = expected["result"]["steps"].as_u64().unwrap() as usize;
    let losses = |run: &Value| -> Vec<f64> {
        let losses = run["losses"].as_array().unwrap().iter();
        losses.map(|loss| loss.as_f64().unwrap()).collect()
    };
    let (found_losses, expected_losses) = (losses(found), losses(expected));
    assert_eq!([found_losses.len(), expected_losses.len()], [steps; 2]);
    // The first 6 are in the checkpoint.
    assert_eq!(found_losses[..6], expected_losses[..6]);
    let perplexities = |run: &Value| {
        let result = &run["result"];
        ["domain_perplexity_after", "general_perplexity_after"]
            .map(|name| result[name].as_f64().unwrap())
    };
    let found = found_losses.into_iter().chain(perplexities(found));
    let expected = expected_losses.into_iter().chain(perplexities(expected));
    for (found, expected) in found.zip(expected) {
        // CPUs differ in the order of sums.
        assert!(
            (found - expected).abs() < 1e-4 * expected,
            "{found}, expected {expected}"
        );
    }
}

#[test]
fn settings_of_a_run_json_parse() {
    let titles = [
        ("run.json", "MFT τ 0.25 on LoRA"),
        ("run_ft.json", "FT + EWC λ 3 + replay 20 %"),
        ("run_constant.json", "constant α 0.4 on IA³"),
    ];
    for (name, title) in titles {
        let run = json(&old(name));
        let settings: TrainSettings =
            serde_json::from_value(run["runs"][0]["settings"].clone()).unwrap();
        settings.validate().unwrap();
        assert_eq!(settings.title(), title);
        assert_eq!((settings.batch_size, settings.epochs), (4, 3.0), "{name}");
    }
    let run = json(&old("run.json"));
    let settings: TrainSettings =
        serde_json::from_value(run["runs"][0]["settings"].clone()).unwrap();
    assert_eq!(settings.schedule, Schedule::Cosine);
    assert_eq!(Strength::of(&settings).value(&settings), 0.25);
    let Some(AdapterSettings::Lora(lora)) = settings.adapter else {
        panic!("{settings:?}");
    };
    assert_eq!(lora.rank, 1);
}

#[test]
fn a_recipe_parses() {
    let text = String::from_utf8(old("recipe.toml")).unwrap();
    let path = Path::new("recipe.toml");
    let recipe = Recipe::parse(&text, path).unwrap();
    assert_eq!(recipe.budgets, [125, 250]);
    let methods = recipe.methods(path).unwrap();
    let titles: Vec<String> = methods
        .iter()
        .map(|method| method.settings.title())
        .collect();
    assert_eq!(
        titles,
        [
            "FT",
            "MFT τ 0.25",
            "constant α 0.3",
            "FT on LoRA",
            "MFT τ 0.25 on DoRA",
            "MFT τ 0.25 on IA³",
            "MFT τ 0.25 + replay 25 %",
            "FT + EWC λ 10",
        ]
    );
    for method in &methods {
        assert_eq!(method.settings.schedule, Schedule::Linear);
        assert_eq!(method.settings.gradient_accumulation, 2);
        assert_eq!(method.sweep.len(), 2);
    }
}
