//! The arguments, with their help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::inputs::{ModelArguments, TextArguments};
use super::training::{GeneralText, Percentage, TrainingArguments};
use crate::bench::Shape;
use crate::device::DeviceChoice;
use crate::model::Sampling;

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
    /// Finetune and minifinetune the embedded model on the embedded texts (what runs without a command)
    Demo(DemoArguments),
    /// Compare methods, each over its own strength, by a recipe: tables, plots, a report
    Compare(CompareArguments),
    /// Train a model on a text
    Train(Box<TrainArguments>),
    /// Show what a model would see of a text: counts, lengths, samples with what is trained marked
    Data(DataArguments),
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
    /// Measure how fast this machine is: its peak rates, the loss, training steps of three models
    Bench(BenchArguments),
}

#[derive(Clone, Debug, Args)]
pub struct BenchArguments {
    /// Model whose steps are measured: 360k (the embedded one), 15m or 135m (random weights); may be
    /// given several times [default: all]
    #[arg(long, value_name = "SHAPE")]
    pub shape: Vec<Shape>,
    /// Seconds that each figure takes, at least three repetitions whatever that is
    #[arg(long, value_name = "N", default_value_t = 3.0, value_parser = seconds)]
    pub seconds: f64,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a whole number from 1 on".to_string()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number".to_string())?;
    match (0.0..=3600.0).contains(&seconds) {
        true => Ok(seconds),
        false => Err("expected 0 to 3600".to_string()),
    }
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
pub struct CompareArguments {
    /// What to compare on what, in TOML [default: recipes/embedded.toml, which is part of the program]
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// Folder for results.jsonl, results.csv and report.html; a comparison that was stopped goes on
    /// where it was
    #[arg(long, value_name = "DIR", default_value = "minift-comparison")]
    pub out: PathBuf,
}

#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)] // so that the message names the setting
pub struct TrainArguments {
    #[command(flatten)]
    pub model: ModelArguments,
    /// Text of the domain: .txt (samples separated by blank lines), .md, .jsonl, .json, .csv, .tsv
    /// (each also .gz or .zst), .parquet, a folder of .txt and .md files, or a pattern; several are
    /// read one after another
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub data: Vec<PathBuf>,
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
    /// Train on the first N texts [default: all but a tenth that --seed chooses, or all with
    /// --held-out]
    #[arg(long, value_name = "N")]
    pub samples: Option<usize>,
    #[command(flatten)]
    pub text: TextArguments,
    /// Pack several texts into one sample, none of which sees another: less padding
    #[arg(long)]
    pub pack: bool,
    #[command(flatten)]
    pub training: TrainingArguments,
    /// General text that is mixed into training: a file, or self for text that the untouched model
    /// writes
    #[arg(long, value_name = "FILE|self")]
    pub replay: Option<GeneralText>,
    /// Share of it in every batch [default: 0.25]
    #[arg(long, value_name = "SHARE", requires = "replay")]
    pub replay_ratio: Option<f64>,
    /// Text that says how much each weight matters (with --ewc): a file, or self for text that the
    /// untouched model writes [default: self]
    #[arg(long, value_name = "FILE|self", requires = "ewc")]
    pub ewc_text: Option<GeneralText>,
    /// Find the strongest training that makes the model worse on general text by at most so much:
    /// the largest tau, or what else sets the method's strength (its own value then does not count,
    /// but for --lr, which is the largest that is tried)
    #[arg(long, value_name = "PERCENT")]
    pub max_degeneralization: Option<Percentage>,
    /// General text by which that is found [default: a fifth of --general, or embedded tales]
    #[arg(long, value_name = "FILE", requires = "max_degeneralization")]
    pub validation: Option<PathBuf>,
    /// Write a checkpoint every N steps; 0 for only at the end and when stopped
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub checkpoint_every: usize,
    /// Keep the last N checkpoints, OUT.checkpoint and earlier ones as OUT.checkpoint.STEP, also when the
    /// run is complete [default: the last one until then]
    #[arg(long, value_name = "N", value_parser = at_least_one, conflicts_with = "max_degeneralization")]
    pub keep_checkpoints: Option<usize>,
    /// Go on from the checkpoint that a stopped run with the same arguments left, or from another one of
    /// its checkpoints
    #[arg(long, value_name = "CHECKPOINT", num_args = 0..=1)]
    pub resume: Option<Option<PathBuf>>,
    /// Measure both perplexities every N steps, too; 0 for only before and after
    #[arg(
        long,
        default_value_t = 0,
        value_name = "N",
        conflicts_with = "max_degeneralization"
    )]
    pub evaluate_every: usize,
    /// Write the model as it was when the held-out texts were found easiest, which is also kept as
    /// OUT.checkpoint.best until then, not as it is at the end
    #[arg(long, requires = "evaluate_every")]
    pub best: bool,
    /// Give a GPU work for at most so many milliseconds at a time, so that a screen that it draws stays
    /// responsive
    #[arg(long, value_name = "MS", value_parser = at_least_one)]
    pub time_slice: Option<usize>,
    /// Folder in which the teacher's hidden states are kept from one run to the next, for trainings of
    /// the same model on the same samples; files in it may be deleted at any time
    #[arg(long, value_name = "DIR", conflicts_with = "max_degeneralization")]
    pub teacher_cache: Option<PathBuf>,
    /// Text to continue before and after training
    #[arg(long)]
    pub prompt: Option<String>,
}

#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)] // so that the message names the setting
pub struct DataArguments {
    /// Text, in any form that train reads
    #[arg(value_name = "FILE", required = true)]
    pub data: Vec<PathBuf>,
    #[command(flatten)]
    pub model: ModelArguments,
    #[command(flatten)]
    pub text: TextArguments,
}

#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)] // so that the message names the setting
pub struct EvalArguments {
    #[command(flatten)]
    pub model: ModelArguments,
    /// Adapter folder, for that model
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// Text, in any form that train reads
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Use only the first N texts
    #[arg(long, value_name = "N")]
    pub samples: Option<usize>,
    #[command(flatten)]
    pub text: TextArguments,
    /// Samples a batch
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub batch_size: usize,
}

#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)] // so that the message names the setting
pub struct GenerateArguments {
    #[command(flatten)]
    pub model: ModelArguments,
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
    #[command(flatten)]
    pub model: ModelArguments,
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
