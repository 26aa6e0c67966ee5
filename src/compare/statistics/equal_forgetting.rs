//! Gain at equal forgetting, read off the fronts: best against best.

use std::collections::BTreeMap;

use super::super::cells::{Cell, Plan};
use super::super::record::Record;
use super::Spread;

/// Relative increases of the general perplexity at which gains are compared.
pub const BOUNDS: [f64; 4] = [0.01, 0.02, 0.05, 0.10];

/// A point of a front in nats per token: forgotten, gained.
type Point = (f64, f64);

/// The gains of a method at equal forgetting, at its best strength for each.
#[derive(Clone, Debug, PartialEq)]
pub struct EqualForgetting {
    /// The index of the method in the plan.
    pub method: usize,
    /// Its name, with `+ dial` where strengths chosen after training count too.
    pub name: String,
    /// Whether strengths chosen after training count too.
    pub dial: bool,
    /// Decrease of the domain loss in nats per token at each of [`BOUNDS`].
    pub gains: [Spread; BOUNDS.len()],
    /// Number of seeds.
    pub seeds: usize,
}

/// Returns the gains of every method on one budget of a domain, without and with a dial where its fronts were
/// measured. Of several seeds, those count that ran the most strengths.
pub fn equal_forgetting(
    plan: &Plan,
    records: &[(&Cell, &Record)],
    domain: usize,
    budget: usize,
) -> Vec<EqualForgetting> {
    let mut by_method: BTreeMap<usize, BTreeMap<u64, Vec<&Record>>> = BTreeMap::new();
    for (cell, record) in records {
        if (cell.domain, cell.budget) == (domain, budget) {
            let seeds = by_method.entry(cell.method).or_default();
            seeds.entry(cell.seed).or_default().push(record);
        }
    }
    let mut found = Vec::new();
    for (method, seeds) in by_method {
        let most = seeds.values().map(Vec::len).max().unwrap_or(0);
        let swept = || seeds.values().filter(|records| records.len() == most);
        let has_dial = swept().flatten().all(|record| record.front.is_some());
        for dial in [false, true].into_iter().take(1 + usize::from(has_dial)) {
            let curves: Vec<Vec<Vec<Point>>> =
                swept().map(|records| curves(records, dial)).collect();
            let name = &plan.methods[method].name;
            found.push(EqualForgetting {
                method,
                name: match dial {
                    true => format!("{name} + dial"),
                    false => name.clone(),
                },
                dial,
                gains: BOUNDS.map(|bound| {
                    let gains = curves
                        .iter()
                        .map(|curves| gain_within(curves, bound.ln_1p()));
                    Spread::of(&gains.collect::<Vec<_>>())
                }),
                seeds: curves.len(),
            });
        }
    }
    found
}

/// Returns the curves of one seed: the trainings over their strengths, and the front of each training with a dial.
fn curves(records: &[&Record], dial: bool) -> Vec<Vec<Point>> {
    let trainings = records
        .iter()
        .map(|record| (record.forgotten(), record.gained()));
    let mut curves = vec![trainings.collect()];
    if dial {
        let fronts = records.iter().filter_map(|record| record.front.as_ref());
        curves.extend(fronts.map(|front| front.nats().collect()));
    }
    curves
}

/// Returns the largest gain with at most `bound` forgotten on any of the curves, each of which starts at the base
/// model and is linear between its points.
fn gain_within(curves: &[Vec<Point>], bound: f64) -> f64 {
    let mut most = 0.0_f64;
    for curve in curves {
        let mut points: Vec<Point> = curve
            .iter()
            .copied()
            .chain([(0.0, 0.0)])
            .filter(|(lost, gained)| lost.is_finite() && gained.is_finite())
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        for &(lost, gained) in &points {
            if lost <= bound {
                most = most.max(gained);
            }
        }
        for pair in points.windows(2) {
            let [(left, low), (right, high)] = [pair[0], pair[1]];
            if left <= bound && bound < right {
                most = most.max(low + (high - low) * (bound - left) / (right - left));
            }
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_are_interpolated_and_never_beyond_the_bound() {
        // Unordered, with a strength that forgets less than nothing and one that is worse than a weaker one.
        let curve = vec![(0.4, 0.8), (0.1, 0.4), (-0.1, 0.2), (0.2, 0.3)];
        let at = |bound| gain_within(std::slice::from_ref(&curve), bound);
        assert_eq!(at(0.1), 0.4);
        assert!((at(0.3) - 0.55).abs() < 1e-12);
        assert_eq!((at(0.15), at(9.0)), (0.4, 0.8));
        // Less than nothing cannot be forgotten less.
        assert_eq!(at(0.0), 0.2);
        let other = vec![(0.05, 0.5)];
        assert_eq!(gain_within(&[curve, other], 0.1), 0.5);
        assert_eq!(gain_within(&[vec![(0.2, 1.0)]], 0.05), 0.25);
        assert_eq!(gain_within(&[vec![(f64::INFINITY, 2.0)]], 0.05), 0.0);
        assert_eq!(gain_within(&[vec![(0.01, -2.0)]], 0.05), 0.0);
    }
}
