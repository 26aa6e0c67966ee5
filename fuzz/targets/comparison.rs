//! Recipes and results of comparisons.

use std::fs;
use std::path::Path;

use minift::compare::{Identity, Plan, Recipe, Record, Results};
use minift::eval::{Metrics, Perplexities};
use minift::train::{Evaluated, Strength, TrainSettings};

use super::check_error;

/// Reads a recipe. An accepted recipe can be planned, and its runs can be counted.
pub fn recipe(data: &[u8]) -> bool {
    let path = Path::new("recipe.toml");
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let recipe = match Recipe::parse(text, path) {
        Ok(recipe) => recipe,
        Err(error) => {
            check_error(&error, data.len());
            return false;
        }
    };
    let methods = recipe.methods(path).expect("the methods have been checked");
    match Plan::new(&recipe, methods) {
        Ok(plan) => {
            assert!(!plan.cells.is_empty());
            for cell in &plan.cells {
                assert!(
                    cell.settings.validate().is_ok() && cell.budget > 0,
                    "{cell:?}"
                );
                assert!(!cell.settings.title().is_empty());
            }
            true
        }
        Err(error) => {
            check_error(&error, data.len());
            false
        }
    }
}

/// Reads `results.jsonl`. Adding a record loses no other line, whether it is a record or not. The same bytes as the
/// file of a single training are a record or unreadable.
pub fn results(data: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("results.jsonl");
    fs::write(&file, data).unwrap();
    let mut found = Results::open(folder.path()).unwrap();
    let unread = found.unread();
    let lines = lines_of(data).len();
    found.begin(&[]).unwrap();
    found.add("unused", record()).unwrap();
    let written = fs::read(&file).unwrap();
    let (before, after) = (lines_of(data), lines_of(&written));
    assert_eq!(after.len(), lines + 1);
    assert_eq!(after[..lines], before, "lines are kept as they are");
    let again = Results::open(folder.path()).unwrap();
    assert_eq!(again.unread(), unread, "records stay records");
    assert!(again.find(&record().identity).is_some());

    let shared = tempfile::tempdir().unwrap();
    let mut found = Results::open(shared.path()).unwrap();
    found.begin_shared().unwrap();
    fs::write(shared.path().join("cells/any.json"), data).unwrap();
    found.add("one", record()).unwrap();
    let again = Results::open(shared.path()).unwrap();
    assert!(again.unread() <= 1);
    assert!(again.find(&record().identity).is_some());
    lines > unread
}

fn lines_of(bytes: &[u8]) -> Vec<&[u8]> {
    let lines = bytes.split(|&byte| byte == b'\n');
    lines.filter(|line| !line.is_empty()).collect()
}

fn record() -> Record {
    let (before, after) = ([9.5, 4.25], [6.5, 4.5]);
    let [before, after] = [before, after].map(|[domain, general]| Perplexities { domain, general });
    let settings = TrainSettings::default();
    Record {
        domain: "tickets".to_string(),
        method: "MFT".to_string(),
        title: settings.title(),
        strength: Strength::of(&settings),
        value: 0.25,
        budget: 100,
        seed: 7,
        before,
        after,
        metrics: Metrics::new(before, after),
        kl_divergence: Some(0.75),
        choices: None,
        steps: 39,
        seconds: 1.5,
        tokens_per_second: 1000.0,
        trainable_parameters: 360_000,
        evaluations: vec![
            Evaluated {
                step: 0,
                perplexities: before,
                kl_divergence: None,
            },
            Evaluated {
                step: 39,
                perplexities: after,
                kl_divergence: Some(0.75),
            },
        ],
        front: None,
        identity: Identity {
            fingerprint: "0123abcd".to_string(),
            choices: None,
            dial: vec![0.5],
            settings,
        },
    }
}

/// A record, a truncated one, and one with a number beyond the range of float32.
pub fn results_seeds() -> Vec<Vec<u8>> {
    let line = serde_json::to_string(&record()).unwrap();
    let beyond = line.replace(r#""tau":0.25"#, r#""tau":1e99"#);
    let other = line.replace("0123abcd", "00000000");
    vec![
        line.clone().into_bytes(),
        format!("{line}\n{other}\n{}", &line[..90]).into_bytes(),
        format!("{beyond}\n\n{line}\n").into_bytes(),
    ]
}
