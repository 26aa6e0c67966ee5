//! The arguments that say how a model is trained, and the settings that they mean.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::adapter::{AdapterSettings, Ia3Settings, LoraSettings};
use crate::error::{Error, Result};
use crate::objective::{DEFAULT_TAU, Objective, Scope};
use crate::train::{KeptStates, Schedule, Strength, TrainSettings};

/// The right token's share in a constant mixture where nobody says otherwise.
const DEFAULT_ALPHA: f32 = 0.3;

/// Where general text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GeneralText {
    /// The untouched model writes it.
    Model,
    /// A file.
    File(PathBuf),
}

impl GeneralText {
    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Model => None,
            Self::File(path) => Some(path),
        }
    }
}

impl FromStr for GeneralText {
    type Err = Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(match text {
            "self" => Self::Model,
            file => Self::File(PathBuf::from(file)),
        })
    }
}

/// A percentage such as `5%`, as a share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentage(pub f64);

impl FromStr for Percentage {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let number = text.strip_suffix('%').map(str::trim).map(f64::from_str);
        match number {
            Some(Ok(percent)) if percent.is_finite() && percent >= 0.0 => Ok(Self(percent / 100.0)),
            _ => Err("expected a percentage from 0% on, such as 5%".to_string()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScopeArgument {
    /// Correct every token
    All,
    /// Correct only tokens that the teacher does not find most likely
    Incorrect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TargetArgument {
    /// The teacher's distribution, corrected until the right token wins by tau
    Corrected,
    /// A mixture of the teacher's distribution and the right token, the same for every token
    Constant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScheduleArgument {
    Constant,
    Linear,
    Cosine,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatesArgument {
    Float32,
    Float16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MethodArgument {
    /// Plain finetuning
    Ft,
    /// Minifinetuning
    Mft,
}

#[derive(Clone, Debug, Args)]
pub struct TrainingArguments {
    #[arg(long, value_enum, default_value_t = MethodArgument::Mft)]
    pub method: MethodArgument,
    /// Margin by which the right token is made to win, 0 to 1 (mft) [default: 0.25]
    #[arg(long)]
    pub tau: Option<f32>,
    /// Which tokens get a corrected target (mft) [default: all]
    #[arg(long, value_enum)]
    pub scope: Option<ScopeArgument>,
    /// What the target of a token is (mft)
    #[arg(long, value_enum, default_value_t = TargetArgument::Corrected)]
    pub target: TargetArgument,
    /// Share of the right token in the target (--target constant) [default: 0.3]; without that, the
    /// same as --lora-alpha
    #[arg(long)]
    pub alpha: Option<f64>,
    /// Strength of elastic weight consolidation, which holds weights that matter for general text; 1
    /// weighs that as much as the loss
    #[arg(long, value_name = "LAMBDA")]
    pub ewc: Option<f64>,
    /// Divides the logits of student and teacher in the loss
    #[arg(long, default_value_t = 1.0)]
    pub temperature: f32,
    /// Times that every sample is seen
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub epochs: usize,
    /// Samples a batch
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub batch_size: usize,
    /// Batches a step
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub grad_accumulation: usize,
    /// Compute layers again for their gradients instead of keeping what they made: less memory, and
    /// about a third more time
    #[arg(long)]
    pub gradient_checkpointing: bool,
    /// How the teacher's hidden states are kept from epoch to epoch: float16 takes half the memory, and
    /// losses are off by less than a thousandth
    #[arg(long, value_enum, default_value_t = StatesArgument::Float32)]
    pub teacher_states: StatesArgument,
    #[command(flatten)]
    pub adapter: AdapterArguments,
    /// Learning rate after the warm-up [default: 0.001; 0.003 with lora and dora, 0.01 with ia3]
    #[arg(long)]
    pub lr: Option<f64>,
    /// Steps in which the learning rate rises to it
    #[arg(long, default_value_t = 10, value_name = "STEPS")]
    pub warmup: usize,
    /// How the learning rate goes on
    #[arg(long, value_enum, default_value_t = ScheduleArgument::Constant)]
    pub schedule: ScheduleArgument,
    /// Decoupled weight decay
    #[arg(long, default_value_t = 0.01)]
    pub weight_decay: f64,
    /// Greatest norm of the gradient; 0 for no limit
    #[arg(long, default_value_t = 1.0, value_name = "NORM")]
    pub clip: f64,
    /// Fixes the order of the samples
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AdapterArgument {
    /// Train the weights themselves
    None,
    /// Low-rank updates of linear layers
    Lora,
    /// LoRA with the magnitude of each output trained apart
    Dora,
    /// Factors of keys, values and feed-forward activations
    Ia3,
}

#[derive(Clone, Debug, Args)]
pub struct AdapterArguments {
    /// Train few values in place of the weights, and write them in the format of Python's PEFT
    #[arg(long, value_enum, default_value_t = AdapterArgument::None)]
    pub adapter: AdapterArgument,
    /// Rank of the updates (lora, dora) [default: 8]
    #[arg(long, value_name = "R")]
    pub rank: Option<usize>,
    /// Multiplies the updates, divided by the rank (lora, dora) [default: 16]
    #[arg(long, value_name = "ALPHA")]
    pub lora_alpha: Option<f64>,
    /// Divide alpha by the root of the rank (rsLoRA; lora, dora)
    #[arg(long)]
    pub rslora: bool,
    /// Share of a layer's input that does not reach its update in training (lora, dora) [default: 0]
    #[arg(long, value_name = "SHARE")]
    pub dropout: Option<f64>,
    /// Linear layers to adapt, by the ends of their names [default: all; with ia3 k_proj,v_proj,down_proj]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub target_modules: Vec<String>,
}

impl TrainingArguments {
    /// The settings that they mean.
    pub fn settings(&self) -> Result<TrainSettings> {
        let objective = self.objective()?;
        let adapter = self
            .adapter
            .settings(self.alpha.filter(|_| !self.is_constant()))?;
        let usual = adapter.as_ref().map_or(
            TrainSettings::default().learning_rate,
            AdapterSettings::learning_rate,
        );
        let settings = TrainSettings {
            objective,
            adapter,
            ewc: self.ewc.unwrap_or(0.0),
            epochs: self.epochs,
            batch_size: self.batch_size,
            gradient_accumulation: self.grad_accumulation,
            gradient_checkpointing: self.gradient_checkpointing,
            teacher_states: match self.teacher_states {
                StatesArgument::Float32 => KeptStates::Float32,
                StatesArgument::Float16 => KeptStates::Float16,
            },
            learning_rate: self.lr.unwrap_or(usual),
            warmup_steps: self.warmup,
            schedule: match self.schedule {
                ScheduleArgument::Constant => Schedule::Constant,
                ScheduleArgument::Linear => Schedule::Linear,
                ScheduleArgument::Cosine => Schedule::Cosine,
            },
            weight_decay: self.weight_decay,
            gradient_clip: self.clip,
            seed: self.seed,
            ..TrainSettings::default()
        };
        settings.validate()?;
        Ok(settings)
    }

    /// What sets the method's strength.
    pub fn strength(&self, replays: bool) -> Strength {
        match (self.method, self.target) {
            (MethodArgument::Mft, TargetArgument::Corrected) => Strength::Tau,
            (MethodArgument::Mft, TargetArgument::Constant) => Strength::Alpha,
            (MethodArgument::Ft, _) if self.ewc.is_some() => Strength::Ewc,
            (MethodArgument::Ft, _) if replays => Strength::ReplayRatio,
            (MethodArgument::Ft, _) => Strength::LearningRate,
        }
    }

    fn is_constant(&self) -> bool {
        self.target == TargetArgument::Constant
    }

    fn objective(&self) -> Result<Objective> {
        let corrects = self.method == MethodArgument::Mft;
        let by_tau = corrects && !self.is_constant();
        let given = [
            ("tau", self.tau.is_some(), by_tau),
            ("scope", self.scope.is_some(), by_tau),
            ("target", self.is_constant(), corrects),
        ];
        if let Some((name, ..)) = given.into_iter().find(|&(_, given, fits)| given && !fits) {
            let expected = if corrects {
                "none with --target constant: its share of the right token is --alpha"
            } else {
                "none with --method ft: only mft corrects targets"
            };
            return Err(Error::setting(name, "given", expected));
        }
        let objective = match (self.method, self.target) {
            (MethodArgument::Ft, _) => Objective::finetuning(),
            (MethodArgument::Mft, TargetArgument::Constant) => {
                Objective::constant_mixture(self.alpha.map_or(DEFAULT_ALPHA, |alpha| alpha as f32))
            }
            (MethodArgument::Mft, TargetArgument::Corrected) => Objective {
                scope: match self.scope {
                    None | Some(ScopeArgument::All) => Scope::All,
                    Some(ScopeArgument::Incorrect) => Scope::Incorrect,
                },
                ..Objective::minifinetuning(self.tau.unwrap_or(DEFAULT_TAU))
            },
        };
        Ok(Objective {
            temperature: self.temperature,
            ..objective
        })
    }
}

impl AdapterArguments {
    /// With `alpha` as another name of `--lora-alpha`.
    fn settings(&self, alpha: Option<f64>) -> Result<Option<AdapterSettings>> {
        let low_rank = matches!(self.adapter, AdapterArgument::Lora | AdapterArgument::Dora);
        let given = [
            ("rank", self.rank.is_some(), low_rank),
            (
                "alpha",
                alpha.is_some(),
                low_rank && self.lora_alpha.is_none(),
            ),
            ("lora-alpha", self.lora_alpha.is_some(), low_rank),
            ("rslora", self.rslora, low_rank),
            ("dropout", self.dropout.is_some(), low_rank),
            (
                "target-modules",
                !self.target_modules.is_empty(),
                self.adapter != AdapterArgument::None,
            ),
        ];
        if let Some((name, ..)) = given.into_iter().find(|&(_, given, fits)| given && !fits) {
            let expected = match name {
                "target-modules" => "none without --adapter lora, dora or ia3",
                "alpha" => "none without --target constant, or --adapter lora or dora",
                _ => "none without --adapter lora or dora",
            };
            return Err(Error::setting(name, "given", expected));
        }
        let target_modules = self.target_modules.clone();
        Ok(match self.adapter {
            AdapterArgument::None => None,
            AdapterArgument::Lora | AdapterArgument::Dora => {
                let usual = LoraSettings::default();
                Some(AdapterSettings::Lora(LoraSettings {
                    rank: self.rank.unwrap_or(usual.rank),
                    alpha: self.lora_alpha.or(alpha).unwrap_or(usual.alpha),
                    rank_stabilized: self.rslora,
                    dropout: self.dropout.unwrap_or(usual.dropout),
                    decomposed: self.adapter == AdapterArgument::Dora,
                    target_modules,
                }))
            }
            AdapterArgument::Ia3 => Some(AdapterSettings::Ia3(Ia3Settings { target_modules })),
        })
    }
}
