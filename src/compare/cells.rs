//! The cells of a comparison: one training per method, strength, domain, budget and seed.

use std::collections::HashSet;
use std::sync::Arc;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::recipe::{Method, Recipe};
use crate::error::{Error, Result};
use crate::text::Sample;
use crate::train::{EWC_TEXTS, RunData, TrainSettings};

/// Number of evaluations of a training whose progress is plotted.
const LOOKS: usize = 6;
/// Max number of trainings of a comparison: years of training, but a short list.
const MOST_CELLS: usize = 100_000;

/// The samples of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// Name of the domain in the report.
    pub domain: String,
    /// Training samples to draw from.
    pub pool: Vec<Sample>,
    /// Held-out samples of the domain, for specialization.
    pub held_out: Vec<Sample>,
    /// General samples, for degeneralization.
    pub general: Arc<Vec<Sample>>,
    /// General samples for replay and elastic weight consolidation.
    pub replay: Arc<Vec<Sample>>,
}

/// One training of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Index of the method in the recipe.
    pub method: usize,
    /// Index of the domain in the recipe.
    pub domain: usize,
    /// Strength of the method.
    pub value: f64,
    /// Whether this is the method's main strength, not one of its sweep.
    pub main: bool,
    /// Number of training samples.
    pub budget: usize,
    /// Seed of the draw and of the training.
    pub seed: u64,
    /// Training settings.
    pub settings: TrainSettings,
}

/// The trainings of a recipe in the order in which they run: main strengths first, so that an early report
/// already compares the methods.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Methods with their settings.
    pub methods: Vec<Method>,
    /// Names of the domains.
    pub domains: Vec<String>,
    /// The trainings, without duplicates.
    pub cells: Vec<Cell>,
}

impl Plan {
    /// Plans the trainings of a recipe.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for trainings whose steps cannot be counted, and for more than 100,000
    /// trainings.
    pub fn new(recipe: &Recipe, methods: Vec<Method>) -> Result<Self> {
        let everywhere = (&recipe.budgets, &recipe.seeds);
        let swept = recipe
            .sweep
            .as_ref()
            .map_or(everywhere, |sweep| (&sweep.budgets, &sweep.seeds));
        // Progress is plotted for one seed and the largest budget.
        let longest = recipe.budgets.iter().max().copied();
        let plots_progress = |budget, seed| Some(budget) == longest && seed == recipe.seeds[0];
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
                            let main_value = method.strength.value(&method.settings);
                            let others: &[f64] = if sweeps { &method.sweep } else { &[] };
                            for &value in [main_value].iter().chain(others) {
                                let key = (domain, seed, budget, number, value.to_bits());
                                if !planned.insert(key) {
                                    continue;
                                }
                                if plan.cells.len() == MOST_CELLS {
                                    let expected = format!(
                                        "at most {MOST_CELLS}: use fewer domains, methods, budgets, \
                                         seeds or sweep values"
                                    );
                                    let found = "more trainings";
                                    return Err(Error::setting("recipe", found, expected));
                                }
                                let mut settings = method.strength.with(&method.settings, value);
                                settings.seed = seed;
                                let main = value == main_value;
                                if main && plots_progress(budget, seed) {
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
    /// Returns the number of samples over all epochs, to which the training time is proportional.
    pub fn cost(&self) -> f64 {
        let Self {
            settings, budget, ..
        } = self;
        let shared = 1.0 - settings.replay_ratio;
        let epochs = settings.epochs_of(*budget).unwrap_or(settings.epochs);
        *budget as f64 * epochs / shared
    }

    /// Returns the cell's samples: `budget` of the pool, drawn by the seed. Larger budgets contain the
    /// samples of smaller ones.
    ///
    /// # Errors
    ///
    /// [`Error::TooFewSamples`] for a budget larger than the pool.
    pub fn data(&self, texts: &Texts) -> Result<RunData> {
        let available = texts.pool.len();
        if self.budget > available {
            return Err(Error::TooFewSamples {
                origin: format!("domain {:?} without its held-out samples", texts.domain),
                requested: self.budget,
                available,
            });
        }
        let mut order: Vec<usize> = (0..available).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(self.seed));
        order.truncate(self.budget);
        let general = |used: bool, most: usize| {
            let count = if used {
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
            replay: general(self.settings.replay_ratio > 0.0, usize::MAX),
            consolidation: general(self.settings.ewc > 0.0, EWC_TEXTS),
        })
    }
}
