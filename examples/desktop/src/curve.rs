//! A downsampled series that stays small enough to draw every frame.

use egui_plot::PlotPoint;

/// Maximum number of points, about two per pixel of a plot.
const MAX_POINTS: usize = 800;
/// The smoothing window extends to each side by the number of points divided by this.
const SMOOTHING: usize = 20;

/// A series of values, averaged over bins.
#[derive(Clone, Debug)]
pub struct Curve {
    points: Vec<PlotPoint>,
    /// Number of values per point.
    width: usize,
    /// Sum and number of the values of the next point.
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
    /// Appends the value of the next step, starting at step 1.
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
        if self.points.len() == MAX_POINTS {
            let halves = self.points.chunks_exact(2);
            self.points = halves
                .map(|pair| {
                    PlotPoint::new((pair[0].x + pair[1].x) / 2.0, (pair[0].y + pair[1].y) / 2.0)
                })
                .collect();
            self.width *= 2;
        }
    }

    /// The points, one per bin.
    pub fn points(&self) -> &[PlotPoint] {
        &self.points
    }

    /// The points, smoothed by a moving average.
    pub fn smoothed(&self) -> Vec<PlotPoint> {
        let around = self.points.len() / SMOOTHING;
        let middle = |index: usize| {
            // A symmetric window, which avoids bias at the ends.
            let around = around.min(index).min(self.points.len() - 1 - index);
            let points = &self.points[index - around..=index + around];
            let sum: f64 = points.iter().map(|point| point.y).sum();
            PlotPoint::new(self.points[index].x, sum / points.len() as f64)
        };
        (0..self.points.len()).map(middle).collect()
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_series_are_downsampled() {
        let mut curve = Curve::default();
        for step in 1..=100_000 {
            curve.push(f64::from(step));
        }
        assert_eq!(curve.len(), 100_000);
        assert!((MAX_POINTS / 2 - 1..MAX_POINTS).contains(&curve.points().len()));
        for point in curve.points() {
            assert!((point.x - point.y).abs() < 1e-6, "{point:?}");
        }
    }

    #[test]
    fn smoothing_preserves_lines_and_averages_noise() {
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
