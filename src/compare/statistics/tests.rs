use std::path::Path;

use super::super::recipe::Recipe;
use super::super::record::Identity;
use super::*;
use crate::eval::{Metrics, Perplexities};

const RECIPE: &str = r#"
budgets = [10]
seeds = [0, 1]
[[domain]]
name = "a"
data = "a.txt"
[[method]]
name = "FT"
method = "ft"
[[method]]
name = "MFT"
method = "mft"
sweep = [0.01]
"#;

/// A record with the given perplexities after training; before they are 100 and 20.
fn record(cell: &Cell, plan: &Plan, [domain, general]: [f64; 2]) -> Record {
    let before = Perplexities {
        domain: 100.0,
        general: 20.0,
    };
    let after = Perplexities { domain, general };
    Record {
        domain: "a".to_string(),
        method: String::new(),
        title: cell.settings.title(),
        strength: plan.methods[cell.method].strength,
        value: cell.value,
        budget: cell.budget,
        seed: cell.seed,
        before,
        after,
        metrics: Metrics::new(before, after),
        kl_divergence: (cell.seed == 0).then_some(0.5),
        choices: None,
        steps: 1,
        seconds: 1.0,
        tokens_per_second: 1.0,
        trainable_parameters: 1,
        evaluations: Vec::new(),
        front: None,
        identity: Identity::new(cell, String::new(), &recipe()),
    }
}

fn recipe() -> Recipe {
    Recipe::parse(RECIPE, Path::new("")).unwrap()
}

fn plan() -> Plan {
    let recipe = recipe();
    Plan::new(&recipe, recipe.methods(Path::new("")).unwrap()).unwrap()
}

/// Perplexities of FT, MFT 0.25 and MFT 0.01 with seeds 0 and 1.
fn with_summary(after: [[[f64; 2]; 2]; 3], check: impl FnOnce(&Plan, &Summary<'_>)) {
    let plan = plan();
    let find = |cell: &Cell| match (cell.method, cell.main) {
        (0, _) => after[0][cell.seed as usize],
        (_, true) => after[1][cell.seed as usize],
        (_, false) => after[2][cell.seed as usize],
    };
    let records: Vec<Record> = plan
        .cells
        .iter()
        .map(|cell| record(cell, &plan, find(cell)))
        .collect();
    let pairs: Vec<(&Cell, &Record)> = plan.cells.iter().zip(&records).collect();
    check(&plan, &summarize(&plan, &pairs)[0]);
}

const FT: [[f64; 2]; 2] = [[40.0, 26.0], [40.0, 30.0]];
const MFT: [[f64; 2]; 2] = [[50.0, 20.4], [50.0, 20.6]];
const WEAK: [[f64; 2]; 2] = [[95.0, 19.9], [95.0, 20.0]];

#[test]
fn spread_has_mean_and_sample_deviation() {
    let spread = Spread::of(&[1.0, 2.0, 6.0]);
    assert_eq!(spread.mean, 3.0);
    assert!((spread.deviation.unwrap() - 7.0_f64.sqrt()).abs() < 1e-12);
    assert_eq!(Spread::of(&[4.0]).deviation, None);
}

#[test]
fn best_settings_have_learned_and_stay_within_the_bound() {
    with_summary([FT, MFT, WEAK], |plan, summary| {
        let groups = &summary.budgets[&10];
        let titles: Vec<String> = groups.iter().map(title).collect();
        assert_eq!(titles, ["FT (lr 1e-3)", "MFT (τ 0.01)", "MFT (τ 0.25)"]);
        // The weakest setting forgot nothing and learned nothing.
        assert_eq!(groups[1].ratio, Ratio::NothingForgotten);
        let best = Best::of(groups);
        assert_eq!(best.specialization, Some(0));
        assert_eq!((best.degeneralization, best.ratio), (Some(2), Some(2)));
        let Ratio::Number(ratio) = groups[0].ratio else {
            panic!("{:?}", groups[0].ratio);
        };
        assert!((ratio.mean - (60.0 / 6.0 + 60.0 / 10.0) / 2.0).abs() < 1e-12);

        let within: Vec<String> = best_within_bound(groups).into_iter().map(title).collect();
        assert_eq!(within, ["MFT (τ 0.25)"]);
        let text = verdict(summary, plan).join(" ");
        for part in [
            "at least twice as much as finetuning",
            "13.0 times",
            "MFT (τ 0.25) gains most",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    });
}

#[test]
fn the_verdict_reports_results_against_minifinetuning() {
    with_summary([FT, FT, FT], |plan, summary| {
        let text = verdict(summary, plan).join(" ");
        assert!(text.contains("less than twice as much"), "{text}");
        assert!(text.contains("on 1 of 1 budgets"), "{text}");
        assert!(
            text.contains("no setting kept the increase of general perplexity within 10 %"),
            "{text}"
        );
    });
    let unforgetting = [[40.0, 19.0], [40.0, 20.0]];
    with_summary([unforgetting, MFT, WEAK], |plan, summary| {
        let text = verdict(summary, plan).join(" ");
        assert!(text.contains("finetuning forgot nothing with 10"), "{text}");
    });
    let half = [[40.0, 19.0], [40.0, 23.0]];
    with_summary([half, MFT, WEAK], |_, summary| {
        let expected = Ratio::OfMeans {
            ratio: 60.0,
            nothing_forgotten: 1,
        };
        assert_eq!(summary.budgets[&10][0].ratio, expected);
    });
}
