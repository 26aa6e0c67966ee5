//! Invalid recipes of comparisons.

use std::path::Path;

use minift::compare::Recipe;

use super::{Scratch, no_faults, refusal};

const RECIPE: &str = r#"
budgets = [2]
seeds = [0]
max_length = 16
general = "general.txt"
[[domain]]
name = "repairs"
data = "domain.txt"
[[method]]
name = "FT"
method = "ft"
"#;

const COMPARE: [&str; 5] = ["compare", "--recipe", "recipe.toml", "--out", "out"];

/// Text to replace in the recipe, its replacement, and fragments of the message.
type Change<'a> = (&'a str, &'a str, &'a [&'a str]);

/// Returns the recipe with a replacement.
fn changed(from: &str, to: &str) -> String {
    let recipe = RECIPE.replacen(from, to, 1);
    assert_ne!(recipe, RECIPE, "{from}");
    recipe
}

#[test]
fn invalid_recipes_are_rejected() {
    let cases: &[Change<'_>] = &[
        (
            "seeds",
            "sedes",
            &["recipe.toml", "line 3", "did you mean seeds?"],
        ),
        (
            "method = ",
            "metod = ",
            &["line 11", "did you mean method?"],
        ),
        ("[[domain]]", "[[domains]]", &["did you mean domain?"]),
        ("\"ft\"", "\"sft\"", &["line 11", "sft", "mft"]),
        ("budgets = [2]", "", &["budgets"]),
        ("[2]", "[]", &["budgets is empty"]),
        ("[2]", "[-2]", &["line 2", "-2"]),
        ("[2]", "[2", &["line 3", "comma"]),
        ("general.txt", "self", &["general", "embedded"]),
        (
            "\"ft\"",
            "\"ft\"\nepocs = 3",
            &["line 12", "did you mean epochs?"],
        ),
        ("\"ft\"", "\"ft\"\nlr = 0", &["\"FT\"", "learning_rate: 0"]),
        (
            "\"ft\"",
            "\"ft\"\nsweep = [-1]",
            &["\"FT\"", "learning_rate: -1"],
        ),
        (
            "\"ft\"",
            "\"ft\"\nadapter = \"lora\"\nrank = 0",
            &["rank: 0"],
        ),
        (
            "\"ft\"",
            "\"ft\"\nreplay_ratio = 0.5\n[training]\nepochs = 0",
            &["\"FT\"", "epochs: 0"],
        ),
        (
            "\"ft\"",
            "\"ft\"\nreplay_ratio = 1",
            &["replay_ratio: 1", "below 1"],
        ),
    ];
    no_faults(cases.iter().map(|&(from, to, fragments)| {
        let read = Recipe::parse(&changed(from, to), Path::new("recipe.toml"));
        (format!("{from} → {to}"), refusal(read, fragments))
    }));
    Recipe::parse(RECIPE, Path::new("recipe.toml")).unwrap();
}

/// Recipes that parse, but whose models or texts are unusable.
#[test]
fn recipes_with_unusable_models_or_texts_are_rejected() {
    let cases: &[Change<'_>] = &[
        (
            "seeds",
            "sedes",
            &["recipe.toml", "line 3", "did you mean seeds?"],
        ),
        ("[2]", "[4]", &["4 samples", "\"repairs\"", "3 usable"]),
        (
            "domain.txt",
            "nowhere.txt",
            &["nowhere.txt", "No such file"],
        ),
        (
            "max_length = 16",
            "max_length = 1",
            &["max_length: 1", "2 to 256"],
        ),
        ("seeds", "model = \"nowhere\"\nseeds", &["nowhere"]),
        (
            "data = \"domain.txt\"",
            "data = \"domain.txt\"\nhold_out = 4",
            &["hold_out: 4", "1 to 3", "repairs"],
        ),
        (
            "\"ft\"",
            "\"ft\"\nadapter = \"lora\"\ntarget_modules = [\"q_porj\"]",
            &["\"FT\"", "q_porj", "q_proj"],
        ),
    ];
    no_faults(cases.iter().map(|&(from, to, fragments)| {
        let scratch = Scratch::new();
        scratch.write("recipe.toml", changed(from, to));
        let fault = scratch.fault(fragments, |scratch| scratch.minift(&COMPARE));
        (format!("{from} → {to}"), fault)
    }));

    let scratch = Scratch::with_old_output();
    scratch.write("recipe.toml", RECIPE);
    let fault = scratch.fault(&["out", "results.jsonl"], |scratch| {
        scratch.minift(&COMPARE)
    });
    no_faults([("another folder".to_string(), fault)]);
    let scratch = Scratch::new();
    let fault = scratch.fault(&["recipe.toml", "No such file"], |s| s.minift(&COMPARE));
    no_faults([("no recipe".to_string(), fault)]);
}
