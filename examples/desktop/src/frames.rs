//! How evenly frames come: the time from each to the next.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Times that are kept; the oldest go first.
const KEPT: usize = 4096;

/// Times between frames that follow each other.
#[derive(Debug, Default)]
pub struct Frames {
    last: Option<Instant>,
    times: VecDeque<f32>,
}

/// What they come to, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How many.
    pub frames: usize,
    /// The middle one.
    pub median_ms: f32,
    /// That which a twentieth are longer than.
    pub percentile_95_ms: f32,
    /// The longest.
    pub longest_ms: f32,
}

impl Frames {
    /// A frame begins at `now`. Where `counts` is false it is none of those that are measured, and neither
    /// is the time to the next.
    pub fn frame(&mut self, now: Instant, counts: bool) {
        if let (Some(last), true) = (self.last, counts) {
            self.add(now - last);
        }
        self.last = counts.then_some(now);
    }

    fn add(&mut self, time: Duration) {
        if self.times.len() == KEPT {
            self.times.pop_front();
        }
        self.times.push_back(time.as_secs_f32() * 1e3);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// `None` as long as nothing was measured.
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
    fn times_between_frames_that_count() {
        let mut frames = Frames::default();
        let mut now = Instant::now();
        assert_eq!(frames.summary(), None);
        // 20 times of 10 ms, and a longer one to and from a frame that does not count.
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
