//! What a person chooses before a run.

use std::path::PathBuf;

use clap::ValueEnum;
use minift::adapter::{AdapterSettings, LoraSettings};
use minift::objective::{DEFAULT_TAU, Objective};
use minift::train::TrainSettings;

/// The part of the program, or a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Whether `path` is meant.
    pub own: bool,
    /// As typed, chosen or dropped.
    pub path: String,
}

impl Source {
    /// The path, where one is meant.
    pub fn path(&self) -> Option<PathBuf> {
        self.own.then(|| PathBuf::from(self.path.trim()))
    }

    /// Whether there is something to begin with.
    pub fn is_complete(&self) -> bool {
        !self.own || !self.path.trim().is_empty()
    }

    /// Means this path from now on.
    pub fn take(&mut self, path: PathBuf) {
        self.own = true;
        self.path = path.to_string_lossy().into_owned();
    }
}

/// How the model is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Minifinetuning.
    Mft,
    /// Plain finetuning.
    Ft,
}

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trained {
    /// Every weight.
    Weights,
    /// A LoRA adapter in their place.
    Lora,
}

impl Trained {
    fn adapter(self) -> Option<AdapterSettings> {
        (self == Self::Lora).then(|| AdapterSettings::Lora(LoraSettings::default()))
    }

    /// A learning rate to begin with.
    pub fn learning_rate(self) -> f64 {
        match self.adapter() {
            Some(adapter) => adapter.learning_rate(),
            None => TrainSettings::default().learning_rate,
        }
    }
}

/// Where the numbers are crunched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// The window's own GPU
    Window,
    /// The CPU
    Cpu,
}

/// All of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// The embedded model or a Hugging Face folder.
    pub model: Source,
    /// The embedded tickets or a file of texts.
    pub text: Source,
    /// How it is trained.
    pub method: Method,
    /// The margin τ of minifinetuning.
    pub tau: f32,
    /// What is trained.
    pub trained: Trained,
    /// Samples to train on, at most.
    pub samples: usize,
    /// Times that every sample is seen.
    pub epochs: usize,
    /// Samples a step.
    pub batch_size: usize,
    /// Size of a step.
    pub learning_rate: f64,
    /// Texts of each held-out set that perplexities are measured on, at most.
    pub evaluated: usize,
    /// Evaluations of the model in training, that at its end included.
    pub evaluations: usize,
}

impl Default for Setup {
    fn default() -> Self {
        let settings = TrainSettings::default();
        Self {
            model: Source::default(),
            text: Source::default(),
            method: Method::Mft,
            tau: DEFAULT_TAU,
            trained: Trained::Weights,
            samples: minift::demo::TRAIN_TICKETS,
            epochs: settings.epochs,
            batch_size: settings.batch_size,
            learning_rate: settings.learning_rate,
            evaluated: 100,
            evaluations: 6,
        }
    }
}

impl Setup {
    /// The library's settings for a training on so many samples.
    ///
    /// # Errors
    ///
    /// [`minift::Error::InvalidSetting`] for one out of range.
    pub fn train_settings(&self, samples: usize) -> minift::Result<TrainSettings> {
        let mut settings = TrainSettings {
            objective: match self.method {
                Method::Mft => Objective::minifinetuning(self.tau),
                Method::Ft => Objective::finetuning(),
            },
            adapter: self.trained.adapter(),
            epochs: self.epochs,
            batch_size: self.batch_size,
            learning_rate: self.learning_rate,
            ..TrainSettings::default()
        };
        settings.validate()?;
        settings.evaluate_every = settings.steps(samples)?.div_ceil(self.evaluations.max(1));
        Ok(settings)
    }

    /// What the trained model is called in a table.
    pub fn name(&self) -> String {
        let method = match self.method {
            Method::Mft => format!("MFT, τ {}", self.tau),
            Method::Ft => "FT".to_string(),
        };
        match self.trained {
            Trained::Weights => method,
            Trained::Lora => format!("{method}, LoRA"),
        }
    }
}
