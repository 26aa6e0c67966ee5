//! What the records say: mean and standard deviation over seeds, the best setting, a sentence.

use std::collections::BTreeMap;

use super::cells::{Cell, Plan};
use super::recipe::Method;
use super::results::Record;
use crate::objective::Objective;
use crate::train::TrainSettings;

/// Mean and standard deviation over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation; `None` of one value.
    pub deviation: Option<f64>,
}

impl Spread {
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
    /// Every seed has one.
    Number(Spread),
    /// Some seeds forgot nothing and have none: that of the means.
    OfMeans {
        /// Mean S over mean DG.
        ratio: f64,
        /// Seeds that forgot nothing.
        nothing_forgotten: usize,
    },
    /// On average nothing was forgotten.
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

    /// To order by: nothing forgotten is more than every number.
    pub fn rank(&self) -> f64 {
        match self {
            Self::Number(spread) => spread.mean,
            Self::OfMeans { ratio, .. } => *ratio,
            Self::NothingForgotten => f64::INFINITY,
        }
    }
}

/// A setting on a budget of a domain, over its seeds.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// Its method.
    pub method: &'a Method,
    /// A cell of it.
    pub cell: &'a Cell,
    /// A record of it.
    pub record: &'a Record,
    /// How many seeds.
    pub seeds: usize,
    /// S.
    pub specialization: Spread,
    /// DG.
    pub degeneralization: Spread,
    /// S/DG.
    pub ratio: Ratio,
    /// Loss gained on the domain, nats a token.
    pub gained: Spread,
    /// Loss lost on general text, nats a token.
    pub forgotten: Spread,
}

impl Summary<'_> {
    /// The largest budget on which methods were tried with several strengths, or the largest of all.
    pub fn swept(&self) -> Option<usize> {
        let swept = |groups: &Vec<Group<'_>>| groups.iter().any(|group| !group.cell.main);
        let budgets = || self.budgets.iter().rev();
        let found = budgets().find(|(_, groups)| swept(groups));
        found.or(budgets().next()).map(|(&budget, _)| budget)
    }
}

impl Group<'_> {
    /// Growth of the general perplexity as a share of what it was.
    pub fn degeneralization_share(&self) -> f64 {
        self.forgotten.mean.exp() - 1.0
    }
}

/// The groups of a domain, by budget.
#[derive(Clone, Debug)]
pub struct Summary<'a> {
    /// The domain's number in the recipe.
    pub number: usize,
    /// Its name.
    pub domain: &'a str,
    /// Groups of each budget, in the order of methods and from weak to strong values.
    pub budgets: BTreeMap<usize, Vec<Group<'a>>>,
}

/// Growth of the general perplexity up to which methods are compared at their best.
pub const BOUND: f64 = 0.1;
/// Share of the largest gain that a setting needs to count as having learnt the domain.
const LEARNT: f64 = 0.5;

/// What makes cells a group: domain, budget, method and the bits of its strength's value, which for
/// positive numbers are in their order.
type GroupKey = (usize, usize, usize, u64);

/// Puts the records of a plan together, a summary a domain.
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
        let (cell, record) = members[0];
        let group = Group {
            method: &plan.methods[cell.method],
            cell,
            record,
            seeds: members.len(),
            specialization: spread(|record| record.metrics.specialization),
            degeneralization: spread(|record| record.metrics.degeneralization),
            ratio: Ratio::of(&records),
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

/// The settings that are best at something, by their place in a list of groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Best {
    /// Greatest S.
    pub specialization: Option<usize>,
    /// Least DG among those that learnt the domain.
    pub degeneralization: Option<usize>,
    /// Greatest S/DG among those.
    pub ratio: Option<usize>,
}

