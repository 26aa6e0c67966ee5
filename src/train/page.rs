//! The HTML report of a training.

use maud::{Markup, html};
use plotters::prelude::IntoLogRange;

use super::report::{Continuation, DataSummary, DeviceReport, MethodReport, Setup};
use crate::error::counted;
use crate::eval::page::{self, Figure, format_number};
use crate::eval::plot::{Line, Plot};
use crate::eval::{Metrics, Perplexities, format_weight};

/// Max number of points of a smoothed line.
const SMOOTH_POINTS: usize = 40;
/// Numbers of the colours of lines.
const FIRST: usize = 0;
const SECOND: usize = 1;

/// What a step of a training did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StepStats {
    /// Number of the step, from 1.
    pub step: usize,
    /// Global gradient norm, before clipping.
    pub gradient_norm: f32,
    /// Learning rate.
    pub learning_rate: f64,
}

/// The content of a report.
pub(crate) struct RunPage<'a> {
    /// Model and data.
    pub setup: &'a Setup,
    /// The device.
    pub device: &'a DeviceReport,
    /// Continuations of the prompts by the untouched model.
    pub untouched: &'a [Continuation],
    /// The training.
    pub report: &'a MethodReport,
    /// The steps since the run was started or resumed.
    pub history: &'a [StepStats],
    /// The settings as a configuration file.
    pub config: Option<&'a str>,
}

