//! Plots of loss and perplexity by step, and of gain against forgetting.

use eframe::egui::{Align, Color32, Layout, Rangef, RichText, Ui, Vec2, Vec2b};
use egui_plot::{
    AxisHints, GridMark, HoverPosition, Line, Plot, PlotPoint, PlotPoints, PlotUi, Points,
};
use minift::eval::Perplexities;
use minift::train::Evaluated;

use crate::dial::Moved;
use crate::format;
use crate::session::Session;
use crate::setup::Method;
use crate::theme::Palette;
use crate::widgets::card;

/// Approximate number of ticks per axis.
const MARKS: f64 = 5.0;
/// Tick distances at which the labels of the axes fade in and are fully visible.
const Y_LABELS: Rangef = Rangef {
    min: 9.0,
    max: 13.0,
};
const X_LABELS: Rangef = Rangef {
    min: 28.0,
    max: 34.0,
};

/// Pixels around the front of a training within which the pointer chooses its strength.
const REACH: f64 = 40.0;

/// Shows the plots side by side. Returns a strength when it is moved.
pub fn show(ui: &mut Ui, session: &Session, method: Method, height: f32) -> Option<Moved> {
    ui.columns_const(|[left, middle, right]| {
        card(left, "", |ui| loss(ui, session, method, height));
        card(middle, "", |ui| perplexities(ui, session, method, height));
        card(right, "", |ui| gain(ui, session, method, height))
    })
}

/// Shows a title with a legend.
fn title(ui: &mut Ui, title: &str, lines: &[(&str, Color32)]) {
    // Text only: do not reserve the height of a button.
    ui.spacing_mut().interact_size.y = 0.0;
    ui.horizontal(|ui| {
        ui.label(RichText::new(title).strong());
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            for (name, colour) in lines.iter().rev() {
                ui.label(RichText::new(format!("— {name}")).small().color(*colour));
            }
        });
    });
}

/// A plot over the steps.
fn by_step<'a>(name: &str, session: &Session, y_axis: AxisHints<'a>, height: f32) -> Plot<'a> {
    let steps = AxisHints::new_x()
        .label("step")
        .formatter(|mark, _| format::count(mark.value.max(0.0).round() as usize));
    plot(name, steps, y_axis, height)
        .include_x(0.0)
        .include_x(session.steps.max(10) as f64)
}

fn plot<'a>(name: &str, x_axis: AxisHints<'a>, y_axis: AxisHints<'a>, height: f32) -> Plot<'a> {
    Plot::new(name)
        .height(height)
        .x_grid_spacer(|input| even_marks(input.bounds))
        .custom_x_axes(vec![x_axis.label_spacing(X_LABELS)])
        .custom_y_axes(vec![y_axis.label_spacing(Y_LABELS).min_thickness(36.0)])
        .set_margin_fraction(Vec2::new(0.02, 0.08))
        .grid_spacing(Rangef::new(8.0, 32.0))
        .show_background(false)
        .allow_zoom(Vec2b::FALSE)
        .allow_drag(Vec2b::FALSE)
        .allow_scroll(Vec2b::FALSE)
        .allow_boxed_zoom(false)
        .allow_double_click_reset(false)
        .allow_axis_zoom_drag(Vec2b::FALSE)
}

fn loss(ui: &mut Ui, session: &Session, method: Method, height: f32) {
    let colours = Palette::of(ui);
    let colour = colours.method(method);
    let faint = colour.gamma_multiply(0.4);
    title(ui, "Loss", &[("each step", faint), ("smoothed", colour)]);
    let smoothed = session.losses.smoothed();
    let axis = AxisHints::new_y()
        .label("nats/token")
        .formatter(|mark, _| decimals(mark));
    by_step("loss", session, axis, height)
        .y_grid_spacer(|input| even_marks(input.bounds))
        .grid_color(colours.grid)
        .label_formatter(|position| label(position, |loss| format!("{loss:.3}")))
        .show(ui, |plot| {
            let each = PlotPoints::Borrowed(session.losses.points());
            plot.line(Line::new("each step", each).color(faint).width(1.0));
            let smoothed = PlotPoints::Borrowed(&smoothed);
            plot.line(Line::new("smoothed", smoothed).color(colour).width(2.0));
        });
}

fn perplexities(ui: &mut Ui, session: &Session, method: Method, height: f32) {
    let colours = Palette::of(ui);
    let points = |set: fn(&Perplexities) -> f64| {
        let finite = session.evaluations.iter().map(move |evaluated| {
            let value = set(&evaluated.perplexities);
            PlotPoint::new(evaluated.step as f64, value.log10())
        });
        finite
            .filter(|point| point.y.is_finite())
            .collect::<Vec<_>>()
    };
    let sets = [
        ("domain", points(|both| both.domain), colours.method(method)),
        ("general", points(|both| both.general), colours.general),
    ];
    let lines = [("domain", sets[0].2), ("general", sets[1].2)];
    title(ui, "Perplexity", &lines);
    let axis = AxisHints::new_y().label("log scale").formatter(|mark, _| {
        let value = 10_f64.powf(mark.value);
        if value < 10.0 {
            format!("{value:.1}")
        } else {
            format::count(value.round() as usize)
        }
    });
    by_step("perplexity", session, axis, height)
        .y_grid_spacer(|input| logarithmic_marks(input.bounds))
        .grid_color(colours.grid)
        .label_formatter(|position| label(position, |log| format::perplexity(10_f64.powf(log))))
        .show(ui, |plot| {
            for (name, points, colour) in &sets {
                marked_line(plot, name, points, *colour);
            }
        });
}

