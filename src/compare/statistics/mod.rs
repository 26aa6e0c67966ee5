//! Statistics of the records: mean and standard deviation over seeds, the best settings, and a verdict.

mod equal_forgetting;
mod rank_correlation;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeMap;

use super::cells::{Cell, Plan};
use super::recipe::Method;
use super::record::Record;
use crate::eval::page;
pub use equal_forgetting::{BOUNDS, EqualForgetting, equal_forgetting};
pub use verdict::verdict;

/// A mean and its standard deviation over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation; `None` for a single value.
    pub deviation: Option<f64>,
}

impl Spread {
    /// Returns a share in percent.
    pub(super) fn percent(self) -> Self {
        Self {
            mean: 100.0 * self.mean,
            deviation: self.deviation.map(|deviation| 100.0 * deviation),
        }
    }

    fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares = values.iter().map(|value| (value - mean).powi(2));
        Self {
            mean,
            deviation: (values.len() > 1).then(|| (squares.sum::<f64>() / (count - 1.0)).sqrt()),
        }
    }
}

/// S/DG over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ratio {
    /// The ratio of every seed.
    Number(Spread),
    /// The ratio of the means, where some seeds forgot nothing and have no ratio.
    OfMeans {
        /// Mean S over mean DG.
        ratio: f64,
        /// Number of seeds that forgot nothing.
        nothing_forgotten: usize,
    },
    /// Nothing was forgotten on average.
    NothingForgotten,
}

impl Ratio {
    fn of(records: &[&Record]) -> Self {
        let ratios: Vec<f64> = records.iter().filter_map(|r| r.metrics.ratio).collect();
        let sum = |value: fn(&Record) -> f64| records.iter().map(|r| value(r)).sum::<f64>();
        let cost = sum(|record| record.metrics.degeneralization);
        if ratios.len() == records.len() {
            Self::Number(Spread::of(&ratios))
        } else if cost > 0.0 {
            Self::OfMeans {
                ratio: sum(|record| record.metrics.specialization) / cost,
                nothing_forgotten: records.len() - ratios.len(),
            }
        } else {
            Self::NothingForgotten
        }
    }

    /// Returns a value to sort by; it is infinite where nothing was forgotten.
    pub fn rank(&self) -> f64 {
        match self {
            Self::Number(spread) => spread.mean,
            Self::OfMeans { ratio, .. } => *ratio,
            Self::NothingForgotten => f64::INFINITY,
        }
    }
}

/// The runs of one setting on one budget of a domain, over all seeds.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// The method.
    pub method: &'a Method,
    /// The cell of the first seed.
    pub cell: &'a Cell,
    /// The record of the first seed.
    pub record: &'a Record,
    /// Number of seeds.
    pub seeds: usize,
    /// S.
    pub specialization: Spread,
    /// DG.
    pub degeneralization: Spread,
    /// S/DG.
    pub ratio: Ratio,
    /// KL(untouched ‖ trained) in nats per token, where every seed has it.
    pub kl_divergence: Option<Spread>,
    /// Accuracy of choosing continuations, where every seed has it.
    pub choice_accuracy: Option<Spread>,
    /// Decrease of the domain loss in nats per token.
    pub gained: Spread,
    /// Increase of the general loss in nats per token.
    pub forgotten: Spread,
}

impl Summary<'_> {
    /// Returns the largest budget with several strengths per method, or the largest budget.
    pub fn swept(&self) -> Option<usize> {
        let swept = |groups: &Vec<Group<'_>>| groups.iter().any(|group| !group.cell.main);
        let budgets = || self.budgets.iter().rev();
        let found = budgets().find(|(_, groups)| swept(groups));
        found.or(budgets().next()).map(|(&budget, _)| budget)
    }
}

impl Group<'_> {
    /// Returns the relative increase of the general perplexity.
    pub fn degeneralization_share(&self) -> f64 {
        self.forgotten.mean.exp() - 1.0
    }
}

/// The groups of a domain by budget.
#[derive(Clone, Debug)]
pub struct Summary<'a> {
    /// The index of the domain in the recipe.
    pub number: usize,
    /// The name of the domain.
    pub domain: &'a str,
    /// The groups of each budget, ordered by method and value.
    pub budgets: BTreeMap<usize, Vec<Group<'a>>>,
}

/// Bound on the relative increase of the general perplexity for comparing methods at their best.
pub(super) const BOUND: f64 = 0.1;
/// Fraction of the largest gain that counts as having learned the domain.
const LEARNED: f64 = 0.5;

/// Domain, budget, method, and the bits of the value, whose order is that of positive numbers.
type GroupKey = (usize, usize, usize, u64);

