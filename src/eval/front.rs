//! The front of gain against forgetting that one training gives over its strengths.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use web_time::Instant;

use super::metrics::{Metrics, Perplexities};
use super::pair::PairEvaluation;
use crate::error::Result;
use crate::model::{CausalLm, Dial, DialProfile};
use crate::text::{Sample, predicted_tokens};

/// Strengths that are always measured, besides the ends.
const WEIGHTS: [f64; 3] = [0.5, 0.25, 0.75];
/// Number of further strengths, where the front bends.
const REFINEMENTS: usize = 2;
/// Minimum number of samples of each set.
const MIN_SAMPLES: usize = 16;

/// A point of a front: a finetuning at a strength.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify), tsify(hashmap_as_object))]
pub struct FrontPoint {
    /// The strength, from 0, untouched, to 1, trained.
    pub weight: f64,
    /// Perplexities on both sets.
    #[serde(flatten)]
    pub perplexities: Perplexities,
    /// S, DG and S/DG compared with the untouched model.
    #[serde(flatten)]
    pub metrics: Metrics,
}

impl FrontPoint {
    /// Compares a strength with the untouched model.
    pub fn new(weight: f64, untouched: Perplexities, perplexities: Perplexities) -> Self {
        Self {
            weight,
            perplexities,
            metrics: Metrics::new(untouched, perplexities),
        }
    }
}

/// Gain against forgetting over the strengths of one training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify), tsify(hashmap_as_object))]
pub struct Front {
    /// How the strength is spread over the layers.
    pub profile: DialProfile,
    /// Number of domain samples that it is measured on.
    pub domain_samples: usize,
    /// Number of general samples that it is measured on.
    pub general_samples: usize,
    /// Seconds that measuring it took.
    pub seconds: f64,
    /// Perplexities of the untouched model on these samples.
    pub untouched: Perplexities,
    /// The points by increasing strength.
    pub points: Vec<FrontPoint>,
}

impl Front {
    /// Returns the points in nats per token: what the general loss lost, and what the domain loss gained.
    pub fn nats(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let points = self.points.iter();
        points.map(|point| self.untouched.nats_to(point.perplexities))
    }

    /// Returns the front as an SVG file, with the chosen strength ringed.
    #[cfg(feature = "compare")]
    pub fn svg(&self, chosen: f64) -> String {
        use super::plot::{Line, Plot};

        let points = || self.nats().zip(&self.points);
        let marked = points().filter(|(_, point)| point.weight == chosen);
        let line = Line::new(1, self.nats(), marked.map(|(place, _)| place));
        let plot = Plot {
            x_label: "forgotten: general loss, nats per token",
            y_label: "gained: domain loss, nats per token",
            lines: line.into_iter().collect(),
            labels: points()
                .filter(|((lost, gained), _)| lost.is_finite() && gained.is_finite())
                .map(|(place, point)| (place, format_weight(point.weight)))
                .collect(),
            origin: Some((0.0, 0.0)),
        };
        let (x, y) = (plot.range(|p| p.0, false), plot.range(|p| p.1, false));
        plot.draw(x.0..x.1, y.0..y.1)
    }
}

/// Formats a strength: 0.5, 0.672.
pub fn format_weight(weight: f64) -> String {
    let text = format!("{weight:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// What one step of [`FrontSearch::advance`] did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrontProgress {
    /// The strength being measured.
    pub weight: f64,
    /// Batches done.
    pub done: usize,
    /// Estimated total number of batches.
    pub total: usize,
    /// The point, if this step completed it.
    pub point: Option<FrontPoint>,
}

/// The measurement of a front, which advances by one batch at a time: the ends, a short list of strengths, and
/// then strengths where the front bends.
#[derive(Clone, Debug)]
pub struct FrontSearch {
    dial: Dial,
    domain: Vec<Sample>,
    general: Vec<Sample>,
    batch_size: usize,
    untouched: Option<Perplexities>,
    /// Measured strengths, in increasing order.
    found: Vec<(f64, Perplexities)>,
    /// Strengths to measure.
    next: VecDeque<Probe>,
    refinements: usize,
    current: Option<(Probe, Box<CausalLm>, PairEvaluation)>,
    done: usize,
    seconds: f64,
}

/// A model to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Probe {
    Untouched,
    At(f64),
}