/// Gain against forgetting in nats per token: the way of the run, and the strengths of finished runs.
fn gain(ui: &mut Ui, session: &Session, method: Method, height: f32) -> Option<Moved> {
    let colours = Palette::of(ui);
    title(ui, "Gain and forgetting", &[("nats/token", colours.muted)]);
    let rows = session.rows();
    let fronts: Vec<_> = rows
        .iter()
        .filter(|row| row.so_far.is_none())
        .map(|row| {
            let points = row.strengths.nats().map(place);
            let points = points.filter(is_finite).collect::<Vec<_>>();
            (row, points)
        })
        .collect();
    let of_run = session.evaluations.first().map(|first| {
        let nats = |evaluated: &Evaluated| first.perplexities.nats_to(evaluated.perplexities);
        let points = session.evaluations.iter().map(nats);
        let points = points.map(place).filter(is_finite);
        points.collect::<Vec<_>>()
    });
    let way = of_run.filter(|_| session.outcome().is_none());
    let strengths = session.strengths();
    let chosen = strengths.map(|strengths| place(strengths.place(strengths.chosen)));
    let forgotten = AxisHints::new_x().label("forgotten");
    let gained = AxisHints::new_y().label("gained");
    let [forgotten, gained] =
        [forgotten, gained].map(|axis| axis.formatter(|mark, _| decimals(mark)));
    let shown = plot("gain", forgotten, gained, height)
        .include_x(0.0)
        .include_y(0.0)
        .y_grid_spacer(|input| even_marks(input.bounds))
        .grid_color(colours.grid)
        .label_formatter(|position| match position {
            HoverPosition::NearDataPoint {
                plot_name,
                position: PlotPoint { x, y },
                ..
            } => Some(format!("{plot_name}\ngained {y:.3}\nforgotten {x:.3}")),
            HoverPosition::Elsewhere { .. } => None,
        })
        .show(ui, |plot| {
            if let Some(way) = &way {
                marked_line(plot, "so far", way, colours.method(method));
            }
            for (row, points) in &fronts {
                marked_line(plot, &row.name, points, colours.method(row.method));
            }
            if let Some(chosen) = chosen {
                let ring = Points::new("chosen", vec![[chosen.x, chosen.y]]);
                let ring = ring.color(colours.method(method));
                plot.points(ring.radius(7.0).filled(false));
            }
        });
    let strengths = strengths?;
    let pointer = shown.response.interact_pointer_pos()?;
    let (weight, distance) = strengths.nearest(|nats| {
        let there = shown.transform.position_from_point(&place(nats));
        f64::from(there.distance(pointer))
    })?;
    match distance <= REACH {
        true => Moved::new(&shown.response, strengths, weight),
        false => None,
    }
}

/// The place of what is lost and gained.
fn place((lost, gained): (f64, f64)) -> PlotPoint {
    PlotPoint::new(lost, gained)
}

fn is_finite(point: &PlotPoint) -> bool {
    point.x.is_finite() && point.y.is_finite()
}

/// The label of a tick, with enough decimals to distinguish it from the next.
fn decimals(mark: GridMark) -> String {
    let decimals = (-mark.step_size.log10()).ceil().clamp(0.0, 6.0) as usize;
    format!("{:.decimals$}", mark.value).replace('-', "−")
}

/// Label of the point under the mouse.
fn label(position: &HoverPosition<'_>, value: impl Fn(f64) -> String) -> Option<String> {
    match position {
        HoverPosition::NearDataPoint {
            plot_name,
            position,
            ..
        } => {
            let value = value(position.y);
            Some(format!("{plot_name}\nstep {:.0}: {value}", position.x))
        }
        HoverPosition::Elsewhere { .. } => None,
    }
}

fn marked_line<'a>(plot: &mut PlotUi<'a>, name: &str, points: &'a [PlotPoint], colour: Color32) {
    let line = Line::new(name, PlotPoints::Borrowed(points));
    plot.line(line.color(colour).width(2.0));
    let marks = Points::new(name, PlotPoints::Borrowed(points));
    plot.points(marks.color(colour).radius(3.0));
}

/// Whether the bounds are finite and not empty.
fn is_axis((low, high): (f64, f64)) -> bool {
    low.is_finite() && high.is_finite() && low < high
}

/// Evenly spaced ticks at round numbers.
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

/// Ticks at round numbers of a logarithmic axis: a few per decade, or evenly spaced values if the range is
/// much shorter than a decade.
fn logarithmic_marks((low, high): (f64, f64)) -> Vec<GridMark> {
    if !is_axis((low, high)) || high - low > 20.0 {
        return Vec::new();
    }
    let values: Vec<f64> = if high - low > 0.7 {
        let digits: &[f64] = match high - low {
            ..1.2 => &[1.0, 2.0, 5.0],
            ..3.0 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let decades = low.floor() as i32..=high.ceil() as i32;
        let values = decades.flat_map(|decade| {
            let unit = 10_f64.powi(decade);
            digits.iter().map(move |digit| digit * unit)
        });
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
    // The same step size gives all ticks the same weight.
    let step_size = (high - low) / inside.len().max(1) as f64;
    inside
        .into_iter()
        .map(|value| GridMark { value, step_size })
        .collect()
}

/// Rounds up to 1, 2 or 5 times a power of ten.
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
    fn ticks_are_round_numbers() {
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
        assert_eq!(logarithmic(19.0, 270.0), [20.0, 50.0, 100.0, 200.0]);
        assert_eq!(logarithmic(9.0, 600.0), [10.0, 30.0, 100.0, 300.0]);
        assert_eq!(logarithmic(0.5, 5000.0), [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(logarithmic(27.0, 33.5), [28.0, 30.0, 32.0]);
        assert!(logarithmic(1.0, f64::INFINITY).is_empty());
        assert!(logarithmic(5.0, 5.0).is_empty());
    }
}
