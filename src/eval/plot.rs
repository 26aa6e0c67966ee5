//! Plots as SVG.

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

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

/// A line through points.
pub(crate) struct Line {
    /// Number of its colour.
    colour: usize,
    points: Vec<(f64, f64)>,
    /// Highlighted points.
    marked: Vec<(f64, f64)>,
    /// A thin line without points, for a background.
    is_thin: bool,
}

/// Larger values are from diverged trainings. They would squash all other points, and axes cannot be drawn
/// over arbitrary ranges.
const LARGEST: f64 = 1e6;

impl Line {
    /// Returns the line through the points in range; `None` if there are none.
    pub(crate) fn new(
        colour: usize,
        points: impl IntoIterator<Item = (f64, f64)>,
        marked: impl IntoIterator<Item = (f64, f64)>,
    ) -> Option<Self> {
        // False for NaN.
        let shown = |&(x, y): &(f64, f64)| x.abs() <= LARGEST && y.abs() <= LARGEST;
        let points: Vec<_> = points.into_iter().filter(shown).collect();
        (!points.is_empty()).then(|| Self {
            colour,
            points,
            marked: marked.into_iter().filter(shown).collect(),
            is_thin: false,
        })
    }

    /// Returns the line without its points, thin.
    pub(crate) fn thin(self) -> Self {
        Self {
            is_thin: true,
            ..self
        }
    }
}

/// Lines over two axes.
pub(crate) struct Plot<'a> {
    /// Label of the horizontal axis.
    pub x_label: &'a str,
    /// Label of the vertical axis.
    pub y_label: &'a str,
    /// The lines.
    pub lines: Vec<Line>,
    /// Texts beside points.
    pub labels: Vec<((f64, f64), String)>,
    /// The base model.
    pub origin: Option<(f64, f64)>,
}

/// Returns a colour by its number, in CSS.
pub(crate) fn colour(number: usize) -> String {
    let RGBColor(r, g, b) = COLOURS[number % COLOURS.len()];
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// How a line is drawn, which tells apart lines of the same colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stroke {
    Solid,
    Dashed,
    Dotted,
}

impl Stroke {
    /// Returns the stroke of a colour by its number: for numbers beyond the palette, the colours begin again.
    pub(crate) fn of(number: usize) -> Self {
        match number / COLOURS.len() {
            0 => Self::Solid,
            1 => Self::Dashed,
            _ => Self::Dotted,
        }
    }

    /// Returns its name in CSS.
    pub(crate) fn css(self) -> &'static str {
        match self {
            Self::Solid => "solid",
            Self::Dashed => "dashed",
            Self::Dotted => "dotted",
        }
    }

    /// Returns the lengths of dashes and gaps in pixels; `None` for a solid line.
    fn dashes(self) -> Option<(u32, u32)> {
        match self {
            Self::Solid => None,
            Self::Dashed => Some((6, 4)),
            Self::Dotted => Some((2, 3)),
        }
    }
}

impl Plot<'_> {
    /// Returns the range of an axis, with a margin.
    pub(crate) fn range(
        &self,
        value: impl Fn(&(f64, f64)) -> f64,
        logarithmic: bool,
    ) -> (f64, f64) {
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

    /// Returns the plot as SVG, with text in the colour of the page.
    pub(crate) fn draw<X, Y>(&self, x: X, y: Y) -> String
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
            .axis_desc_style(font.clone())
            .axis_style(TEXT.mix(0.6))
            .bold_line_style(TEXT.mix(0.12))
            .light_line_style(TRANSPARENT)
            .draw()?;
        if let Some(origin) = self.origin {
            chart.draw_series([Cross::new(origin, 5, TEXT.stroke_width(2))])?;
        }
        for line in &self.lines {
            let colour = COLOURS[line.colour % COLOURS.len()];
            let style = match line.is_thin {
                true => colour.mix(0.6).stroke_width(1),
                false => colour.stroke_width(2),
            };
            let points = line.points.iter().copied();
            match Stroke::of(line.colour).dashes() {
                Some((dash, gap)) => {
                    chart.draw_series(DashedLineSeries::new(points.clone(), dash, gap, style))?
                }
                None => chart.draw_series(LineSeries::new(points.clone(), style))?,
            };
            if line.is_thin {
                continue;
            }
            chart.draw_series(points.map(|point| Circle::new(point, 3, colour.filled())))?;
            let marked = line.marked.iter().copied();
            chart.draw_series(marked.map(|point| Circle::new(point, 6, colour.stroke_width(2))))?;
        }
        let labels = self.labels.iter().map(|(point, text)| {
            let text = Text::new(text.clone(), (8, 4), font.clone());
            EmptyElement::at(*point) + text
        });
        chart.draw_series(labels)?;
        area.present()?;
        Ok(())
    }
}
