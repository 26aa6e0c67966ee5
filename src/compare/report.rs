//! The report: a self-contained HTML file.

use maud::{Markup, html};

use super::cells::{Cell, Plan};
use super::plots;
use super::record::Record;
use super::statistics::{
    BOUNDS, Best, Group, Ratio, Spread, Summary, equal_forgetting, format_number, summarize, title,
    verdict,
};
use crate::eval::page;

/// Renders the report of the completed trainings.
pub fn report_html(plan: &Plan, model: &str, device: &str, records: &[(&Cell, &Record)]) -> String {
    let summaries = summarize(plan, records);
    let (done, all) = (records.len(), plan.cells.len());
    let body = html! {
        h1 { "Methods compared" }
        p {
            "Model " strong { (model) } " on " (device) ". "
            (done) " of " (all) " trainings completed. minift " (env!("CARGO_PKG_VERSION")) "."
        }
        @if summaries.len() > 1 {
            nav { @for summary in &summaries {
                a href={ "#" (anchor(summary.domain)) } { (summary.domain) } " "
            } }
        }
        @for summary in &summaries { (domain(plan, summary, records)) }
        (explanation())
    };
    page::page("minift: methods compared", body)
}

fn domain(plan: &Plan, summary: &Summary<'_>, records: &[(&Cell, &Record)]) -> Markup {
    let of_domain = records
        .iter()
        .filter(|(cell, _)| cell.domain == summary.number);
    let histories: Vec<(&Cell, &Record)> = of_domain
        .filter(|(cell, record)| cell.settings.evaluate_every > 0 && record.evaluations.len() > 2)
        .copied()
        .collect();
    let swept = summary.swept().unwrap_or_default();
    let before = summary
        .budgets
        .values()
        .flatten()
        .next()
        .map(|group| group.record.before);
    let records_of_domain = summary.budgets.values().flatten();
    let choices = records_of_domain.map(|group| group.record.choices);
    let choices = choices.flatten().next().map(|choices| choices.before);
    html! {
        section id=(anchor(summary.domain)) {
            h2 { (summary.domain) }
            @if let Some(before) = before {
                p { "The perplexity of the base model is " (format_number(before.domain))
                    " on the held-out domain and " (format_number(before.general)) " on general text." }
            }
            @if let Some(choices) = choices { p {
                "Among the continuations of as many held-out texts, the base model chooses the right one of "
                (choices.questions) " texts in " (percent(choices.accuracy)) " % of cases"
                @if let Some(chance) = choices.chance { ", where chance is " (percent(chance)) " %" } "."
            } }
            ul.verdict { @for sentence in verdict(summary, plan) { li { (sentence) } } }
            (legend(plan))
            (page::figures(&plots::figures(summary, plan, swept, &histories)))
            (table(summary))
            (gains_at_equal_forgetting(plan, records, summary.number, swept))
        }
    }
}

fn legend(plan: &Plan) -> Markup {
    let methods = plan.methods.iter();
    page::legend(methods.map(|method| {
        let strength = method.strength.name();
        (method.name.as_str(), format!("over {strength}"))
    }))
}

fn table(summary: &Summary<'_>) -> Markup {
    let groups = || summary.budgets.values().flatten();
    let has_divergence = groups().any(|group| group.kl_divergence.is_some());
    let has_choices = groups().any(|group| group.choice_accuracy.is_some());
    let columns = 9 + usize::from(has_divergence) + usize::from(has_choices);
    html! {
        div.scroll { table {
            thead { tr {
                th scope="col" { "Method" } th scope="col" { "S" } th scope="col" { "DG" }
                th scope="col" { "S/DG" } th scope="col" { "gained, nats" }
                th scope="col" { "forgotten, nats" }
                @if has_divergence { th scope="col" { "KL, nats" } }
                @if has_choices { th scope="col" { "right choices, %" } }
                th scope="col" { "steps" }
                th scope="col" { "trained parameters" } th scope="col" { "seeds" }
            } }
            @for (budget, groups) in &summary.budgets {
                @let best = Best::of(groups);
                tbody {
                    tr.budget { th scope="rowgroup" colspan=(columns) { (budget) " samples" } }
                    @for (place, group) in groups.iter().enumerate() {
                        tr.main[group.cell.main] {
                            th scope="row" { (title(group)) }
                            (cell(spread(group.specialization), best.specialization == Some(place)))
                            (cell(spread(group.degeneralization), best.degeneralization == Some(place)))
                            (cell(ratio(group), best.ratio == Some(place)))
                            (cell(spread(group.gained), false))
                            (cell(spread(group.forgotten), false))
                            @if has_divergence { (cell(optional(group.kl_divergence), false)) }
                            @if has_choices {
                                (cell(optional(group.choice_accuracy.map(Spread::percent)), false))
                            }
                            td { (group.record.steps) }
                            td { (group.record.trainable_parameters) }
                            td { (group.seeds) }
                        }
                    }
                }
            }
        } }
    }
}

