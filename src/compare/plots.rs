//! The plots of a report. All methods of a plot share its axes, and a method has the same colour in every plot.

use plotters::prelude::IntoLogRange;

use super::cells::{Cell, Plan};
use super::record::Record;
use super::statistics::{Group, Ratio, Summary, main_of};
use crate::error::counted;
use crate::eval::Front;
use crate::eval::page::Figure;
use crate::eval::plot::{Line, Plot};

/// Returns the plots of a domain that have data.
pub(super) fn figures(
    summary: &Summary<'_>,
    plan: &Plan,
    swept: usize,
    histories: &[(&Cell, &Record)],
) -> Vec<Figure> {
    let mut figures = Vec::new();
    figures.extend(fronts(summary, plan, swept));
    figures.extend(by_budget(summary, plan));
    figures.extend(over_steps(histories));
    figures
}

/// Plots gain against cost for all strengths of the swept budget.
fn fronts(summary: &Summary<'_>, plan: &Plan, budget: usize) -> Vec<Figure> {
    let Some(groups) = summary.budgets.get(&budget) else {
        return Vec::new();
    };
    let shown = Shown::new(groups);
    // The front of each main training, below the lines.
    let dialled = || {
        let mains = groups.iter().filter(|group| group.cell.main);
        mains.filter_map(|group| Some((group.cell.method, group.record.front.as_ref()?)))
    };
    let lines = |point: &dyn Fn(&Group<'_>) -> (f64, f64),
                 points: fn(&Front) -> Vec<(f64, f64)>|
     -> Vec<Line> {
        let thin = dialled().filter_map(|(method, front)| {
            let points = front.nats().zip(points(front));
            let points = points.filter(|(nats, _)| shown.has(*nats));
            let line = Line::new(method, points.map(|(_, point)| point), []);
            line.map(Line::thin)
        });
        let over_strengths = (0..plan.methods.len()).filter_map(|method| {
            let of_method = || {
                groups
                    .iter()
                    .filter(move |group| group.cell.method == method)
                    .filter(|group| shown.has(place(group)))
            };
            let marked = of_method().filter(|group| group.cell.main).map(point);
            Line::new(method, of_method().map(point), marked)
        });
        thin.chain(over_strengths).collect()
    };
    let thin_lines = match dialled().next() {
        Some(_) => " Thin lines: the ringed trainings at smaller strengths, chosen after training.",
        None => "",
    };
    let left_out = match groups.iter().all(|group| shown.has(place(group))) {
        true => "",
        false => {
            " Left out: what lost on the domain, or forgot more than anything that gained half as much as the \
             best."
        }
    };
    let caption = |unit: &str| {
        format!(
            "{}, in {unit}. Each line is a method over its strength; the other plots show its ringed \
             point. Up and left is better; the cross is the base model.{thin_lines}{left_out}",
            counted(budget, "sample")
        )
    };
    [
        (
            "Gain against forgetting",
            lines(&place, |front| front.nats().collect()),
            "forgotten: general loss, nats per token",
            "gained: domain loss, nats per token",
            "nats per token",
        ),
        (
            "S against DG",
            lines(
                &|group| (group.degeneralization.mean, group.specialization.mean),
                |front| {
                    let metrics = front.points.iter().map(|point| point.metrics);
                    let points =
                        metrics.map(|found| (found.degeneralization, found.specialization));
                    points.collect()
                },
            ),
            "DG: general perplexity lost",
            "S: domain perplexity gained",
            "perplexity",
        ),
    ]
    .into_iter()
    .map(|(title, lines, x_label, y_label, unit)| {
        let plot = Plot {
            x_label,
            y_label,
            lines,
            labels: Vec::new(),
            origin: Some((0.0, 0.0)),
        };
        let (x, y) = (plot.range(|p| p.0, false), plot.range(|p| p.1, false));
        Figure {
            title,
            caption: caption(unit),
            svg: plot.draw(x.0..x.1, y.0..y.1),
        }
    })
    .collect()
}

/// What a setting forgets and gains, in nats per token.
fn place(group: &Group<'_>) -> (f64, f64) {
    (group.forgotten.mean, group.gained.mean)
}

/// The part of the plane of forgetting and gain that is plotted, in nats per token. Methods that ruin the model would
/// squash the others.
struct Shown {
    least_gained: f64,
    most_forgotten: f64,
}

impl Shown {
    /// The part of what gains something, up to what any setting forgets that gains at least half as much as the best
    /// one; everything if nothing gains.
    fn new(groups: &[Group<'_>]) -> Self {
        let best = groups.iter().map(|group| group.gained.mean);
        let best = best.fold(0.0, f64::max);
        if best == 0.0 {
            return Self {
                least_gained: f64::NEG_INFINITY,
                most_forgotten: f64::INFINITY,
            };
        }
        let useful = groups.iter().map(place);
        let useful = useful.filter(|(_, gained)| *gained >= best / 2.0);
        Self {
            least_gained: 0.0,
            most_forgotten: useful.fold(0.0, |most, (forgotten, _)| forgotten.max(most)),
        }
    }

    fn has(&self, (forgotten, gained): (f64, f64)) -> bool {
        gained >= self.least_gained && forgotten <= self.most_forgotten
    }
}

/// Plots S/DG of the main setting of each method over the budgets.
fn by_budget(summary: &Summary<'_>, plan: &Plan) -> Option<Figure> {
    if summary.budgets.len() < 2 {
        return None;
    }
    let mut nothing_forgotten = false;
    let mut lines = Vec::new();
    for method in 0..plan.methods.len() {
        let mut points = Vec::new();
        for (&budget, groups) in &summary.budgets {
            let Some(group) = main_of(groups, method) else {
                continue;
            };
            match group.ratio {
                Ratio::NothingForgotten => nothing_forgotten = true,
                _ if group.ratio.rank() > 0.0 => {
                    points.push((budget as f64, group.ratio.rank()));
                }
                _ => {}
            }
        }
        lines.extend(Line::new(method, points.clone(), points));
    }
    let plot = Plot {
        x_label: "samples",
        y_label: "S/DG",
        lines,
        labels: Vec::new(),
        origin: None,
    };
    if plot.lines.is_empty() {
        return None;
    }
    let (x, y) = (plot.range(|p| p.0, false), plot.range(|p| p.1, true));
    let missing = match nothing_forgotten {
        true => " Points where nothing was forgotten are omitted.",
        false => "",
    };
    Some(Figure {
        title: "Gain per point forgotten, by budget",
        caption: format!("S/DG on a logarithmic axis; up is better.{missing}"),
        svg: plot.draw(x.0..x.1, (y.0..y.1).log_scale()),
    })
}

/// Plots domain and general perplexity over the steps.
fn over_steps(histories: &[(&Cell, &Record)]) -> Vec<Figure> {
    if histories.is_empty() {
        return Vec::new();
    }
    let lines = |value: fn(&crate::eval::Perplexities) -> f64| -> Vec<Line> {
        histories
            .iter()
            .filter_map(|(cell, record)| {
                let points = record.evaluations.iter();
                let points =
                    points.map(|evaluated| (evaluated.step as f64, value(&evaluated.perplexities)));
                Line::new(cell.method, points, [])
            })
            .collect()
    };
    [
        ("Domain perplexity over steps", lines(|p| p.domain)),
        ("General perplexity over steps", lines(|p| p.general)),
    ]
    .into_iter()
    .filter(|(_, lines)| !lines.is_empty())
    .map(|(title, lines)| {
        let plot = Plot {
            x_label: "steps",
            y_label: "perplexity",
            lines,
            labels: Vec::new(),
            origin: None,
        };
        let x = plot.range(|p| p.0, false);
        let logarithmic = plot.range(|p| p.1, true);
        let (cell, _) = histories[0];
        // A logarithmic axis has too few ticks within a decade.
        let (axis, svg) = if logarithmic.1 > 10.0 * logarithmic.0 {
            let y = logarithmic.0..logarithmic.1;
            (
                ", on a logarithmic axis",
                plot.draw(x.0..x.1, y.log_scale()),
            )
        } else {
            let y = plot.range(|p| p.1, false);
            ("", plot.draw(x.0..x.1, y.0..y.1))
        };
        Figure {
            title,
            caption: format!(
                "{}, one seed{axis}; down is better.",
                counted(cell.budget, "sample")
            ),
            svg,
        }
    })
    .collect()
}
