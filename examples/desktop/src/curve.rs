//! A line of any number of values, kept short enough to be drawn in every frame.

use egui_plot::PlotPoint;

/// Points at most: about two a pixel of a plot.
const MOST: usize = 800;
/// A point of the smoothed line is the mean of this part of the points on each of its sides.
const AROUND: usize = 20;

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

    /// The same, each the mean of those around it.
    pub fn smoothed(&self) -> Vec<PlotPoint> {
        let around = self.points.len() / AROUND;
        let middle = |index: usize| {
            // As many on both sides, so that the ends do not lean.
            let around = around.min(index).min(self.points.len() - 1 - index);
            let points = &self.points[index - around..=index + around];
            let sum: f64 = points.iter().map(|point| point.y).sum();
            PlotPoint::new(self.points[index].x, sum / points.len() as f64)
        };
        (0..self.points.len()).map(middle).collect()
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
    fn smoothing_keeps_straight_lines_and_halves_noise() {
        let mut straight = Curve::default();
        let mut noisy = Curve::default();
        for step in 0..200 {
            straight.push(f64::from(step));
            noisy.push(f64::from(step % 2));
        }
        for (smoothed, point) in straight.smoothed().iter().zip(straight.points()) {
            assert!((smoothed.y - point.y).abs() < 1e-9);
        }
        let inner = &noisy.smoothed()[20..180];
        assert!(inner.iter().all(|point| (point.y - 0.5).abs() < 0.05));
    }
}
