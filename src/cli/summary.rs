//! The summary of a run: table, verdict and continuations.

use super::output::{Output, counted, thousands};
use crate::compare::{self, BOUNDS, Cell, EqualForgetting, Plan, Ratio, Record};
use crate::eval::{Metrics, Perplexities};
use crate::train::TeacherCache;
use crate::train::report::{Continuation, Done};

/// A row of the table.
pub(super) struct Row<'a> {
    pub name: String,
    pub perplexities: Perplexities,
    pub done: Option<&'a Done>,
    /// Whether the general text is also trained on, and so does not measure forgetting.
    pub trained_on_general: bool,
}

impl<'a> Row<'a> {
    pub(super) fn base(perplexities: Perplexities) -> Self {
        Self {
            name: "base model".to_string(),
            perplexities,
            done: None,
            trained_on_general: false,
        }
    }

    pub(super) fn trained(name: String, done: &'a Done) -> Self {
        Self {
            name,
            perplexities: Perplexities {
                domain: done.domain_perplexity_after,
                general: done.general_perplexity_after,
            },
            done: Some(done),
            trained_on_general: false,
        }
    }
}

/// Prints perplexities, gain and cost, one line per model.
pub(super) fn table(output: &Output, rows: &[Row<'_>]) {
    let width = rows
        .iter()
        .map(|row| row.name.chars().count())
        .max()
        .unwrap_or(0);
    output.text(format!(
        "\n{:width$}  {:>8}  {:>8}  {:>8}  {:>8}  {:>18}  {:>8}  {:>9}  {:>6}",
        "perplexity", "domain", "general", "S", "DG", "S/DG", "Δ domain", "Δ general", "KL"
    ));
    for row in rows {
        let Perplexities { domain, general } = row.perplexities;
        let mut line = format!(
            "{:width$}  {:>8}  {:>8}",
            row.name,
            perplexity(domain),
            perplexity(general)
        );
        if let Some(done) = row.done {
            // In a foreign domain S is nearly the same for all; nats per token tell them apart.
            let nats = |after: f64, before: f64| (after / before).ln();
            line.push_str(&format!(
                "  {:>8}  {:>8}  {:>18}  {:>+8.2}  {:>+9.2}  {:>6}",
                perplexity(done.specialization),
                perplexity(done.degeneralization),
                match row.trained_on_general {
                    true => "not measured".to_string(),
                    false => metrics(done).ratio_in_words(),
                },
                nats(domain, done.domain_perplexity_before),
                nats(general, done.general_perplexity_before),
                divergence(done.kl_divergence),
            ));
        }
        output.text(line);
    }
    output.text(
        "S: decrease of domain perplexity; DG: increase of general perplexity; Δ: change of the loss in nats per token; \
         KL: divergence from the base model on the domain in nats per token",
    );
}

/// Formats KL(untouched ‖ trained), or that it is not measured.
fn divergence(found: Option<f64>) -> String {
    found.map_or_else(|| "-".to_string(), |found| format!("{found:.3}"))
}

/// Formats a perplexity or a difference of two; those of a diverged model have hundreds of digits.
pub(super) fn perplexity(value: f64) -> String {
    match value.abs() {
        large if large.is_finite() && large >= 1e5 => format!("{value:.1e}"),
        _ => format!("{value:.2}"),
    }
}

/// Compares minifinetuning with finetuning in a sentence.
pub(super) fn verdict(finetuning: &Done, minifinetuning: &Done) -> String {
    let share = 100.0 * minifinetuning.specialization / finetuning.specialization;
    match (finetuning.ratio, minifinetuning.ratio) {
        _ if finetuning.specialization <= 0.0 => {
            "Finetuning did not improve on this text: nothing to compare.".to_string()
        }
        (_, None) => format!(
            "Minifinetuning gained {share:.0} % of what finetuning gained and forgot nothing."
        ),
        (None, Some(_)) => {
            "Finetuning forgot nothing here: minifinetuning is not needed.".to_string()
        }
        (Some(finetuning), Some(minifinetuning)) => format!(
            "Minifinetuning gained {share:.0} % of what finetuning gained, and {:.1} times as much \
             per point forgotten.",
            minifinetuning / finetuning
        ),
    }
}

/// Prints the main setting of each method on the largest budget of each domain, and the verdict.
pub(super) fn comparison(output: &Output, plan: &Plan, records: &[(&Cell, &Record)]) {
    for summary in compare::summarize(plan, records) {
        let Some((budget, groups)) = summary.budgets.iter().next_back() else {
            continue;
        };
        let shown: Vec<_> = groups.iter().filter(|group| group.cell.main).collect();
        let titles = shown
            .iter()
            .map(|group| compare::title(group).chars().count());
        let width = titles
            .max()
            .unwrap_or(0)
            .max(summary.domain.chars().count() + 14);
        let has_choices = shown.iter().any(|group| group.choice_accuracy.is_some());
        let heading = format!("{}, {}", summary.domain, counted(*budget, "sample"));
        output.text(format!(
            "\n{heading:width$}  {:>8}  {:>8}  {:>18}  {:>8}  {:>9}  {:>6}{}",
            "S",
            "DG",
            "S/DG",
            "Δ domain",
            "Δ general",
            "KL",
            if has_choices { "   right choices" } else { "" }
        ));
        for group in shown {
            let ratio = match group.ratio {
                Ratio::NothingForgotten => "nothing forgotten".to_string(),
                ratio => compare::format_number(ratio.rank()),
            };
            output.text(format!(
                "{:width$}  {:>8.2}  {:>8.2}  {ratio:>18}  {:>+8.2}  {:>+9.2}  {:>6}{}",
                compare::title(group),
                group.specialization.mean,
                group.degeneralization.mean,
                -group.gained.mean,
                group.forgotten.mean,
                divergence(group.kl_divergence.map(|found| found.mean)),
                group.choice_accuracy.map_or_else(String::new, |found| {
                    format!("  {:>14}", format!("{:.1} %", 100.0 * found.mean))
                }),
            ));
        }
        for sentence in compare::verdict(&summary, plan) {
            output.text(sentence);
        }
        if let Some(budget) = summary.swept() {
            let found = compare::equal_forgetting(plan, records, summary.number, budget);
            equal_forgetting(output, &found, budget);
        }
    }
}

/// Prints the gain of each method at equal forgetting.
fn equal_forgetting(output: &Output, rows: &[EqualForgetting], budget: usize) {
    let heading = format!("gain at equal forgetting, {}", counted(budget, "sample"));
    let names = rows.iter().map(|row| row.name.chars().count());
    let width = names.max().unwrap_or(0).max(heading.chars().count());
    let columns = |cells: &mut dyn Iterator<Item = String>| {
        let cells = cells.map(|cell| format!("  {cell:>8}"));
        cells.collect::<String>()
    };
    let bounds = &mut BOUNDS.iter().map(|bound| format!("{} %", 100.0 * bound));
    output.text(format!("\n{heading:width$}{}", columns(bounds)));
    for row in rows {
        let gains = &mut row.gains.iter().map(|gain| format!("{:.3}", gain.mean));
        output.text(format!("{:width$}{}", row.name, columns(gains)));
    }
}

/// Prints the continuations of the same prompts.
pub(super) fn continuations(output: &Output, models: &[(&str, &[Continuation])]) {
    let count = models
        .first()
        .map_or(0, |(_, continuations)| continuations.len());
    for prompt in 0..count {
        let width = models
            .iter()
            .map(|(name, _)| name.chars().count())
            .max()
            .unwrap_or(0);
        for (number, (name, continuations)) in models.iter().enumerate() {
            let Some(continuation) = continuations.get(prompt) else {
                continue;
            };
            if number == 0 {
                output.text(format!("\n“{}”", one_line(&continuation.prompt)));
            }
            output.text(format!(
                "  {name:width$}  …{}",
                one_line(&continuation.text)
            ));
        }
    }
}

/// Describes the speed of a run.
pub(super) fn speed(done: &Done) -> String {
    format!(
        "{} in {:.0} s, {} tokens/s",
        counted(done.steps, "step"),
        done.seconds,
        thousands(done.tokens_per_second)
    )
}

/// Describes the teacher cache.
pub(super) fn teacher_cache(cache: &TeacherCache) -> String {
    let mebibytes = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    let on_host = match cache.host_bytes {
        0 => String::new(),
        bytes => format!(", {:.1} MiB of it in host memory", mebibytes(bytes)),
    };
    format!(
        "teacher cache: {:.0} % hits, {:.1} MiB{on_host}",
        100.0 * cache.hit_rate(),
        mebibytes(cache.device_bytes)
    )
}

fn metrics(done: &Done) -> Metrics {
    Metrics {
        specialization: done.specialization,
        degeneralization: done.degeneralization,
        ratio: done.ratio,
    }
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ⏎ ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Outcome, TrainSettings};

    fn done(after: [f64; 2]) -> Done {
        let perplexities = |[domain, general]: [f64; 2]| Perplexities { domain, general };
        let (before, after) = (perplexities([500.0, 27.0]), perplexities(after));
        let outcome = Outcome {
            before,
            after,
            metrics: Metrics::new(before, after),
            kl_divergence: Some(0.5),
            steps: 1,
            seconds: 1.0,
            tokens_per_second: 1.0,
        };
        Done::new(&TrainSettings::default(), &outcome, String::new())
    }

    #[test]
    fn the_verdict_has_no_ratio_without_a_gain_or_forgetting() {
        let finetuned = done([14.0, 87.0]);
        assert!(verdict(&finetuned, &done([25.0, 28.0])).contains("58.6 times"));
        assert!(verdict(&finetuned, &done([25.0, 26.0])).contains("forgot nothing"));
        assert!(verdict(&done([14.0, 26.0]), &done([25.0, 28.0])).contains("not needed"));
        assert!(verdict(&done([600.0, 87.0]), &finetuned).contains("nothing to compare"));
    }
}
