//! Settings of a run.

use std::path::PathBuf;

use clap::ValueEnum;
use minift::model::adapter::{AdapterSettings, LoraSettings};
use minift::train::TrainSettings;
use minift::{DEFAULT_TAU, Objective};

/// The embedded data, or a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Whether to use `path`.
    pub own: bool,
    /// The path, as typed, selected or dropped.
    pub path: String,
}

impl Source {
    /// Returns the path, if it is in use.
    pub fn path(&self) -> Option<PathBuf> {
        self.own.then(|| PathBuf::from(self.path.trim()))
    }

    /// Whether the source is specified.
    pub fn is_complete(&self) -> bool {
        !self.own || !self.path.trim().is_empty()
    }

    /// Switches to a path.
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

/// The trained parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trained {
    /// All weights.
    Weights,
    /// A LoRA adapter.
    Lora,
}

impl Trained {
    fn adapter(self) -> Option<AdapterSettings> {
        (self == Self::Lora).then(|| AdapterSettings::Lora(LoraSettings::default()))
    }

    /// Default learning rate.
    pub fn learning_rate(self) -> f64 {
        match self.adapter() {
            Some(adapter) => adapter.learning_rate(),
            None => TrainSettings::default().learning_rate,
        }
    }
}

/// Training device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// The GPU of the window
    Window,
    /// The CPU
    Cpu,
}

/// All settings of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// The embedded model or a Hugging Face folder.
    pub model: Source,
    /// The embedded tickets or a file of texts.
    pub text: Source,
    /// Training method.
    pub method: Method,
    /// The margin τ of minifinetuning.
    pub tau: f32,
    /// The trained parameters.
    pub trained: Trained,
    /// Maximum number of training samples.
    pub samples: usize,
    /// Number of epochs.
    pub epochs: usize,
    /// Batch size.
    pub batch_size: usize,
    /// Learning rate.
    pub learning_rate: f64,
    /// Maximum number of evaluation texts per set.
    pub evaluated: usize,
    /// Number of evaluations during training, including the final one.
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
            epochs: settings.epochs as usize,
            batch_size: settings.batch_size,
            learning_rate: settings.learning_rate,
            evaluated: 100,
            evaluations: 6,
        }
    }
}

impl Setup {
    /// Returns the library settings for a number of training samples.
    ///
    /// # Errors
    ///
    /// [`minift::Error::InvalidSetting`] if a setting is out of range.
    pub fn train_settings(&self, samples: usize) -> minift::Result<TrainSettings> {
        let mut settings = TrainSettings::default()
            .with_objective(match self.method {
                Method::Mft => Objective::minifinetuning(self.tau),
                Method::Ft => Objective::finetuning(),
            })
            .with_adapter(self.trained.adapter())
            .with_epochs(self.epochs as f64)
            .with_batch_size(self.batch_size)
            .with_learning_rate(self.learning_rate);
        settings.validate()?;
        settings.evaluate_every = settings.steps(samples)?.div_ceil(self.evaluations.max(1));
        Ok(settings)
    }

    /// Name of the trained model in the results table.
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