/// Groups the records of a plan, with one summary per domain.
pub fn summarize<'a>(plan: &'a Plan, records: &[(&'a Cell, &'a Record)]) -> Vec<Summary<'a>> {
    let mut domains: BTreeMap<usize, Summary<'a>> = BTreeMap::new();
    let mut grouped: BTreeMap<GroupKey, Vec<(&'a Cell, &'a Record)>> = BTreeMap::new();
    for &(cell, record) in records {
        let key = (cell.domain, cell.budget, cell.method, cell.value.to_bits());
        grouped.entry(key).or_default().push((cell, record));
    }
    for ((domain, budget, ..), members) in grouped {
        let records: Vec<&Record> = members.iter().map(|&(_, record)| record).collect();
        let spread = |value: fn(&Record) -> f64| {
            let values: Vec<f64> = records.iter().map(|record| value(record)).collect();
            Spread::of(&values)
        };
        let spread_if_all = |value: fn(&Record) -> Option<f64>| {
            let values: Option<Vec<f64>> = records.iter().map(|record| value(record)).collect();
            values.map(|values| Spread::of(&values))
        };
        let (cell, record) = members[0];
        let group = Group {
            method: &plan.methods[cell.method],
            cell,
            record,
            seeds: members.len(),
            specialization: spread(|record| record.metrics.specialization),
            degeneralization: spread(|record| record.metrics.degeneralization),
            ratio: Ratio::of(&records),
            kl_divergence: spread_if_all(|record| record.kl_divergence),
            choice_accuracy: spread_if_all(|record| Some(record.choices?.after.accuracy)),
            gained: spread(Record::gained),
            forgotten: spread(Record::forgotten),
        };
        let summary = domains.entry(domain).or_insert_with(|| Summary {
            number: domain,
            domain: &plan.domains[domain],
            budgets: BTreeMap::new(),
        });
        summary.budgets.entry(budget).or_default().push(group);
    }
    domains.into_values().collect()
}

/// The best settings, as indices into a list of groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Best {
    /// Highest S.
    pub specialization: Option<usize>,
    /// Lowest DG among those that learned the domain.
    pub degeneralization: Option<usize>,
    /// Highest S/DG among those.
    pub ratio: Option<usize>,
}

impl Best {
    /// Returns the best of the groups of one budget.
    pub fn of(groups: &[Group<'_>]) -> Self {
        let most = groups.iter().map(|g| g.gained.mean).fold(0.0, f64::max);
        let best = |value: &dyn Fn(&Group<'_>) -> f64, all: bool| {
            let learned = |&place: &usize| all || groups[place].gained.mean >= LEARNED * most;
            let order = |&a: &usize, &b: &usize| {
                let by_value = value(&groups[a]).total_cmp(&value(&groups[b]));
                by_value.then(groups[a].gained.mean.total_cmp(&groups[b].gained.mean))
            };
            (0..groups.len())
                .filter(learned)
                .max_by(order)
                .filter(|_| most > 0.0)
        };
        Self {
            specialization: best(&|group| group.specialization.mean, true),
            degeneralization: best(&|group| -group.degeneralization.mean, false),
            ratio: best(&|group| group.ratio.rank(), false),
        }
    }
}

/// Returns the setting of each method with the highest gain within [`BOUND`], best first.
pub(super) fn best_within_bound<'a, 'b>(groups: &'b [Group<'a>]) -> Vec<&'b Group<'a>> {
    let mut best: BTreeMap<usize, &Group<'a>> = BTreeMap::new();
    for group in groups {
        if group.gained.mean > 0.0 && group.degeneralization_share() <= BOUND {
            let place = best.entry(group.cell.method).or_insert(group);
            if group.gained.mean > place.gained.mean {
                *place = group;
            }
        }
    }
    let mut best: Vec<_> = best.into_values().collect();
    best.sort_by(|a, b| b.gained.mean.total_cmp(&a.gained.mean));
    best
}

/// Returns the main group of a method.
pub(super) fn main_of<'a, 'b>(groups: &'b [Group<'a>], method: usize) -> Option<&'b Group<'a>> {
    let mut mains = groups.iter().filter(|group| group.cell.main);
    mains.find(|group| group.cell.method == method)
}

/// Returns the method with its strength.
pub fn title(group: &Group<'_>) -> String {
    let strength = group.method.strength.describe(group.cell.value);
    format!("{} ({strength})", group.method.name)
}

/// Formats a number with at least three digits.
pub fn format_number(number: f64) -> String {
    page::format_number(number)
}