impl RunPage<'_> {
    /// Renders the report.
    pub(crate) fn html(&self) -> String {
        let Self { setup, report, .. } = self;
        let title = match report.weight {
            1.0 => report.settings.title(),
            weight => format!("{}, w {}", report.settings.title(), format_weight(weight)),
        };
        let done = &report.result;
        let body = html! {
            h1 { (title) }
            p {
                "Model " strong { (setup.model) } " on " (self.device.name) ", "
                (counted(done.steps, "step")) " in " (format!("{:.0}", done.seconds)) " s, "
                (format!("{:.0}", done.tokens_per_second)) " tokens/s. minift "
                (env!("CARGO_PKG_VERSION")) "."
            }
            (self.results())
            (page::figures(&self.figures()))
            (self.continuations())
            (self.data())
            @if let Some(config) = self.config {
                h2 { "Settings" }
                p { "As a file for " code { "minift train --config" } ", which repeats the run:" }
                pre.scroll { (config) }
            }
            (explanation())
        };
        page::page(&format!("minift: {title}"), body)
    }

    fn results(&self) -> Markup {
        let done = &self.report.result;
        let before = Perplexities {
            domain: done.domain_perplexity_before,
            general: done.general_perplexity_before,
        };
        let after = Perplexities {
            domain: done.domain_perplexity_after,
            general: done.general_perplexity_after,
        };
        let (lost, gained) = before.nats_to(after);
        let metrics = Metrics::new(before, after);
        let ratio = match self.setup.general_in_training {
            0 => metrics.ratio_in_words(),
            _ => "not measured".to_string(),
        };
        html! {
            div.scroll { table {
                thead { tr {
                    th scope="col" { "Perplexity" } th scope="col" { "domain" } th scope="col" { "general" }
                    th scope="col" { "S" } th scope="col" { "DG" } th scope="col" { "S/DG" }
                    th scope="col" { "gained, nats" } th scope="col" { "forgotten, nats" }
                    th scope="col" { "KL, nats" }
                } }
                tbody {
                    tr { th scope="row" { "base model" }
                        td { (format_number(before.domain)) } td { (format_number(before.general)) }
                        td colspan="6" {}
                    }
                    tr { th scope="row" { "trained" }
                        td { (format_number(after.domain)) } td { (format_number(after.general)) }
                        td { (format_number(metrics.specialization)) }
                        td { (format_number(metrics.degeneralization)) }
                        td { (ratio) } td { (format_number(gained)) } td { (format_number(lost)) }
                        td { (done.kl_divergence.map_or_else(|| "-".to_string(), format_number)) }
                    }
                }
            } }
            @if self.setup.general_in_training > 0 { p.note {
                (counted(self.setup.general_in_training, "sample"))
                " of the general set are also trained on: nothing can be said about forgetting."
            } }
        }
    }

    fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![self.losses()];
        figures.extend(self.perplexities());
        figures.extend(self.front());
        let since = match self.history.first() {
            Some(first) if first.step > 1 => {
                format!(" Since the run resumed at step {}.", first.step)
            }
            _ => String::new(),
        };
        let history = |value: fn(&StepStats) -> f64| {
            let points = self.history.iter();
            points
                .map(|stats| (stats.step as f64, value(stats)))
                .collect::<Vec<_>>()
        };
        figures.push(over_steps(
            "Learning rate",
            format!("The learning rate of each step.{since}"),
            "learning rate",
            Line::new(SECOND, history(|stats| stats.learning_rate), []).map(Line::thin),
        ));
        figures.push(over_steps(
            "Gradient norm",
            format!("The global norm of each step, before clipping.{since}"),
            "gradient norm",
            Line::new(SECOND, history(|stats| stats.gradient_norm.into()), []).map(Line::thin),
        ));
        figures.retain(|figure| !figure.svg.is_empty());
        figures
    }

    fn losses(&self) -> Figure {
        let losses = self.report.losses.iter().zip(1_usize..);
        let points: Vec<(f64, f64)> = losses
            .map(|(&loss, step)| (step as f64, loss.into()))
            .collect();
        let size = points.len().div_ceil(SMOOTH_POINTS).max(1);
        let mean = |points: &[(f64, f64)]| {
            let count = points.len() as f64;
            let sum = points
                .iter()
                .fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
            (sum.0 / count, sum.1 / count)
        };
        let smooth: Vec<(f64, f64)> = points.chunks(size).map(mean).collect();
        let caption = match size {
            1 => "The mean loss of each step, before its update; down is better.".to_string(),
            size => {
                format!("The loss of each step (thin), and means of {size} steps; down is better.")
            }
        };
        let thin = Line::new(SECOND, points, []).map(Line::thin);
        let lines = thin.into_iter().chain(Line::new(SECOND, smooth, []));
        over_steps("Training loss", caption, "loss, nats per token", lines)
    }

    /// Plots both perplexities relative to the untouched model's, if they were measured during training.
    fn perplexities(&self) -> Option<Figure> {
        let evaluations = &self.report.evaluations;
        let before = evaluations.first()?.perplexities;
        if evaluations.len() < 3 {
            return None;
        }
        let line = |colour, value: fn(Perplexities) -> f64| {
            let points = evaluations.iter().map(|found| {
                let change = (value(found.perplexities) / value(before)).ln();
                (found.step as f64, change)
            });
            Line::new(colour, points, [])
        };
        let lines = [line(FIRST, |p| p.domain), line(SECOND, |p| p.general)];
        Some(over_steps(
            "Perplexity over steps",
            "The change of the loss on the held-out domain (orange) and on general text (blue), in nats per token. \
             Domain down is gain; general up is forgetting."
                .to_string(),
            "change of the loss, nats per token",
            lines.into_iter().flatten(),
        ))
    }

    fn front(&self) -> Option<Figure> {
        let front = self.report.front.as_ref()?;
        Some(Figure {
            title: "The dial: gain against forgetting",
            caption: format!(
                "The same training at smaller strengths, on {} and {}. Up and left is better; the ringed strength \
                 is the written model, the cross the base model.",
                counted(front.domain_samples, "domain sample"),
                counted(front.general_samples, "general sample")
            ),
            svg: front.svg(self.report.weight),
        })
    }

    fn continuations(&self) -> Markup {
        let trained = &self.report.continuations;
        html! { @if !trained.is_empty() {
            h2 { "Continuations" }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "Prompt" } th scope="col" { "base model" } th scope="col" { "trained" }
                } }
                tbody { @for (before, after) in self.untouched.iter().zip(trained) { tr.text {
                    th scope="row" { (after.prompt) } td { (before.text) } td { (after.text) }
                } } }
            } }
        } }
    }

    fn data(&self) -> Markup {
        let setup = self.setup;
        let sets: [(&str, Option<&DataSummary>); 6] = [
            ("training", Some(&setup.train)),
            ("held-out domain", Some(&setup.domain)),
            ("general", Some(&setup.general)),
            ("replay", setup.replay.as_ref()),
            ("EWC", setup.consolidation.as_ref()),
            ("validation", setup.validation.as_ref()),
        ];
        html! {
            h2 { "Data" }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "Set" } th scope="col" { "origin" } th scope="col" { "samples" }
                    th scope="col" { "predicted tokens" } th scope="col" { "truncated" } th scope="col" { "skipped" }
                } }
                tbody { @for (name, set) in sets { @if let Some(set) = set { tr {
                    th scope="row" { (name) } td { (set.origin) } td { (set.samples) } td { (set.tokens) }
                    td { (set.truncated) } td { (set.skipped) }
                } } } }
            } }
            p.note {
                (counted(self.setup.parameters, "parameter")) " in the model, "
                (counted(self.report.trainable_parameters, "parameter")) " trained; samples of up to "
                (counted(self.setup.max_length, "token")) "."
            }
        }
    }
}

/// Plots lines over the steps; an empty plot without lines.
fn over_steps(
    title: &'static str,
    caption: String,
    y_label: &str,
    lines: impl IntoIterator<Item = Line>,
) -> Figure {
    let plot = Plot {
        x_label: "steps",
        y_label,
        lines: lines.into_iter().collect(),
        labels: Vec::new(),
        origin: None,
    };
    let mut svg = String::new();
    if !plot.lines.is_empty() {
        let x = plot.range(|point| point.0, false);
        let y = plot.range(|point| point.1, true);
        // A logarithmic axis has too few ticks within a decade.
        svg = if y.0 > 0.0 && y.1 > 10.0 * y.0 {
            plot.draw(x.0..x.1, (y.0..y.1).log_scale())
        } else {
            let y = plot.range(|point| point.1, false);
            plot.draw(x.0..x.1, y.0..y.1)
        };
    }
    Figure {
        title,
        caption,
        svg,
    }
}

fn explanation() -> Markup {
    html! { p.note {
        "S is the decrease of perplexity on held-out text of the domain, DG the increase of perplexity on general \
         text. Gained and forgotten are the same as changes of the loss, in nats per token. KL is the divergence \
         KL(base \u{2016} trained) of the predictions on held-out text of the domain, in nats per token."
    } }
}