fn gains_at_equal_forgetting(
    plan: &Plan,
    records: &[(&Cell, &Record)],
    domain: usize,
    budget: usize,
) -> Markup {
    let rows = equal_forgetting(plan, records, domain, budget);
    let best = |place: usize| {
        let means = rows.iter().map(|row| row.gains[place].mean);
        means.fold(0.0, f64::max)
    };
    html! { @if !rows.is_empty() {
        h3 { "Gain at equal forgetting, nats per token" }
        div.scroll { table {
            thead { tr {
                th scope="col" { "Method" }
                @for bound in BOUNDS { th scope="col" { "at " (100.0 * bound) " %" } }
                th scope="col" { "seeds" }
            } }
            tbody { @for row in &rows { tr {
                th scope="row" { (row.name) }
                @for (place, &gain) in row.gains.iter().enumerate() {
                    (cell(spread(gain), gain.mean > 0.0 && gain.mean == best(place)))
                }
                td { (row.seeds) }
            } } }
        } }
        p.note { "With " (budget) " samples: the decrease of the domain loss where the general perplexity is higher by \
            so much, at the best strength of each method, interpolated between those measured. \
            Dial: strengths chosen after training count too." }
    } }
}

fn cell(text: String, best: bool) -> Markup {
    html! { @if best { td.best { strong { (text) } } } @else { td { (text) } } }
}

fn spread(spread: Spread) -> String {
    match spread.deviation {
        Some(deviation) => format!(
            "{} ± {}",
            format_number(spread.mean),
            format_number(deviation)
        ),
        None => format_number(spread.mean),
    }
}

/// Formats what was not measured in every training.
fn optional(found: Option<Spread>) -> String {
    found.map_or_else(|| "not measured".to_string(), spread)
}

/// Formats a share without its sign.
fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

fn ratio(group: &Group<'_>) -> String {
    match group.ratio {
        Ratio::Number(value) => spread(value),
        Ratio::OfMeans {
            ratio,
            nothing_forgotten,
        } => format!(
            "{} ({nothing_forgotten} of {} forgot nothing)",
            format_number(ratio),
            group.seeds
        ),
        Ratio::NothingForgotten => "nothing forgotten".to_string(),
    }
}

fn explanation() -> Markup {
    html! {
        section {
            h2 { "How to read this" }
            p { "S is the decrease of perplexity on held-out text of the domain, DG the increase of \
                perplexity on general text, and S/DG the gain per point lost; where DG is 0 or less, \
                nothing was forgotten and there is no ratio. Changes of the loss in nats per token \
                separate methods even in a foreign domain, where S is nearly the same for all." }
            p { "KL is the divergence KL(base \u{2016} trained) of the predictions on held-out text of the \
                domain, in nats per token: what training changed there, which goes with what is forgotten \
                elsewhere (arXiv:2509.04259). Right choices are held-out texts whose own second half has a \
                higher likelihood per token, after the first half, than second halves of other texts." }
            p { "Values are means ± sample standard deviations over seeds; the seed determines the \
                samples of a budget, their order and the initialization of adapters. All methods of a \
                budget see the same samples equally often; replayed text takes additional steps. Bold \
                marks the best of a budget: the highest S, and among settings with at least half of the \
                best gain (in nats) the lowest DG and the highest S/DG." }
        }
    }
}

/// Converts a name to an anchor.
fn anchor(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_alphanumeric() { c } else { '-' })
        .collect()
}
