//! Frame-time statistics.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Number of frame times to keep; the oldest are dropped.
const CAPACITY: usize = 4096;

/// Intervals between consecutive frames.
#[derive(Debug, Default)]
pub struct Frames {
    last: Option<Instant>,
    times: VecDeque<f32>,
}

/// Summary statistics in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Number of frames.
    pub frames: usize,
    /// Median.
    pub median_ms: f32,
    /// 95th percentile.
    pub percentile_95_ms: f32,
    /// Maximum.
    pub longest_ms: f32,
}

impl Frames {
    /// Records a frame that begins at `now`. If `counts` is false, the intervals before and after it are
    /// not measured.
    pub fn frame(&mut self, now: Instant, counts: bool) {
        if let (Some(last), true) = (self.last, counts) {
            self.add(now - last);
        }
        self.last = counts.then_some(now);
    }

    fn add(&mut self, time: Duration) {
        if self.times.len() == CAPACITY {
            self.times.pop_front();
        }
        self.times.push_back(time.as_secs_f32() * 1e3);
    }

    /// Discards all measurements.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the statistics, or `None` without measurements.
    pub fn summary(&self) -> Option<Summary> {
        let mut times: Vec<f32> = self.times.iter().copied().collect();
        times.sort_unstable_by(f32::total_cmp);
        let longest_ms = *times.last()?;
        Some(Summary {
            frames: times.len(),
            median_ms: times[times.len() / 2],
            percentile_95_ms: times[times.len() * 95 / 100],
            longest_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_counted_frames_are_measured() {
        let mut frames = Frames::default();
        let mut now = Instant::now();
        assert_eq!(frames.summary(), None);
        // 20 intervals of 10 ms, and longer ones before and after a frame that does not count.
        for index in 0..23 {
            frames.frame(now, index != 21);
            now += Duration::from_millis(if index < 20 { 10 } else { 500 });
        }
        let summary = frames.summary().unwrap();
        assert_eq!(summary.frames, 20);
        assert!((summary.median_ms - 10.0).abs() < 1e-3);
        assert!((summary.longest_ms - 10.0).abs() < 1e-3);
        frames.frame(now, true);
        let summary = frames.summary().unwrap();
        assert!((summary.longest_ms - 500.0).abs() < 1e-3);
        assert!((summary.percentile_95_ms - 10.0).abs() < 1e-3);
    }
}
