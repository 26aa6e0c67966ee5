//! The strength of a finished training: from what the model knew to what it was taught.

use eframe::egui::{Response, RichText, Slider, Ui};
use minift::eval::{FrontPoint, Perplexities};

use crate::drive;
use crate::format;
use crate::widgets::small;

/// Step of the strength.
const STEP: f64 = 0.05;

/// The measured strengths of a training, and the chosen one.
#[derive(Clone, Debug, PartialEq)]
pub struct Strengths {
    /// Perplexities of the original model.
    original: Perplexities,
    /// Measured points by increasing strength, from 0 to 1.
    points: Vec<FrontPoint>,
    /// The chosen strength.
    pub chosen: f64,
}

impl Strengths {
    /// The strengths of a training that lead from one pair of perplexities to another; full strength is chosen.
    pub fn new(original: Perplexities, trained: Perplexities) -> Self {
        let ends = [(0.0, original), (1.0, trained)];
        Self {
            original,
            points: ends
                .map(|(weight, found)| FrontPoint::new(weight, original, found))
                .to_vec(),
            chosen: 1.0,
        }
    }

    /// Adds a measured point.
    pub fn add(&mut self, point: FrontPoint) {
        let place = self
            .points
            .partition_point(|other| other.weight < point.weight);
        if self.points.get(place).map(|other| other.weight) != Some(point.weight) {
            self.points.insert(place, point);
        }
    }

    /// The measured points in nats per token: what the general loss lost, and what the domain loss gained.
    pub fn nats(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let points = self.points.iter();
        points.map(|point| self.original.nats_to(point.perplexities))
    }

    /// The measured point of a strength.
    pub fn measured(&self, weight: f64) -> Option<&FrontPoint> {
        self.points.iter().find(|point| point.weight == weight)
    }

    /// The perplexities at a strength: measured, or between the points around it, linearly in their logarithms.
    pub fn at(&self, weight: f64) -> Perplexities {
        let above = self.points.partition_point(|point| point.weight < weight);
        let above = above.min(self.points.len() - 1);
        let (from, to) = (&self.points[above.saturating_sub(1)], &self.points[above]);
        let part = match to.weight > from.weight {
            true => (weight - from.weight) / (to.weight - from.weight),
            false => 1.0,
        };
        let between = |a: f64, b: f64| a.powf(1.0 - part) * b.powf(part);
        let (from, to) = (from.perplexities, to.perplexities);
        match part {
            0.0 => from,
            1.0 => to,
            _ => Perplexities {
                domain: between(from.domain, to.domain),
                general: between(from.general, to.general),
            },
        }
    }

    /// The place of a strength in nats per token, see [`Self::nats`].
    pub fn place(&self, weight: f64) -> (f64, f64) {
        self.original.nats_to(self.at(weight))
    }

    /// The strength whose place is nearest to a position on the screen, and its distance there.
    pub fn nearest(&self, distance: impl Fn((f64, f64)) -> f64) -> Option<(f64, f64)> {
        let steps = (1.0 / STEP).round() as usize;
        let weights = (0..=steps).map(|step| rounded(step as f64 * STEP));
        let places = weights.map(|weight| (weight, distance(self.place(weight))));
        places.min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// A multiple of [`STEP`] without what floating point adds to it.
fn rounded(weight: f64) -> f64 {
    (weight * 1000.0).round() / 1000.0
}

/// A strength that a control moved to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moved {
    /// The strength.
    pub weight: f64,
    /// Whether the movement has ended. Until then, the perplexities shown are estimates.
    pub ended: bool,
}

impl Moved {
    /// The movement of a control to a strength in this frame; `None` while it stays where it is.
    pub fn new(control: &Response, strengths: &Strengths, weight: f64) -> Option<Self> {
        let ended = !control.is_pointer_button_down_on();
        let has_moved = weight != strengths.chosen || control.drag_stopped() || control.clicked();
        has_moved.then_some(Self { weight, ended })
    }
}

/// Shows the slider of a finished run. Returns a strength when it is moved.
pub fn show(ui: &mut Ui, strengths: &Strengths) -> Option<Moved> {
    let mut weight = strengths.chosen;
    let slider = ui.horizontal(|ui| {
        ui.label(RichText::new("Strength").strong());
        ui.label(small("more of what it knew"));
        ui.spacing_mut().slider_width = (ui.available_width() - 160.0).max(80.0);
        let slider = Slider::new(&mut weight, 0.0..=1.0).step_by(STEP);
        let slider = ui.add(slider.show_value(false));
        drive::mark("strength", &slider);
        ui.label(small("more of your text"));
        ui.label(format::decimal(weight));
        slider
    });
    // Not by `changed()`, which is also true where the slider's own rounding differs.
    Moved::new(&slider.inner, strengths, rounded(weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn perplexities(domain: f64, general: f64) -> Perplexities {
        Perplexities { domain, general }
    }

    #[test]
    fn strengths_between_measured_ones_are_estimated() {
        let (original, trained) = (perplexities(400.0, 25.0), perplexities(25.0, 100.0));
        let mut strengths = Strengths::new(original, trained);
        assert_eq!(strengths.at(0.0), original);
        assert_eq!(strengths.at(1.0), trained);
        let half = strengths.at(0.5);
        assert!((half.domain - 100.0).abs() < 1e-9 && (half.general - 50.0).abs() < 1e-9);
        assert!(strengths.measured(0.5).is_none());

        let point = FrontPoint::new(0.5, original, perplexities(64.0, 36.0));
        strengths.add(point);
        strengths.add(point);
        assert_eq!(strengths.nats().count(), 3);
        assert_eq!(strengths.measured(0.5), Some(&point));
        assert_eq!(strengths.at(0.5), point.perplexities);
        let quarter = strengths.at(0.25);
        assert!((quarter.domain - 160.0).abs() < 1e-9 && (quarter.general - 30.0).abs() < 1e-9);
    }

    #[test]
    fn the_nearest_strength_is_a_step_of_the_slider() {
        let mut strengths = Strengths::new(perplexities(400.0, 25.0), perplexities(25.0, 100.0));
        let to = strengths.place(0.31);
        let found = strengths.nearest(|(x, y)| (x - to.0).hypot(y - to.1));
        assert_eq!(found.map(|(weight, _)| weight), Some(0.3));
        strengths.chosen = 0.3;
        assert_eq!(
            strengths.nearest(|_| f64::NAN).map(|(weight, _)| weight),
            Some(0.0)
        );
    }
}