impl Probe {
    fn weight(self) -> f64 {
        match self {
            Self::Untouched => 0.0,
            Self::At(weight) => weight,
        }
    }
}

impl FrontSearch {
    /// Starts the measurement on a domain set and a general set, `batch_size` samples per batch.
    ///
    /// # Errors
    ///
    /// As [`Evaluation::new`](super::Evaluation::new).
    pub fn new(
        dial: Dial,
        domain: &[Sample],
        general: &[Sample],
        batch_size: usize,
    ) -> Result<Self> {
        PairEvaluation::new(domain, general, batch_size)?;
        let mut next = VecDeque::from([Probe::Untouched, Probe::At(1.0)]);
        next.extend(WEIGHTS.map(Probe::At));
        if !dial.profile().ends_untouched() {
            next.push_back(Probe::At(0.0));
        }
        Ok(Self {
            dial,
            domain: domain.to_vec(),
            general: general.to_vec(),
            batch_size,
            untouched: None,
            found: Vec::new(),
            next,
            refinements: REFINEMENTS,
            current: None,
            done: 0,
            seconds: 0.0,
        })
    }

    /// Also measures these strengths, such as a chosen one.
    ///
    /// # Errors
    ///
    /// As [`Dial::at`].
    pub fn with_weights(mut self, weights: &[f64]) -> Result<Self> {
        for &weight in weights {
            self.dial.at(weight)?;
            let probe = Probe::At(weight);
            let is_untouched = weight == 0.0 && self.dial.profile().ends_untouched();
            let is_known = self.found.iter().any(|&(other, _)| other == weight);
            if !(is_untouched || is_known || self.next.contains(&probe)) {
                self.next.push_back(probe);
            }
        }
        Ok(self)
    }

    /// Measures these strengths only, and on all samples, for which the perplexities of the untouched and the
    /// trained model are known.
    ///
    /// # Errors
    ///
    /// As [`Dial::at`].
    pub fn at(
        mut self,
        weights: &[f64],
        untouched: Perplexities,
        trained: Perplexities,
    ) -> Result<Self> {
        let ends_untouched = self.dial.profile().ends_untouched();
        self.next.clear();
        self.refinements = 0;
        self.take_ends(untouched, trained);
        if !ends_untouched {
            self.next.push_back(Probe::At(0.0));
        }
        self.with_weights(weights)
    }

    /// Records the perplexities of the untouched and the trained model.
    fn take_ends(&mut self, untouched: Perplexities, trained: Perplexities) {
        self.untouched = Some(untouched);
        self.add(1.0, trained);
        if self.dial.profile().ends_untouched() {
            self.add(0.0, untouched);
        }
        let known = [Probe::Untouched, Probe::At(1.0)];
        self.next.retain(|probe| !known.contains(probe));
    }

    /// Measures on a part of both sets, evenly spread, so that the whole front takes about `tokens` predicted
    /// tokens, with at least 16 samples of each set. If all samples fit, the perplexities of the untouched and the
    /// trained model on them are used.
    #[must_use]
    pub fn within(mut self, tokens: f64, untouched: Perplexities, trained: Perplexities) -> Self {
        let of_one = (predicted_tokens(&self.domain) + predicted_tokens(&self.general)) as f64;
        let points = self.next.len() + self.refinements;
        let share = tokens / (of_one * points as f64);
        let counts = [&self.domain, &self.general].map(|set| {
            let count = (set.len() as f64 * share) as usize;
            count.max(MIN_SAMPLES).min(set.len())
        });
        if counts == [self.domain.len(), self.general.len()] {
            self.take_ends(untouched, trained);
        } else {
            self.domain = spread(&self.domain, counts[0]);
            self.general = spread(&self.general, counts[1]);
        }
        self
    }