impl Best {
    /// Of groups on one budget.
    pub fn of(groups: &[Group<'_>]) -> Self {
        let most = groups.iter().map(|g| g.gained.mean).fold(0.0, f64::max);
        let best = |value: &dyn Fn(&Group<'_>) -> f64, all: bool| {
            let learnt = |&place: &usize| all || groups[place].gained.mean >= LEARNT * most;
            let order = |&a: &usize, &b: &usize| {
                let by_value = value(&groups[a]).total_cmp(&value(&groups[b]));
                by_value.then(groups[a].gained.mean.total_cmp(&groups[b].gained.mean))
            };
            (0..groups.len())
                .filter(learnt)
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

/// Of each method the setting that gains most while general text gets at most [`BOUND`] harder, best
/// first.
pub fn best_within_bound<'a, 'b>(groups: &'b [Group<'a>]) -> Vec<&'b Group<'a>> {
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

/// What a domain's figures say, in sentences.
pub fn verdict(summary: &Summary<'_>, plan: &Plan) -> Vec<String> {
    let mut sentences = Vec::new();
    sentences.extend(minifinetuning_against_finetuning(summary, plan));
    if let Some((budget, groups)) = summary.budgets.iter().next_back() {
        let best = Best::of(groups);
        if let Some(best) = best.ratio.map(|place| &groups[place]) {
            let ratio = match best.ratio {
                Ratio::NothingForgotten => "it forgot nothing".to_string(),
                _ => format!("S/DG is {}", figures(best.ratio.rank())),
            };
            sentences.push(format!(
                "With {budget} samples, of all settings that learnt at least half of what the best \
                 learnt, {} gains most for what it forgets: {ratio}.",
                title(best)
            ));
        }
    }
    let swept = summary.swept();
    if let Some((budget, groups)) = swept.and_then(|budget| summary.budgets.get_key_value(&budget))
    {
        let within = best_within_bound(groups);
        let bound = BOUND * 100.0;
        match &within[..] {
            [] => sentences.push(format!(
                "With {budget} samples no setting kept general text within {bound} % of what it was."
            )),
            [best, rest @ ..] => sentences.push(format!(
                "With {budget} samples, where general text may get at most {bound} % harder, each \
                 method at its best, {} gains most: {:.2} nats a token{}.",
                title(best),
                best.gained.mean,
                rest.first().map_or_else(String::new, |next| format!(
                    ", before {} with {:.2}",
                    title(next),
                    next.gained.mean
                ))
            )),
        }
    }
    sentences
}

/// How much more minifinetuning gains for each point forgotten than finetuning, at equal steps.
fn minifinetuning_against_finetuning(summary: &Summary<'_>, plan: &Plan) -> Option<String> {
    let plain = |wanted: &dyn Fn(&Objective) -> bool| {
        plan.methods.iter().position(|method| {
            let TrainSettings {
                objective,
                adapter,
                replay_ratio,
                ewc,
                ..
            } = &method.settings;
            adapter.is_none() && *replay_ratio == 0.0 && *ewc == 0.0 && wanted(objective)
        })
    };
    let corrects = |objective: &Objective| objective.alpha.is_none();
    let finetuning = plain(&|objective| corrects(objective) && !objective.needs_teacher())?;
    let minifinetuning = plain(&|objective| corrects(objective) && objective.needs_teacher())?;
    let mut parts = Vec::new();
    let (mut compared, mut below) = (0, 0);
    let mut name = None;
    for (budget, groups) in &summary.budgets {
        let of = |method| main_of(groups, method);
        let (Some(ft), Some(mft)) = (of(finetuning), of(minifinetuning)) else {
            continue;
        };
        name = Some(title(mft));
        // Where finetuning learns or forgets nothing there is no ratio to be compared with.
        parts.push(if ft.specialization.mean <= 0.0 {
            format!("finetuning learnt nothing with {budget}")
        } else if ft.ratio == Ratio::NothingForgotten {
            format!("finetuning forgot nothing with {budget}")
        } else {
            compared += 1;
            let times = mft.ratio.rank() / ft.ratio.rank();
            if mft.specialization.mean <= 0.0 {
                below += 1;
                format!("nothing learnt with {budget}")
            } else if mft.ratio == Ratio::NothingForgotten {
                format!("nothing forgotten with {budget}")
            } else {
                below += usize::from(times < 2.0);
                format!("{} times with {budget}", figures(times))
            }
        });
    }
    let name = name?;
    let parts = format!("{} samples", parts.join(", "));
    Some(match (compared, below) {
        (0, _) => format!("{name} cannot be compared with finetuning by S/DG: {parts}."),
        (_, 0) => format!(
            "For each point of general perplexity lost, {name} gains at least twice as much as \
             finetuning with the same steps wherever both can be compared: {parts}."
        ),
        _ => format!(
            "For each point of general perplexity lost, {name} gains less than twice as much as \
             finetuning with the same steps on {below} of {compared} budgets: {parts}."
        ),
    })
}

/// The group that stands for a method.
pub fn main_of<'a, 'b>(groups: &'b [Group<'a>], method: usize) -> Option<&'b Group<'a>> {
    let mut mains = groups.iter().filter(|group| group.cell.main);
    mains.find(|group| group.cell.method == method)
}

/// Method and strength.
pub fn title(group: &Group<'_>) -> String {
    let strength = group.method.strength.describe(group.cell.value);
    format!("{} ({strength})", group.method.name)
}

/// A number with three digits at least.
pub fn figures(number: f64) -> String {
    let text = match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    };
    // What rounds to nothing has no sign.
    match text.as_str() {
        "-0.00" => "0.00".to_string(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::recipe::Recipe;
    use super::super::results::Identity;
    use super::*;
    use crate::eval::{Metrics, Perplexities};

    const RECIPE: &str = r#"
budgets = [10]
seeds = [0, 1]
[[domain]]
name = "a"
data = "a.txt"
[[method]]
name = "FT"
method = "ft"
[[method]]
name = "MFT"
method = "mft"
sweep = [0.01]
"#;

    /// Perplexities after, of domain and general text, where they were 100 and 20 before.
    fn record(cell: &Cell, plan: &Plan, [domain, general]: [f64; 2]) -> Record {
        let before = Perplexities {
            domain: 100.0,
            general: 20.0,
        };
        let after = Perplexities { domain, general };
        Record {
            domain: "a".to_string(),
            method: String::new(),
            title: cell.settings.title(),
            strength: plan.methods[cell.method].strength,
            value: cell.value,
            budget: cell.budget,
            seed: cell.seed,
            before,
            after,
            metrics: Metrics::new(before, after),
            steps: 1,
            seconds: 1.0,
            tokens_per_second: 1.0,
            trainable_parameters: 1,
            evaluations: Vec::new(),
            identity: Identity::new(cell, String::new()),
        }
    }

    fn plan() -> Plan {
        let recipe = Recipe::parse(RECIPE, Path::new("")).unwrap();
        Plan::new(&recipe, recipe.methods(Path::new("")).unwrap()).unwrap()
    }

    /// Of FT, MFT 0.25 and MFT 0.01, with seeds 0 and 1.
    fn with_summary(after: [[[f64; 2]; 2]; 3], check: impl FnOnce(&Plan, &Summary<'_>)) {
        let plan = plan();
        let find = |cell: &Cell| match (cell.method, cell.main) {
            (0, _) => after[0][cell.seed as usize],
            (_, true) => after[1][cell.seed as usize],
            (_, false) => after[2][cell.seed as usize],
        };
        let records: Vec<Record> = plan
            .cells
            .iter()
            .map(|cell| record(cell, &plan, find(cell)))
            .collect();
        let pairs: Vec<(&Cell, &Record)> = plan.cells.iter().zip(&records).collect();
        check(&plan, &summarize(&plan, &pairs)[0]);
    }

    const FT: [[f64; 2]; 2] = [[40.0, 26.0], [40.0, 30.0]];
    const MFT: [[f64; 2]; 2] = [[50.0, 20.4], [50.0, 20.6]];
    const TIMID: [[f64; 2]; 2] = [[95.0, 19.9], [95.0, 20.0]];

    #[test]
    fn a_spread_is_mean_and_sample_deviation() {
        let spread = Spread::of(&[1.0, 2.0, 6.0]);
        assert_eq!(spread.mean, 3.0);
        assert!((spread.deviation.unwrap() - 7.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(Spread::of(&[4.0]).deviation, None);
    }

    #[test]
    fn the_best_has_learnt_something_and_each_method_is_judged_at_its_best() {
        with_summary([FT, MFT, TIMID], |plan, summary| {
            let groups = &summary.budgets[&10];
            let titles: Vec<String> = groups.iter().map(title).collect();
            assert_eq!(titles, ["FT (lr 1e-3)", "MFT (τ 0.01)", "MFT (τ 0.25)"]);
            // The timid one forgot nothing, and learnt nothing.
            assert_eq!(groups[1].ratio, Ratio::NothingForgotten);
            let best = Best::of(groups);
            assert_eq!(best.specialization, Some(0));
            assert_eq!((best.degeneralization, best.ratio), (Some(2), Some(2)));
            let Ratio::Number(ratio) = groups[0].ratio else {
                panic!("{:?}", groups[0].ratio);
            };
            assert!((ratio.mean - (60.0 / 6.0 + 60.0 / 10.0) / 2.0).abs() < 1e-12);

            let within: Vec<String> = best_within_bound(groups).into_iter().map(title).collect();
            assert_eq!(within, ["MFT (τ 0.25)"]);
            let text = verdict(summary, plan).join(" ");
            for part in [
                "at least twice as much as finetuning",
                "13.0 times",
                "MFT (τ 0.25) gains most",
            ] {
                assert!(text.contains(part), "{part:?} in {text}");
            }
        });
    }

    #[test]
    fn what_speaks_against_minifinetuning_is_said_as_it_is() {
        with_summary([FT, FT, FT], |plan, summary| {
            let text = verdict(summary, plan).join(" ");
            assert!(text.contains("less than twice as much"), "{text}");
            assert!(text.contains("on 1 of 1 budgets"), "{text}");
            assert!(
                text.contains("no setting kept general text within 10 %"),
                "{text}"
            );
        });
        let unforgetting = [[40.0, 19.0], [40.0, 20.0]];
        with_summary([unforgetting, MFT, TIMID], |plan, summary| {
            let text = verdict(summary, plan).join(" ");
            assert!(text.contains("finetuning forgot nothing with 10"), "{text}");
        });
        let half = [[40.0, 19.0], [40.0, 23.0]];
        with_summary([half, MFT, TIMID], |_, summary| {
            let expected = Ratio::OfMeans {
                ratio: 60.0,
                nothing_forgotten: 1,
            };
            assert_eq!(summary.budgets[&10][0].ratio, expected);
        });
    }
}
