//! Loss and perplexities by step, as they come.

use std::ops::RangeInclusive;

use eframe::egui::{Color32, Rangef, Ui, Vec2, Vec2b};
use egui_plot::{
    Corner, GridMark, HoverPosition, Legend, Line, Plot, PlotPoint, PlotPoints, Points,
};

use crate::format;
use crate::session::Session;
use crate::setup::Method;
use crate::theme::Palette;
use crate::widgets::card;

/// Marks on an axis, about.
const MARKS: f64 = 5.0;

/// Both plots side by side.
pub fn show(ui: &mut Ui, session: &Session, method: Method, height: f32) {
    ui.columns_const(|[left, right]| {
        card(left, "Loss", |ui| loss(ui, session, method, height));
        card(right, "Perplexity", |ui| {
            perplexities(ui, session, method, height)
        });
    });
}

fn plot<'a>(name: &str, session: &Session, height: f32) -> Plot<'a> {
    Plot::new(name)
        .height(height)
        .include_x(0.0)
        .include_x(session.steps.max(10) as f64)
        .x_axis_label("step")
        .x_grid_spacer(|input| even_marks(input.bounds))
        .x_axis_formatter(|mark, _| format::count(mark.value.max(0.0).round() as usize))
        .y_axis_min_width(36.0)
        .set_margin_fraction(Vec2::new(0.02, 0.08))
        .grid_spacing(Rangef::new(8.0, 32.0))
        .show_background(false)
        .allow_zoom(Vec2b::FALSE)
        .allow_drag(Vec2b::FALSE)
        .allow_scroll(Vec2b::FALSE)
        .allow_boxed_zoom(false)
        .allow_double_click_reset(false)
        .allow_axis_zoom_drag(Vec2b::FALSE)
        .legend(
            Legend::default()
                .position(Corner::RightTop)
                .background_alpha(0.6),
        )
}

fn loss(ui: &mut Ui, session: &Session, method: Method, height: f32) {
    let colours = Palette::of(ui);
    let colour = colours.method(method);
    let smoothed = session.losses.smoothed();
    plot("loss", session, height)
        .y_axis_label("nats a token")
        .y_grid_spacer(|input| even_marks(input.bounds))
        .y_axis_formatter(|mark, _| {
            // As many decimals as tell the marks apart.
            let decimals = (-mark.step_size.log10()).ceil().clamp(0.0, 6.0) as usize;
            format!("{:.decimals$}", mark.value)
        })
        .grid_color(colours.grid)
        .label_formatter(|position| match position {
            HoverPosition::NearDataPoint {
                plot_name,
                position,
                ..
            } => Some(format!(
                "{plot_name}\nstep {:.0}: {:.3}",
                position.x, position.y
            )),
            HoverPosition::Elsewhere { .. } => None,
        })
        .show(ui, |plot| {
            let faint = colour.gamma_multiply(0.35);
            let each = PlotPoints::Borrowed(session.losses.points());
            plot.line(Line::new("each step", each).color(faint).width(1.0));
            let smoothed = PlotPoints::Borrowed(&smoothed);
            plot.line(Line::new("smoothed", smoothed).color(colour).width(2.0));
        });
}

fn perplexities(ui: &mut Ui, session: &Session, method: Method, height: f32) {
    let colours = Palette::of(ui);
    let points = |set: fn(&minift::eval::Perplexities) -> f64| {
        let finite = session.evaluations.iter().map(move |evaluated| {
            PlotPoint::new(evaluated.step as f64, set(&evaluated.perplexities).log10())
        });
        finite
            .filter(|point| point.y.is_finite())
            .collect::<Vec<_>>()
    };
    let sets = [
        ("domain", points(|both| both.domain), colours.method(method)),
        ("general", points(|both| both.general), colours.general),
    ];
    plot("perplexity", session, height)
        .y_axis_label("log scale")
        .grid_color(colours.grid)
        .y_grid_spacer(|input| logarithmic_marks(input.bounds))
        .y_axis_formatter(|mark, _: &RangeInclusive<f64>| {
            let value = 10_f64.powf(mark.value);
            if value < 10.0 {
                format!("{value:.1}")
            } else {
                format::count(value.round() as usize)
            }
        })
        .label_formatter(|position| match position {
            HoverPosition::NearDataPoint {
                plot_name,
                position,
                ..
            } => Some(format!(
                "{plot_name}\nstep {:.0}: {}",
                position.x,
                format::perplexity(10_f64.powf(position.y))
            )),
            HoverPosition::Elsewhere { .. } => None,
        })
        .show(ui, |plot| {
            for (name, points, colour) in &sets {
                marked_line(plot, name, points, *colour);
            }
        });
}

