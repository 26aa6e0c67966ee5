//! The cells of a comparison: every training that a recipe asks for.

use std::collections::HashSet;
use std::sync::Arc;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::recipe::{Method, Recipe};
use crate::data::Sample;
use crate::error::{Error, Result};
use crate::train::{CONSOLIDATION_TEXTS, RunData, TrainSettings};

/// Looks at a training whose course is shown.
const LOOKS: usize = 6;
/// Trainings of a comparison: years of them, and still a short list.
const MOST_CELLS: usize = 100_000;

/// A domain's samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// What the report calls it.
    pub domain: String,
    /// To draw from.
    pub pool: Vec<Sample>,
    /// Measures what is learnt.
    pub held_out: Vec<Sample>,
    /// Measures what is forgotten.
    pub general: Arc<Vec<Sample>>,
    /// For replay and elastic weight consolidation.
    pub replay: Arc<Vec<Sample>>,
}

/// A training of the comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The method's number in the recipe.
    pub method: usize,
    /// The domain's number in the recipe.
    pub domain: usize,
    /// Value of the method's strength.
    pub value: f64,
    /// Whether that is the one that stands for the method.
    pub main: bool,
    /// Samples to train on.
    pub budget: usize,
    /// Draws them.
    pub seed: u64,
    /// All settings.
    pub settings: TrainSettings,
}

/// Every training that a recipe asks for, in the order in which they are done: what stands for the
/// methods first, so that an early report already compares.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The methods.
    pub methods: Vec<Method>,
    /// Names of the domains.
    pub domains: Vec<String>,
    /// The trainings, each once.
    pub cells: Vec<Cell>,
}

impl Plan {
    /// Of a recipe's methods.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for trainings whose steps cannot be counted, and for more of them than
    /// anybody waits for.
    pub fn new(recipe: &Recipe, methods: Vec<Method>) -> Result<Self> {
        let everywhere = (&recipe.budgets, &recipe.seeds);
        let swept = recipe
            .sweep
            .as_ref()
            .map_or(everywhere, |sweep| (&sweep.budgets, &sweep.seeds));
        // The course of a training is shown for one seed, where it is longest.
        let longest = recipe.budgets.iter().max().copied();
        let shows_course = |budget, seed| Some(budget) == longest && seed == recipe.seeds[0];
        let mut plan = Self {
            domains: recipe.domain.iter().map(|d| d.name.clone()).collect(),
            cells: Vec::new(),
            methods,
        };
        let mut planned = HashSet::new();
        for (sweeps, (budgets, seeds)) in [(false, everywhere), (true, swept)] {
            for domain in 0..recipe.domain.len() {
                for &seed in seeds {
                    for &budget in budgets {
                        for (number, method) in plan.methods.iter().enumerate() {
                            let usual = method.strength.value(&method.settings);
                            let others: &[f64] = if sweeps { &method.sweep } else { &[] };
                            for &value in [usual].iter().chain(others) {
                                let key = (domain, seed, budget, number, value.to_bits());
                                if !planned.insert(key) {
                                    continue;
                                }
                                if plan.cells.len() == MOST_CELLS {
                                    let expected = format!(
                                        "so few domains, methods, budgets and seeds that there are at \
                                         most {MOST_CELLS} trainings"
                                    );
                                    return Err(Error::setting("recipe", "too much", expected));
                                }
                                let mut settings = method.strength.with(&method.settings, value);
                                settings.seed = seed;
                                let main = value == usual;
                                if main && shows_course(budget, seed) {
                                    settings.evaluate_every =
                                        settings.steps(budget)?.div_ceil(LOOKS);
                                }
                                plan.cells.push(Cell {
                                    method: number,
                                    domain,
                                    value,
                                    main,
                                    budget,
                                    seed,
                                    settings,
                                });
                            }
                        }
                    }
                }
            }
        }
        Ok(plan)
    }
}

impl Cell {
    /// Samples that it sees over all epochs: what its time is proportional to.
    pub fn cost(&self) -> f64 {
        let Self {
            settings, budget, ..
        } = self;
        let shared = 1.0 - settings.replay_ratio;
        *budget as f64 * settings.epochs as f64 / shared
    }

    /// Its samples: as many of the pool as the budget says, drawn by the seed; larger budgets hold the
    /// smaller ones.
    ///
    /// # Errors
    ///
    /// [`Error::TooFewSamples`] for a budget beyond the pool.
    pub fn data(&self, texts: &Texts) -> Result<RunData> {
        let available = texts.pool.len();
        if self.budget > available {
            return Err(Error::TooFewSamples {
                origin: format!("domain {:?}, without what is held out,", texts.domain),
                requested: self.budget,
                available,
            });
        }
        let mut order: Vec<usize> = (0..available).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(self.seed));
        order.truncate(self.budget);
        let wanted = |wanted: bool, most: usize| {
            let count = if wanted {
                most.min(texts.replay.len())
            } else {
                0
            };
            texts.replay[..count].to_vec()
        };
        Ok(RunData {
            train: order.iter().map(|&i| texts.pool[i].clone()).collect(),
            domain: texts.held_out.clone(),
            general: (*texts.general).clone(),
            replay: wanted(self.settings.replay_ratio > 0.0, usize::MAX),
            consolidation: wanted(self.settings.ewc > 0.0, CONSOLIDATION_TEXTS),
        })
    }
}
