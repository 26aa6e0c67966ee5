//! The command-line arguments, with their help.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;

use super::bench::BenchArguments;
use super::chat::ChatArguments;
use super::compare::CompareArguments;
use super::dial::DialArguments;
use super::doctor::DoctorArguments;
use super::export::ExportArguments;
use super::inputs::TextArguments;
use super::models::{LoadArguments, ModelArguments};
use super::sampling::SamplingArguments;
use super::train::TrainArguments;
use crate::device::DeviceChoice;
use crate::model::SaveType;

/// Minifinetuning: adapt a small language model to a few hundred texts without forgetting.
#[derive(Debug, Parser)]
#[command(
    name = "minift",
    version,
    max_term_width = 100,
    disable_help_flag = true,
    disable_version_flag = true,
    after_help = "Without a command, minift runs the demo. `minift help <COMMAND>` shows the options of a command."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Device: auto (a hardware GPU, otherwise the CPU), cpu, gpu, gpu:N from `minift devices`, or gpu:local-rank
    /// (each process that mpirun or srun starts on a machine takes another GPU) [default: auto]
    #[arg(
        long,
        global = true,
        value_name = "DEVICE",
        help_heading = "Global options"
    )]
    pub device: Option<DeviceChoice>,
    /// Print one JSON object per line to stdout, and text to stderr
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Print help
    #[allow(dead_code)] // read by clap
    #[arg(short, long, global = true, action = ArgAction::HelpShort, help_heading = "Global options")]
    help: Option<bool>,
    /// Print version
    #[allow(dead_code)] // read by clap
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = "Global options")]
    version: Option<bool>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Compare finetuning and minifinetuning on the embedded model and texts
    Demo(DemoArguments),
    /// Compare methods over their strengths, as described by a recipe
    Compare(CompareArguments),
    /// Train a model or an adapter on your data
    Train(Box<TrainArguments>),
    /// Inspect how data is tokenized: counts, lengths, samples with the predicted tokens marked
    Data(DataArguments),
    /// Evaluate the perplexity of a model
    Eval(EvalArguments),
    /// Generate text from a prompt
    Generate(GenerateArguments),
    /// Talk with a model in the terminal
    Chat(ChatArguments),
    /// Choose the strength of a finetuning after training
    Dial(Box<DialArguments>),
    /// Merge an adapter into its model
    Merge(MergeArguments),
    /// Export a model or an adapter as a GGUF file, for llama.cpp, Ollama and LM Studio
    Export(ExportArguments),
    /// List the available devices
    Devices,
    /// Verify that a device computes correct results, or a model by the logits of another program
    Doctor(DoctorArguments),
    /// Benchmark a device: peak rates, the loss, and training steps
    Bench(BenchArguments),
    /// Print completions for a shell
    Completions(CompletionsArguments),
    /// Write man pages to a folder
    Man(ManArguments),
}

impl Command {
    /// Returns the name on the command line.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Demo(_) => "demo",
            Self::Compare(_) => "compare",
            Self::Train(_) => "train",
            Self::Data(_) => "data",
            Self::Eval(_) => "eval",
            Self::Generate(_) => "generate",
            Self::Chat(_) => "chat",
            Self::Dial(_) => "dial",
            Self::Merge(_) => "merge",
            Self::Export(_) => "export",
            Self::Devices => "devices",
            Self::Doctor(_) => "doctor",
            Self::Bench(_) => "bench",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
        }
    }
}

#[derive(Clone, Debug, Default, Args)]
pub(super) struct DemoArguments {
    /// Output folder for both models and run.json [default: minift-out, or the next free minift-out-N]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace the output folder if it exists, once the new one is complete
    #[arg(long, requires = "out")]
    pub force: bool,
    /// Random seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub seed: u64,
}

#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)] // so that the error names the setting
pub(super) struct DataArguments {
    /// Data in any format that `minift train` reads
    #[arg(value_name = "FILE", required = true)]
    pub data: Vec<PathBuf>,
    #[command(flatten)]
    pub model: ModelArguments,
    #[command(flatten)]
    pub text: TextArguments,
}