fn marked_line<'a>(
    plot: &mut egui_plot::PlotUi<'a>,
    name: &str,
    points: &'a [PlotPoint],
    colour: Color32,
) {
    plot.line(
        Line::new(name, PlotPoints::Borrowed(points))
            .color(colour)
            .width(2.0),
    );
    plot.points(
        Points::new(name, PlotPoints::Borrowed(points))
            .color(colour)
            .radius(3.0),
    );
}

/// Whether there is an axis to mark: not without data, nor with data that no axis has room for.
fn is_axis((low, high): (f64, f64)) -> bool {
    low.is_finite() && high.is_finite() && low < high
}

/// Marks at round numbers in even distances.
fn even_marks((low, high): (f64, f64)) -> Vec<GridMark> {
    if !is_axis((low, high)) {
        return Vec::new();
    }
    let step_size = round_step((high - low) / MARKS);
    let values = even(low, high, step_size);
    values.map(|value| GridMark { value, step_size }).collect()
}

/// Multiples of a step from `low` to `high`.
fn even(low: f64, high: f64, step: f64) -> impl Iterator<Item = f64> {
    let first = (low / step).ceil();
    let values = (0..=MARKS as usize * 3).map(move |index| (first + index as f64) * step);
    values.take_while(move |value| *value <= high)
}

/// Marks at round numbers of an axis of logarithms: 1, 2 and 5 of every decade where it is long, even
/// distances where it is short.
fn logarithmic_marks((low, high): (f64, f64)) -> Vec<GridMark> {
    if !is_axis((low, high)) || high - low > 20.0 {
        return Vec::new();
    }
    let values: Vec<f64> = if high - low > 0.7 {
        let decades = low.floor() as i32..=high.ceil() as i32;
        let values =
            decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade)));
        values.collect()
    } else {
        let (low, high) = (10_f64.powf(low), 10_f64.powf(high));
        even(low, high, round_step((high - low) / MARKS)).collect()
    };
    let inside = values
        .into_iter()
        .filter(|value| *value > 0.0)
        .map(f64::log10);
    let inside: Vec<f64> = inside
        .filter(|value| (low..=high).contains(value))
        .collect();
    // All are drawn as strongly.
    let step_size = (high - low) / inside.len().max(1) as f64;
    inside
        .into_iter()
        .map(|value| GridMark { value, step_size })
        .collect()
}

/// The round number next above: 1, 2 or 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let digit = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|digit| digit * power >= step);
    digit.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(marks: &[GridMark]) -> Vec<f64> {
        marks
            .iter()
            .map(|mark| (mark.value * 1e6).round() / 1e6)
            .collect()
    }

    #[test]
    fn round_numbers_are_marked() {
        assert_eq!(
            values(&even_marks((0.0, 40.0))),
            [0.0, 10.0, 20.0, 30.0, 40.0]
        );
        assert_eq!(values(&even_marks((0.13, 2.61))), [0.5, 1.0, 1.5, 2.0, 2.5]);
        assert!(values(&even_marks((f64::NEG_INFINITY, 1.0))).is_empty());
        let logarithmic = |low: f64, high: f64| {
            let marks = logarithmic_marks((low.log10(), high.log10()));
            let marks = marks
                .iter()
                .map(|mark| (10_f64.powf(mark.value) * 1e6).round() / 1e6);
            marks.collect::<Vec<f64>>()
        };
        assert_eq!(
            logarithmic(9.0, 600.0),
            [10.0, 20.0, 50.0, 100.0, 200.0, 500.0]
        );
        assert_eq!(logarithmic(27.0, 33.5), [28.0, 30.0, 32.0]);
        assert!(logarithmic(1.0, f64::INFINITY).is_empty());
        assert!(logarithmic(5.0, 5.0).is_empty());
    }
}
