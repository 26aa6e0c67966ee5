//! The arguments, with their help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::adapter::{AdapterSettings, Ia3Settings, LoraSettings};
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::model::Sampling;
use crate::objective::{DEFAULT_TAU, Objective, Scope};
use crate::train::{Schedule, TrainSettings};

/// Adapts a small language model to a few hundred texts without making it forget what it knew.
///
/// Without a command: adapts the embedded model to the embedded texts by plain finetuning and by
/// minifinetuning, and compares the two.
#[derive(Debug, Parser)]
#[command(name = "minift", version, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Where to compute: auto (a hardware GPU, else the CPU), cpu, gpu or gpu:N
    #[arg(long, global = true, default_value = "auto", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// Print JSON objects, one a line, on stdout; text for people goes to stderr
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compare finetuning and minifinetuning on the embedded model and texts (what runs without a command)
    Demo(DemoArguments),
    /// Train a model on a text
    Train(Box<TrainArguments>),
    /// Measure a model's perplexity on a text
    Eval(EvalArguments),
    /// Let a model continue a prompt
    Generate(GenerateArguments),
    /// Fold an adapter into its model, as a Hugging Face folder of its own
    Merge(MergeArguments),
    /// List the GPU adapters of this machine
    Devices,
    /// Check that this machine computes right
    Doctor(DoctorArguments),
}

#[derive(Clone, Debug, Default, Args)]
pub struct DemoArguments {
    /// Folder for both models and run.json [default: minift-out, or the first free minift-out-N]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace the folder if it exists, when the new one is complete
    #[arg(long, requires = "out")]
    pub force: bool,
    /// Fixes the order of the samples
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)] // so that the message names the setting
pub struct TrainArguments {
    /// Model folder as on the Hugging Face Hub: config.json, model.safetensors, tokenizer.json
    /// [default: the embedded model]
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Text of the domain: .txt (samples separated by blank lines) or .jsonl ({"text": …} a line)
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Text that measures what the model forgets [default: the embedded tales]
    #[arg(long, value_name = "FILE")]
    pub general: Option<PathBuf>,
    /// Text of the domain that is held out [default: what --samples leaves of --data]
    #[arg(long, value_name = "FILE")]
    pub held_out: Option<PathBuf>,
    /// Folder for the trained model or adapter and run.json
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace the folder if it exists, when the new one is complete, and begin anew where a stopped
    /// run left a checkpoint
    #[arg(long)]
    pub force: bool,
    /// Train on the first N samples [default: nine tenths, or all with --held-out]
    #[arg(long, value_name = "N")]
    pub samples: Option<usize>,
    /// Cut samples to N tokens [default: 256, or the model's greatest length if that is less]
    #[arg(long, value_name = "N")]
    pub max_length: Option<usize>,
    #[command(flatten)]
    pub training: TrainingArguments,
    /// Write a checkpoint every N steps; 0 for only at the end and when stopped
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub checkpoint_every: usize,
    /// Go on from the checkpoint that a stopped run with the same arguments left
    #[arg(long)]
    pub resume: bool,
    /// Text to continue before and after training
    #[arg(long)]
    pub prompt: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScopeArgument {
    /// Correct every token
    All,
    /// Correct only tokens that the teacher does not find most likely
    Incorrect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScheduleArgument {
    Constant,
    Linear,
    Cosine,
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
    #[arg(long)]
    pub alpha: Option<f64>,
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

#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)] // so that the message names the setting
pub struct EvalArguments {
    /// Model folder [default: the embedded model]
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Adapter folder, for that model
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// Text: .txt or .jsonl
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Use only the first N samples
    #[arg(long, value_name = "N")]
    pub samples: Option<usize>,
    /// Cut samples to N tokens [default: 256, or the model's greatest length if that is less]
    #[arg(long, value_name = "N")]
    pub max_length: Option<usize>,
    /// Samples a batch
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub batch_size: usize,
}

#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)] // so that the message names the setting
pub struct GenerateArguments {
    /// Model folder [default: the embedded model]
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Adapter folder, for that model
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// Text to continue
    #[arg(long)]
    pub prompt: String,
    /// Most tokens to add
    #[arg(long, default_value_t = 128, value_name = "N")]
    pub max_new_tokens: usize,
    /// Divides the logits; 0 always takes the most likely token
    #[arg(long, default_value_t = 0.0)]
    pub temperature: f32,
    /// Choose among the K most likely tokens; 0 for all
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub top_k: usize,
    /// Choose among the most likely tokens that together reach probability P
    #[arg(long, default_value_t = 1.0, value_name = "P")]
    pub top_p: f32,
    /// Fixes the choices
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

#[derive(Clone, Debug, Args)]
pub struct MergeArguments {
    /// Model folder [default: the embedded model]
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Adapter folder, for that model
    #[arg(long, value_name = "DIR")]
    pub adapter: PathBuf,
    /// Folder for the merged model
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace the folder if it exists, when the new one is complete
    #[arg(long)]
    pub force: bool,
}

#[derive(Clone, Debug, Args)]
pub struct DoctorArguments {
    /// Check also against the cases of a safetensors file of reference values
    #[arg(long, value_name = "FILE")]
    pub vectors: Option<PathBuf>,
}

impl TrainingArguments {
    /// The settings that they mean.
    pub fn settings(&self) -> Result<TrainSettings> {
        let objective = match self.method {
            MethodArgument::Mft => Objective {
                tau: self.tau.unwrap_or(DEFAULT_TAU),
                temperature: self.temperature,
                scope: match self.scope {
                    None | Some(ScopeArgument::All) => Scope::All,
                    Some(ScopeArgument::Incorrect) => Scope::Incorrect,
                },
            },
            MethodArgument::Ft => {
                for (name, given) in [("tau", self.tau.is_some()), ("scope", self.scope.is_some())]
                {
                    if given {
                        return Err(Error::setting(
                            name,
                            "given",
                            "none with --method ft: only mft corrects targets",
                        ));
                    }
                }
                Objective {
                    temperature: self.temperature,
                    ..Objective::finetuning()
                }
            }
        };
        let adapter = self.adapter.settings()?;
        let usual = adapter.as_ref().map_or(
            TrainSettings::default().learning_rate,
            AdapterSettings::learning_rate,
        );
        let settings = TrainSettings {
            objective,
            adapter,
            epochs: self.epochs,
            batch_size: self.batch_size,
            gradient_accumulation: self.grad_accumulation,
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
}

impl AdapterArguments {
    fn settings(&self) -> Result<Option<AdapterSettings>> {
        let low_rank = matches!(self.adapter, AdapterArgument::Lora | AdapterArgument::Dora);
        let given = [
            ("rank", self.rank.is_some(), low_rank),
            ("alpha", self.alpha.is_some(), low_rank),
            ("rslora", self.rslora, low_rank),
            ("dropout", self.dropout.is_some(), low_rank),
            (
                "target-modules",
                !self.target_modules.is_empty(),
                self.adapter != AdapterArgument::None,
            ),
        ];
        if let Some((name, ..)) = given.into_iter().find(|&(_, given, fits)| given && !fits) {
            let expected = if name == "target-modules" {
                "none without --adapter lora, dora or ia3"
            } else {
                "none without --adapter lora or dora"
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
                    alpha: self.alpha.unwrap_or(usual.alpha),
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

impl GenerateArguments {
    pub fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            seed: self.seed,
        }
    }
}