#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)] // so that the error names the setting
pub(super) struct EvalArguments {
    #[command(flatten)]
    pub model: LoadArguments,
    /// Adapter folder
    #[arg(long, alias = "adapter", value_name = "DIR", help_heading = "Model")]
    pub adapter_dir: Option<PathBuf>,
    /// Data in any format that `minift train` reads
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "test",
        num_args = 1..,
        help_heading = "Data"
    )]
    pub data: Vec<PathBuf>,
    /// Number of texts, from the start of the data [default: all]
    #[arg(long, value_name = "N", requires = "data", help_heading = "Data")]
    pub samples: Option<usize>,
    #[command(flatten)]
    pub text: TextArguments,
    /// Batch size
    #[arg(
        long,
        default_value_t = 8,
        value_name = "N",
        help_heading = "Evaluation"
    )]
    pub batch_size: usize,
    /// Also choose the continuation of each text among those of N texts, and report the accuracy
    #[arg(long, value_name = "N", requires = "data", help_heading = "Evaluation")]
    pub choices: Option<usize>,
    /// Test of questions in .jsonl: "question" and "answer", and "choices" for multiple choice
    #[arg(long, value_name = "FILE", help_heading = "Evaluation")]
    pub test: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)] // so that the error names the setting
pub(super) struct GenerateArguments {
    #[command(flatten)]
    pub model: LoadArguments,
    /// Adapter folder
    #[arg(long, alias = "adapter", value_name = "DIR", help_heading = "Model")]
    pub adapter_dir: Option<PathBuf>,
    /// Prompt
    #[arg(long, value_name = "TEXT", help_heading = "Generation")]
    pub prompt: String,
    /// Maximum number of new tokens
    #[arg(
        long,
        default_value_t = 128,
        value_name = "N",
        help_heading = "Generation"
    )]
    pub max_new_tokens: usize,
    /// Treat the prompt as a message, and answer it by the chat template of the model
    #[arg(long, help_heading = "Generation")]
    pub chat: bool,
    #[command(flatten)]
    pub sampling: SamplingArguments,
}

#[derive(Clone, Debug, Args)]
pub(super) struct MergeArguments {
    #[command(flatten)]
    pub model: ModelArguments,
    /// Adapter folder
    #[arg(long, alias = "adapter", value_name = "DIR", help_heading = "Model")]
    pub adapter_dir: PathBuf,
    /// Output folder for the merged model
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: PathBuf,
    /// Type of the saved weights [default: that of the model]
    #[arg(long, value_enum, value_name = "DTYPE", help_heading = "Output")]
    pub save_type: Option<SaveType>,
    /// Replace the output folder if it exists, once the new one is complete
    #[arg(long, help_heading = "Output")]
    pub force: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent_and_old_spellings_parse() {
        Arguments::command().debug_assert();
        let line = "minift train --data a.txt --out o --adapter lora --target constant --alpha 0.3 --lora-alpha 8";
        let Some(Command::Train(train)) =
            Arguments::try_parse_from(line.split(' ')).unwrap().command
        else {
            panic!("{line}");
        };
        let options = train.training.options(false).unwrap();
        assert_eq!(options.target.alpha, Some(0.3));
        assert_eq!(options.adapter.lora_alpha, Some(8.0));
        for (line, adapter) in [
            ("minift eval --data a.txt --adapter-dir a", "a"),
            ("minift eval --data a.txt --adapter b", "b"),
        ] {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            let Some(Command::Eval(eval)) = arguments.command else {
                panic!("{line}");
            };
            assert_eq!(eval.adapter_dir, Some(PathBuf::from(adapter)));
        }
        let line = "minift train --data a.txt --out o --target constant --alpha 0.2";
        assert!(Arguments::try_parse_from(line.split(' ')).is_ok());
    }
}

#[derive(Clone, Debug, Args)]
pub(super) struct CompletionsArguments {
    /// Shell
    #[arg(value_enum)]
    pub shell: Shell,
}

#[derive(Clone, Debug, Args)]
pub(super) struct ManArguments {
    /// Output folder; pages of earlier versions are replaced
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}