    /// Evaluates the next batch; `None` once the front is complete.
    ///
    /// # Errors
    ///
    /// [`Error::Device`](crate::Error::Device).
    pub async fn advance(&mut self) -> Result<Option<FrontProgress>> {
        let began = Instant::now();
        let (probe, model, evaluation) = match &mut self.current {
            Some(current) => current,
            none => {
                let Some(probe) = self.next.pop_front() else {
                    return Ok(None);
                };
                let model = match probe {
                    Probe::Untouched => self.dial.untouched().clone(),
                    Probe::At(weight) => self.dial.at(weight)?,
                };
                let evaluation = PairEvaluation::new(&self.domain, &self.general, self.batch_size)?;
                none.insert((probe, Box::new(model), evaluation))
            }
        };
        let probe = *probe;
        let found = evaluation
            .advance(model, &self.domain, &self.general)
            .await?;
        let (_, batches) = evaluation.progress();
        self.dial.trained().device().check()?;
        self.done += 1;
        let mut point = None;
        if let Some(found) = found {
            self.current = None;
            point = self.complete(probe, found);
        }
        self.seconds += began.elapsed().as_secs_f64();
        let left = match &self.current {
            Some((_, _, evaluation)) => batches - evaluation.progress().0,
            None => 0,
        };
        let probes = self.next.len() + self.refinements;
        Ok(Some(FrontProgress {
            weight: probe.weight(),
            done: self.done,
            total: self.done + left + probes * batches,
            point,
        }))
    }

    /// Returns the front once it is complete.
    pub fn front(&self) -> Option<Front> {
        let is_complete = self.next.is_empty() && self.current.is_none();
        let untouched = self.untouched.filter(|_| is_complete)?;
        let points = self.found.iter();
        let points = points.map(|&(weight, found)| FrontPoint::new(weight, untouched, found));
        Some(Front {
            profile: self.dial.profile(),
            domain_samples: self.domain.len(),
            general_samples: self.general.len(),
            seconds: self.seconds,
            untouched,
            points: points.collect(),
        })
    }

    /// Records what was measured, and continues where the front bends.
    fn complete(&mut self, probe: Probe, found: Perplexities) -> Option<FrontPoint> {
        if probe == Probe::Untouched {
            self.untouched = Some(found);
        }
        let is_point = probe != Probe::Untouched || self.dial.profile().ends_untouched();
        if is_point {
            self.add(probe.weight(), found);
        }
        if self.next.is_empty() && self.refinements > 0 {
            self.refinements -= 1;
            match self.bend() {
                Some(weight) => self.next.push_back(Probe::At(weight)),
                None => self.refinements = 0,
            }
        }
        let untouched = self.untouched.filter(|_| is_point)?;
        Some(FrontPoint::new(probe.weight(), untouched, found))
    }

    fn add(&mut self, weight: f64, found: Perplexities) {
        let place = self.found.partition_point(|&(other, _)| other < weight);
        self.found.insert(place, (weight, found));
    }

    /// Returns the strength in the middle of the longer side of the point where the front bends the most: where
    /// the triangle of a point and its neighbours has the largest area, with both axes scaled to the front.
    fn bend(&self) -> Option<f64> {
        let untouched = self.untouched?;
        let points = self.found.iter().map(|&(weight, found)| {
            let (lost, gained) = untouched.nats_to(found);
            (weight, lost, gained)
        });
        let points: Vec<_> = points
            .filter(|(_, lost, gained)| lost.is_finite() && gained.is_finite())
            .collect();
        let range = |value: fn(&(f64, f64, f64)) -> f64| {
            let (least, most) = points.iter().map(value).fold(
                (f64::INFINITY, f64::NEG_INFINITY),
                |(least, most), value| (least.min(value), most.max(value)),
            );
            (most - least).max(f64::MIN_POSITIVE)
        };
        let (width, height) = (range(|point| point.1), range(|point| point.2));
        let side =
            |a: &(f64, f64, f64), b: &(f64, f64, f64)| ((b.1 - a.1) / width, (b.2 - a.2) / height);
        let corners = points.windows(3).map(|corner| {
            let (before, after) = (side(&corner[0], &corner[1]), side(&corner[1], &corner[2]));
            let area = (before.0 * after.1 - before.1 * after.0).abs();
            let [before, after] = [before, after].map(|(x, y)| x.hypot(y));
            let pair = match before > after {
                true => [corner[0].0, corner[1].0],
                false => [corner[1].0, corner[2].0],
            };
            (area, pair)
        });
        let (_, [from, to]) = corners.max_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(f64::midpoint(from, to))
    }
}

/// Returns `count` samples at equal distances.
fn spread(samples: &[Sample], count: usize) -> Vec<Sample> {
    let places = (0..count).map(|place| place * samples.len() / count);
    places.map(|place| samples[place].clone()).collect()
}
