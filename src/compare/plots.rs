//! The plots of a report as SVG. All methods of a plot share its axes, and a method has the same colour in
//! every plot.

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::cells::{Cell, Plan};
use super::record::Record;
use super::statistics::{Group, Ratio, Summary, main_of};
use crate::error::counted;

const SIZE: (u32, u32) = (560, 380);
/// A colour-blind safe palette (Okabe and Ito, 2008), ordered so that neighbours differ.
const COLOURS: [RGBColor; 7] = [
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(128, 128, 128),
];
/// Placeholder for the text colour of the page.
const TEXT: RGBColor = RGBColor(1, 2, 3);

/// The line of a method.
struct Line {
    method: usize,
    points: Vec<(f64, f64)>,
    /// Highlighted points.
    marked: Vec<(f64, f64)>,
}

/// Larger values are from diverged trainings. They would squash all other points, and axes cannot be drawn
/// over arbitrary ranges.
const LARGEST: f64 = 1e6;

impl Line {
    /// Returns the line through the points in range; `None` if there are none.
    fn new(
        method: usize,
        points: impl IntoIterator<Item = (f64, f64)>,
        marked: impl IntoIterator<Item = (f64, f64)>,
    ) -> Option<Self> {
        // False for NaN.
        let shown = |&(x, y): &(f64, f64)| x.abs() <= LARGEST && y.abs() <= LARGEST;
        let points: Vec<_> = points.into_iter().filter(shown).collect();
        (!points.is_empty()).then(|| Self {
            method,
            points,
            marked: marked.into_iter().filter(shown).collect(),
        })
    }
}

struct Plot<'a> {
    x_label: &'a str,
    y_label: &'a str,
    lines: Vec<Line>,
    /// The base model.
    origin: Option<(f64, f64)>,
}

/// A plot with title and caption.
pub(super) struct Figure {
    /// The title.
    pub title: &'static str,
    /// The caption, with how to read the plot.
    pub caption: String,
    /// The plot.
    pub svg: String,
}

/// Returns the colour of a method in CSS.
pub(super) fn colour(method: usize) -> String {
    let RGBColor(r, g, b) = COLOURS[method % COLOURS.len()];
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Returns whether the line of a method is dashed, for methods beyond the palette.
pub(super) fn is_broken(method: usize) -> bool {
    method >= COLOURS.len()
}

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
    let lines = |point: &dyn Fn(&Group<'_>) -> (f64, f64)| -> Vec<Line> {
        (0..plan.methods.len())
            .filter_map(|method| {
                let of_method = || {
                    groups
                        .iter()
                        .filter(move |group| group.cell.method == method)
                };
                let marked = of_method().filter(|group| group.cell.main).map(point);
                Line::new(method, of_method().map(point), marked)
            })
            .collect()
    };
    let caption = |unit: &str| {
        format!(
            "{}, in {unit}. Each line is a method over its strength; the other plots show its ringed \
             point. Up and left is better; the cross is the base model.",
            counted(budget, "sample")
        )
    };
    [
        (
            "Gain against forgetting",
            lines(&|group| (group.forgotten.mean, group.gained.mean)),
            "forgotten: general loss, nats per token",
            "gained: domain loss, nats per token",
            "nats per token",
        ),
        (
            "S against DG",
            lines(&|group| (group.degeneralization.mean, group.specialization.mean)),
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

impl Plot<'_> {
    /// Returns the range of an axis, with a margin.
    fn range(&self, value: impl Fn(&(f64, f64)) -> f64, logarithmic: bool) -> (f64, f64) {
        let points = self.lines.iter().flat_map(|line| &line.points);
        let values = points.chain(&self.origin).map(value);
        let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), v| {
            (least.min(v), most.max(v))
        });
        if logarithmic {
            return (least / 1.15, most * 1.15);
        }
        let margin = 0.05 * (most - least).max(most.abs() * 1e-3).max(1e-9);
        (least - margin, most + margin)
    }

    fn draw<X, Y>(&self, x: X, y: Y) -> String
    where
        X: AsRangedCoord<Value = f64>,
        Y: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let mut svg = String::new();
        let drawn = self.draw_into(&mut svg, x, y);
        // Writing to a string cannot fail; an unsupported range gives an empty plot.
        if let Err(error) = drawn {
            log::warn!("cannot draw a plot: {error}");
        }
        svg.replace("#010203", "currentColor")
    }

    fn draw_into<X, Y>(
        &self,
        svg: &mut String,
        x: X,
        y: Y,
    ) -> Result<(), Box<dyn std::error::Error>>
    where
        X: AsRangedCoord<Value = f64>,
        Y: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(x, y)?;
        let font = ("sans-serif", 13).into_font().color(&TEXT);
        let number = |value: &f64| match value.abs() {
            0.0 => "0".to_string(),
            size if size >= 1e5 => format!("{value:.0e}"),
            size if size >= 10.0 => format!("{value:.0}"),
            _ => {
                let text = format!("{value:.2}");
                text.trim_end_matches('0').trim_end_matches('.').to_string()
            }
        };
        chart
            .configure_mesh()
            .x_desc(self.x_label)
            .y_desc(self.y_label)
            .x_label_formatter(&number)
            .y_label_formatter(&number)
            .label_style(font.clone())
            .axis_desc_style(font)
            .axis_style(TEXT.mix(0.6))
            .bold_line_style(TEXT.mix(0.12))
            .light_line_style(TRANSPARENT)
            .draw()?;
        if let Some(origin) = self.origin {
            chart.draw_series([Cross::new(origin, 5, TEXT.stroke_width(2))])?;
        }
        for line in &self.lines {
            let colour = COLOURS[line.method % COLOURS.len()];
            let points = line.points.iter().copied();
            if is_broken(line.method) {
                let style = colour.stroke_width(2);
                chart.draw_series(DashedLineSeries::new(points.clone(), 6, 4, style))?;
            } else {
                chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
            }
            chart.draw_series(points.map(|point| Circle::new(point, 3, colour.filled())))?;
            let marked = line.marked.iter().copied();
            chart.draw_series(marked.map(|point| Circle::new(point, 6, colour.stroke_width(2))))?;
        }
        area.present()?;
        Ok(())
    }
}
