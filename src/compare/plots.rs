//! The plots of a report, as SVG. All methods share a plot's axes; colours and marks are a method's in
//! every plot.

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::cells::{Cell, Plan};
use super::results::Record;
use super::statistics::{Group, Ratio, Summary, main_of};

const SIZE: (u32, u32) = (560, 380);
/// Colours that people with any colour vision can tell apart (Okabe and Ito, 2008), in an order in
/// which neighbours differ.
const COLOURS: [RGBColor; 7] = [
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(128, 128, 128),
];
/// Stands for the page's own text colour, whatever that is.
const TEXT: RGBColor = RGBColor(1, 2, 3);

/// A method's line through a plot.
struct Line {
    method: usize,
    points: Vec<(f64, f64)>,
    /// Points that stand out.
    marked: Vec<(f64, f64)>,
}

/// Values beyond this are of a training that went wrong. They would squeeze everything else into a
/// point, and axes cannot be drawn over arbitrary ranges.
const LARGEST: f64 = 1e6;

impl Line {
    /// The line through those points that can be shown; `None` if there is none.
    fn new(
        method: usize,
        points: impl IntoIterator<Item = (f64, f64)>,
        marked: impl IntoIterator<Item = (f64, f64)>,
    ) -> Option<Self> {
        // A comparison that is false for NaN.
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
    /// The untouched model.
    origin: Option<(f64, f64)>,
}

/// A plot with what people need to read it.
pub struct Figure {
    /// What it shows.
    pub title: &'static str,
    /// How to read it.
    pub caption: String,
    /// The picture.
    pub svg: String,
}

/// A method's colour, as CSS.
pub fn colour(method: usize) -> String {
    let RGBColor(r, g, b) = COLOURS[method % COLOURS.len()];
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Whether a method's line is broken, where there are more methods than colours.
pub fn is_broken(method: usize) -> bool {
    method >= COLOURS.len()
}

/// The plots of a domain, those that there are figures for.
pub fn figures(
    summary: &Summary<'_>,
    plan: &Plan,
    swept: usize,
    courses: &[(&Cell, &Record)],
) -> Vec<Figure> {
    let mut figures = Vec::new();
    figures.extend(fronts(summary, plan, swept));
    figures.extend(by_budget(summary, plan));
    figures.extend(over_steps(courses));
    figures
}

/// Gain against cost on the budget on which strengths were swept.
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
            "{budget} samples, in {unit}. Each line is a method over its own strength; the ringed \
             point stands for it in the other plots. Up and left is better; the cross is the \
             untouched model."
        )
    };
    [
        (
            "Gain against forgetting",
            lines(&|group| (group.forgotten.mean, group.gained.mean)),
            "forgotten: general loss, nats a token",
            "gained: domain loss, nats a token",
            "nats a token",
        ),
        (
            "S against DG",
            lines(&|group| (group.degeneralization.mean, group.specialization.mean)),
            "DG: general perplexity lost",
            "S: domain perplexity gained",
            "points of perplexity",
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

/// S/DG of what stands for each method over the budgets.
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
        true => " Points are missing where nothing was forgotten.",
        false => "",
    };
    Some(Figure {
        title: "Gain for each point forgotten, by budget",
        caption: format!("S/DG on a logarithmic axis; up is better.{missing}"),
        svg: plot.draw(x.0..x.1, (y.0..y.1).log_scale()),
    })
}

/// Domain and general perplexity in the course of trainings.
fn over_steps(courses: &[(&Cell, &Record)]) -> Vec<Figure> {
    if courses.is_empty() {
        return Vec::new();
    }
    let lines = |value: fn(&crate::eval::Perplexities) -> f64| -> Vec<Line> {
        courses
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
        let (cell, _) = courses[0];
        // Within a decade a logarithmic axis has too few ticks to read.
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
            caption: format!("{} samples, one seed{axis}; down is better.", cell.budget),
            svg,
        }
    })
    .collect()
}

impl Plot<'_> {
    /// What an axis shows, with a margin.
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
        // Drawing into a string cannot fail; a range that cannot be drawn gives an empty plot.
        if let Err(error) = drawn {
            log::warn!("a plot could not be drawn: {error}");
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
