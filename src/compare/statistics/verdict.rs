//! The results of a domain in sentences.

use super::super::cells::Plan;
use super::rank_correlation::rank_correlation;
use super::{BOUND, Best, Ratio, Summary, best_within_bound, format_number, main_of, title};
use crate::error::counted;
use crate::kernels::distillation::{Method, Objective};
use crate::train::TrainSettings;

/// Describes the results of a domain in sentences.
pub fn verdict(summary: &Summary<'_>, plan: &Plan) -> Vec<String> {
    let mut sentences = Vec::new();
    sentences.extend(minifinetuning_against_finetuning(summary, plan));
    if let Some((budget, groups)) = summary.budgets.iter().next_back() {
        let best = Best::of(groups);
        if let Some(best) = best.ratio.map(|place| &groups[place]) {
            let ratio = match best.ratio {
                Ratio::NothingForgotten => "it forgot nothing".to_string(),
                _ => format!("S/DG is {}", format_number(best.ratio.rank())),
            };
            sentences.push(format!(
                "With {}, among the settings with at least half of the best gain, {} \
                 gains most per point forgotten: {ratio}.",
                counted(*budget, "sample"),
                title(best)
            ));
        }
    }
    let swept = summary.swept();
    if let Some((budget, groups)) = swept.and_then(|budget| summary.budgets.get_key_value(&budget))
    {
        let within = best_within_bound(groups);
        let bound = BOUND * 100.0;
        match &within[..] {
            [] => sentences.push(format!(
                "With {}, no setting kept the increase of general perplexity within {bound} %.",
                counted(*budget, "sample")
            )),
            [best, rest @ ..] => sentences.push(format!(
                "With {} and an increase of general perplexity of at most {bound} %, {} gains \
                 most: {:.2} nats per token{}.",
                counted(*budget, "sample"),
                title(best),
                best.gained.mean,
                rest.first().map_or_else(String::new, |next| format!(
                    ", followed by {} with {:.2}",
                    title(next),
                    next.gained.mean
                ))
            )),
        }
    }
    sentences.extend(divergence_against_forgetting(summary));
    sentences
}

/// Says how well the divergence on the domain, which needs no general text, predicts what is forgotten.
fn divergence_against_forgetting(summary: &Summary<'_>) -> Option<String> {
    let groups = summary.budgets.values().flatten();
    let pairs: Vec<(f64, f64)> = groups
        .filter_map(|group| Some((group.kl_divergence?.mean, group.forgotten.mean)))
        .collect();
    let correlation = rank_correlation(&pairs)?;
    Some(format!(
        "KL(base \u{2016} trained) on the domain orders the {} settings by what they forget with a rank correlation of \
         {correlation:.2}.",
        pairs.len()
    ))
}

/// Compares the gain per point forgotten of minifinetuning and finetuning at equal steps.
fn minifinetuning_against_finetuning(summary: &Summary<'_>, plan: &Plan) -> Option<String> {
    let plain = |matches: &dyn Fn(&Objective) -> bool| {
        plan.methods.iter().position(|method| {
            let TrainSettings {
                objective,
                adapter,
                replay_ratio,
                ewc,
                ..
            } = &method.settings;
            adapter.is_none() && *replay_ratio == 0.0 && *ewc == 0.0 && matches(objective)
        })
    };
    let finetuning = plain(&|objective| objective.target.method() == Method::Ft)?;
    let minifinetuning = plain(&|objective| objective.target.method() == Method::Mft)?;
    let mut parts = Vec::new();
    let (mut compared, mut below) = (0, 0);
    let mut name = None;
    for (budget, groups) in &summary.budgets {
        let of = |method| main_of(groups, method);
        let (Some(ft), Some(mft)) = (of(finetuning), of(minifinetuning)) else {
            continue;
        };
        name = Some(title(mft));
        // Where finetuning learns or forgets nothing, there is no ratio to compare with.
        parts.push(if ft.specialization.mean <= 0.0 {
            format!("finetuning learned nothing with {budget}")
        } else if ft.ratio == Ratio::NothingForgotten {
            format!("finetuning forgot nothing with {budget}")
        } else {
            compared += 1;
            let times = mft.ratio.rank() / ft.ratio.rank();
            if mft.specialization.mean <= 0.0 {
                below += 1;
                format!("nothing learned with {budget}")
            } else if mft.ratio == Ratio::NothingForgotten {
                format!("nothing forgotten with {budget}")
            } else {
                below += usize::from(times < 2.0);
                format!("{} times with {budget}", format_number(times))
            }
        });
    }
    let name = name?;
    let parts = format!("{} samples", parts.join(", "));
    Some(match (compared, below) {
        (0, _) => format!("{name} cannot be compared with finetuning by S/DG: {parts}."),
        (_, 0) => format!(
            "Per point of general perplexity lost, {name} gains at least twice as much as finetuning \
             with the same steps wherever both can be compared: {parts}."
        ),
        _ => format!(
            "Per point of general perplexity lost, {name} gains less than twice as much as finetuning \
             with the same steps on {below} of {compared} budgets: {parts}."
        ),
    })
}
