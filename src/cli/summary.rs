//! What people read when a run is done: the table, what it says, and the continuations.

use super::output::{Output, thousands};
use crate::compare::{self, Cell, Plan, Ratio, Record};
use crate::eval::{Metrics, Perplexities};
use crate::report::{Continuation, Done};
use crate::train::TeacherCache;

/// A model and what is known of it.
pub struct Row<'a> {
    pub name: String,
    pub perplexities: Perplexities,
    pub done: Option<&'a Done>,
}

impl<'a> Row<'a> {
    pub fn untouched(perplexities: Perplexities) -> Self {
        Self {
            name: "untouched".to_string(),
            perplexities,
            done: None,
        }
    }

    pub fn trained(name: String, done: &'a Done) -> Self {
        Self {
            name,
            perplexities: Perplexities {
                domain: done.domain_perplexity_after,
                general: done.general_perplexity_after,
            },
            done: Some(done),
        }
    }
}

/// Perplexities, gain and cost, a line a model.
pub fn table(output: &Output, rows: &[Row<'_>]) {
    let width = rows
        .iter()
        .map(|row| row.name.chars().count())
        .max()
        .unwrap_or(0);
    output.text(format!(
        "\n{:width$}  {:>8}  {:>8}  {:>8}  {:>8}  {:>18}  {:>8}  {:>8}",
        "perplexity", "domain", "general", "S", "DG", "S/DG", "Δ domain", "Δ general"
    ));
    for row in rows {
        let Perplexities { domain, general } = row.perplexities;
        let mut line = format!("{:width$}  {domain:>8.2}  {general:>8.2}", row.name);
        if let Some(done) = row.done {
            // Where a domain is foreign, S is nearly the same for all: nats a token tell them apart.
            let nats = |after: f64, before: f64| (after / before).ln();
            line.push_str(&format!(
                "  {:>8.2}  {:>8.2}  {:>18}  {:>+8.2}  {:>+8.2}",
                done.specialization,
                done.degeneralization,
                metrics(done).ratio_in_words(),
                nats(domain, done.domain_perplexity_before),
                nats(general, done.general_perplexity_before),
            ));
        }
        output.text(line);
    }
    output.text(
        "S: domain perplexity gained; DG: general perplexity lost; Δ: change of the loss, nats a token",
    );
}

/// How minifinetuning compares with finetuning, in a sentence.
pub fn verdict(finetuning: &Done, minifinetuning: &Done) -> String {
    let share = 100.0 * minifinetuning.specialization / finetuning.specialization;
    match (finetuning.ratio, minifinetuning.ratio) {
        _ if finetuning.specialization <= 0.0 => {
            "Finetuning did not help on this text, so there is nothing to compare.".to_string()
        }
        (_, None) => format!(
            "Minifinetuning gained {share:.0} % of what finetuning gained and forgot nothing."
        ),
        (None, Some(_)) => {
            "Finetuning forgot nothing here; minifinetuning is not needed.".to_string()
        }
        (Some(finetuning), Some(minifinetuning)) => format!(
            "Minifinetuning gained {share:.0} % of what finetuning gained, and {:.1} times as much \
             for each point forgotten.",
            minifinetuning / finetuning
        ),
    }
}

/// Every method of a comparison by what stands for it, on the largest budget of each domain, and what
/// the figures say.
pub fn comparison(output: &Output, plan: &Plan, records: &[(&Cell, &Record)]) {
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
        let heading = format!("{}, {} samples", summary.domain, thousands(*budget as f64));
        output.text(format!(
            "\n{heading:width$}  {:>8}  {:>8}  {:>18}  {:>8}  {:>9}",
            "S", "DG", "S/DG", "Δ domain", "Δ general"
        ));
        for group in shown {
            let ratio = match group.ratio {
                Ratio::NothingForgotten => "nothing forgotten".to_string(),
                ratio => compare::figures(ratio.rank()),
            };
            output.text(format!(
                "{:width$}  {:>8.2}  {:>8.2}  {ratio:>18}  {:>+8.2}  {:>+9.2}",
                compare::title(group),
                group.specialization.mean,
                group.degeneralization.mean,
                -group.gained.mean,
                group.forgotten.mean,
            ));
        }
        for sentence in compare::verdict(&summary, plan) {
            output.text(sentence);
        }
    }
}

/// What models made of the same prompts.
pub fn continuations(output: &Output, models: &[(&str, &[Continuation])]) {
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

/// Speed of a run, for a line under the table.
pub fn speed(done: &Done) -> String {
    format!(
        "{} steps in {:.0} s, {} tokens/s",
        thousands(done.steps as f64),
        done.seconds,
        thousands(done.tokens_per_second)
    )
}

/// What keeping the teacher's states saved.
pub fn teacher_cache(cache: &TeacherCache) -> String {
    let mebibytes = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    let on_host = match cache.host_bytes {
        0 => String::new(),
        bytes => format!(", {:.1} MiB in the computer's memory", mebibytes(bytes)),
    };
    format!(
        "the teacher's states were at hand for {:.0} % of the tokens; {:.1} MiB of them are kept{on_host}",
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
            steps: 1,
            seconds: 1.0,
            tokens_per_second: 1.0,
        };
        Done::new(&TrainSettings::default(), &outcome, String::new())
    }

    #[test]
    fn verdicts_never_hold_a_meaningless_number() {
        let finetuned = done([14.0, 87.0]);
        assert!(verdict(&finetuned, &done([25.0, 28.0])).contains("58.6 times"));
        assert!(verdict(&finetuned, &done([25.0, 26.0])).contains("forgot nothing"));
        assert!(verdict(&done([14.0, 26.0]), &done([25.0, 28.0])).contains("not needed"));
        assert!(verdict(&done([600.0, 87.0]), &finetuned).contains("nothing to compare"));
    }
}
