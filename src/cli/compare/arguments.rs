//! The arguments of `minift compare`.

use std::path::PathBuf;

use clap::Args;

use crate::compare::Shard;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct CompareArguments {
    /// Recipe in TOML: models, data, methods and their strengths [default: the built-in
    /// recipes/embedded.toml]
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// Output folder for results.jsonl, results.csv and report.html; an interrupted comparison resumes
    #[arg(long, value_name = "DIR", default_value = "minift-comparison")]
    pub out: PathBuf,
    #[command(flatten)]
    pub part: PartArguments,
}

/// The part of a comparison that a process does.
#[derive(Clone, Debug, Args)]
#[group(multiple = false)]
pub(in crate::cli) struct PartArguments {
    /// Print the names of the trainings, one a line, and exit
    #[arg(long, help_heading = "Many processes")]
    pub list: bool,
    /// Run only the training of this name, as --list prints it. Any number of processes, on any number of
    /// machines, can write to --out at once
    #[arg(long, value_name = "NAME", help_heading = "Many processes")]
    pub cell: Option<String>,
    /// Run only share I of N of the trainings, such as 3/8; likewise
    #[arg(long, value_name = "I/N", help_heading = "Many processes")]
    pub shard: Option<Shard>,
    /// Run nothing: write the tables and the report of what is complete, and print what is missing
    #[arg(long, help_heading = "Many processes")]
    pub collect: bool,
}
