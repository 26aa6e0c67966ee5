//! A line of any number of values, kept short enough to be drawn in every frame.

use eframe::egui::emath::lerp;
use egui_plot::PlotPoint;

/// Points at most: about two a pixel of a plot.
const MOST: usize = 800;
/// Share of the past in the smoothed line, for each further point.
const SMOOTHING: f64 = 0.9;

/// Means of as many neighbours as it takes.
#[derive(Clone, Debug)]
pub struct Curve {
    points: Vec<PlotPoint>,
    /// Values that each point is the mean of.
    width: usize,
    /// The values of the next point: their sum, and how many there are.
    next: (f64, usize),
    values: usize,
}

impl Default for Curve {
    fn default() -> Self {
        Self {
            points: Vec::new(),
            width: 1,
            next: (0.0, 0),
            values: 0,
        }
    }
}

impl Curve {
    /// Adds the value of the next step; the first is that of step 1.
    pub fn push(&mut self, value: f64) {
        self.values += 1;
        self.next = (self.next.0 + value, self.next.1 + 1);
        if self.next.1 < self.width {
            return;
        }
        let middle = self.values as f64 - (self.width as f64 - 1.0) / 2.0;
        self.points
            .push(PlotPoint::new(middle, self.next.0 / self.width as f64));
        self.next = (0.0, 0);
        if self.points.len() == MOST {
            let halves = self.points.chunks_exact(2);
            self.points = halves
                .map(|pair| {
                    PlotPoint::new((pair[0].x + pair[1].x) / 2.0, (pair[0].y + pair[1].y) / 2.0)
                })
                .collect();
            self.width *= 2;
        }
    }

    /// The points, one for as many steps as it takes.
    pub fn points(&self) -> &[PlotPoint] {
        &self.points
    }

    /// The same, each pulled towards those before it.
    pub fn smoothed(&self) -> Vec<PlotPoint> {
        let mut mean = 0.0;
        let mut weight = 0.0;
        let smooth = self.points.iter().map(|point| {
            mean = lerp(point.y..=mean, SMOOTHING);
            weight = lerp(1.0..=weight, SMOOTHING);
            // The first means are of few points, and would be pulled to 0.
            PlotPoint::new(point.x, mean / weight)
        });
        smooth.collect()
    }

    /// How many values there were.
    pub fn len(&self) -> usize {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_stay_short_and_keep_their_course() {
        let mut curve = Curve::default();
        for step in 1..=100_000 {
            curve.push(f64::from(step));
        }
        assert_eq!(curve.len(), 100_000);
        assert!((MOST / 2 - 1..MOST).contains(&curve.points().len()));
        for point in curve.points() {
            assert!((point.x - point.y).abs() < 1e-6, "{point:?}");
        }
    }

    #[test]
    fn what_stays_the_same_is_the_same_smoothed() {
        let mut curve = Curve::default();
        for _ in 0..50 {
            curve.push(3.0);
        }
        assert!(
            curve
                .smoothed()
                .iter()
                .all(|point| (point.y - 3.0).abs() < 1e-9)
        );
    }
}
