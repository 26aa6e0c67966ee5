//! The report: one HTML file with everything in it, for people.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::cells::{Cell, Plan};
use super::plots;
use super::results::Record;
use super::statistics::{
    BOUND, Best, Group, Ratio, Spread, Summary, best_within_bound, figures, summarize, title,
    verdict,
};

const STYLE: &str = include_str!("report.css");

/// The report of what is done so far.
pub fn report_html(plan: &Plan, model: &str, device: &str, records: &[(&Cell, &Record)]) -> String {
    let summaries = summarize(plan, records);
    let (done, all) = (records.len(), plan.cells.len());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "minift: methods compared" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Methods compared" }
                p {
                    "Model " strong { (model) } " on " (device) ". "
                    (done) " of " (all) " trainings are done. minift " (env!("CARGO_PKG_VERSION")) "."
                }
                @if summaries.len() > 1 {
                    nav { @for summary in &summaries {
                        a href={ "#" (anchor(summary.domain)) } { (summary.domain) } " "
                    } }
                }
                @for summary in &summaries { (domain(plan, summary, records)) }
                (explanation())
            }
        }
    };
    page.into_string()
}

fn domain(plan: &Plan, summary: &Summary<'_>, records: &[(&Cell, &Record)]) -> Markup {
    let of_domain = records
        .iter()
        .filter(|(cell, _)| cell.domain == summary.number);
    let courses: Vec<(&Cell, &Record)> = of_domain
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
    html! {
        section id=(anchor(summary.domain)) {
            h2 { (summary.domain) }
            @if let Some(before) = before {
                p { "The untouched model's perplexity is " (figures(before.domain))
                    " on the held-out domain and " (figures(before.general)) " on general text." }
            }
            ul.verdict { @for sentence in verdict(summary, plan) { li { (sentence) } } }
            (legend(plan))
            div.figures { @for figure in plots::figures(summary, plan, swept, &courses) {
                figure {
                    h3 { (figure.title) }
                    div role="img" aria-label=(format!("{}. The table has the figures.", figure.title)) {
                        (PreEscaped(figure.svg))
                    }
                    figcaption { (figure.caption) }
                }
            } }
            (table(summary))
            (within_bound(summary, swept))
        }
    }
}

fn legend(plan: &Plan) -> Markup {
    html! {
        ul.legend { @for (number, method) in plan.methods.iter().enumerate() {
            li {
                span.swatch.broken[plots::is_broken(number)]
                    style={ "border-color:" (plots::colour(number)) } {}
                (method.name) " " small { "over " (method.strength.name()) }
            }
        } }
    }
}

fn table(summary: &Summary<'_>) -> Markup {
    html! {
        div.scroll { table {
            thead { tr {
                th scope="col" { "Method" } th scope="col" { "S" } th scope="col" { "DG" }
                th scope="col" { "S/DG" } th scope="col" { "gained, nats" }
                th scope="col" { "forgotten, nats" } th scope="col" { "steps" }
                th scope="col" { "trained values" } th scope="col" { "seeds" }
            } }
            @for (budget, groups) in &summary.budgets {
                @let best = Best::of(groups);
                tbody {
                    tr.budget { th scope="rowgroup" colspan="9" { (budget) " samples" } }
                    @for (place, group) in groups.iter().enumerate() {
                        tr.main[group.cell.main] {
                            th scope="row" { (title(group)) }
                            (cell(spread(group.specialization), best.specialization == Some(place)))
                            (cell(spread(group.degeneralization), best.degeneralization == Some(place)))
                            (cell(ratio(group), best.ratio == Some(place)))
                            (cell(spread(group.gained), false))
                            (cell(spread(group.forgotten), false))
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

fn within_bound(summary: &Summary<'_>, budget: usize) -> Markup {
    let groups = summary.budgets.get(&budget).map_or(&[][..], Vec::as_slice);
    let best = best_within_bound(groups);
    html! { @if !best.is_empty() {
        h3 { "Each method at its best, where general text may get " (BOUND * 100.0) " % harder" }
        div.scroll { table {
            thead { tr {
                th scope="col" { "Method" } th scope="col" { "S" } th scope="col" { "gained, nats" }
                th scope="col" { "general text harder by" }
            } }
            tbody { @for (place, group) in best.iter().enumerate() { tr {
                th scope="row" { (title(group)) }
                (cell(spread(group.specialization), false))
                (cell(spread(group.gained), place == 0))
                td { (format!("{:.1} %", 100.0 * group.degeneralization_share())) }
            } } }
        } }
        p.note { "With " (budget) " samples. Methods that are missing went beyond that with every \
            strength that was tried so far." }
    } }
}

fn cell(text: String, best: bool) -> Markup {
    html! { @if best { td.best { strong { (text) } } } @else { td { (text) } } }
}

fn spread(spread: Spread) -> String {
    match spread.deviation {
        Some(deviation) => format!("{} ± {}", figures(spread.mean), figures(deviation)),
        None => figures(spread.mean),
    }
}

fn ratio(group: &Group<'_>) -> String {
    match group.ratio {
        Ratio::Number(value) => spread(value),
        Ratio::OfMeans {
            ratio,
            nothing_forgotten,
        } => format!(
            "{} ({nothing_forgotten} of {} forgot nothing)",
            figures(ratio),
            group.seeds
        ),
        Ratio::NothingForgotten => "nothing forgotten".to_string(),
    }
}

fn explanation() -> Markup {
    html! {
        section {
            h2 { "How to read this" }
            p { "S is the perplexity gained on held-out text of the domain, DG the perplexity lost on \
                general text, S/DG the gain for each point lost; where DG is 0 or less nothing was \
                forgotten, and there is no ratio. The same in nats a token (changes of the loss) tells \
                methods apart also where a domain is so foreign that S is nearly the same for all." }
            p { "Figures are means ± sample standard deviations over seeds; a seed draws the samples of \
                a budget, their order and an adapter's first values. All methods of a budget see the \
                same samples as often; replayed text comes on top and takes steps of its own. Bold is \
                the best of its budget: the greatest S, and among settings that learnt at least half \
                (in nats) of what the best learnt, the least DG and the greatest S/DG." }
        }
    }
}

/// A name as part of an address.
fn anchor(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_alphanumeric() { c } else { '-' })
        .collect()
}
