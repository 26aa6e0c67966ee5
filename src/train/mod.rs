//! Training: settings, steps, runs, events and checkpoints.
//!
//! A [`Run`] evaluates, trains and evaluates again; `step.rs` is the training step, top to bottom.

mod backward;
mod checkpoint;
mod data;
#[cfg(not(target_arch = "wasm32"))]
mod drive;
mod event;
mod ewc;
mod finch;
mod flow;
mod front;
mod memory;
mod optimizer;
mod options;
mod outcome;
mod pace;
#[cfg(feature = "cli")]
pub(crate) mod page;
mod pipeline;
#[cfg(feature = "cli")]
mod ranks;
pub mod report;
mod run;
mod savings;
mod schedule;
#[cfg(not(target_arch = "wasm32"))]
mod search;
mod setters;
mod settings;
mod split;
mod step;
mod strength;
mod sum;
#[cfg(feature = "compare")]
pub(crate) mod table;
mod teacher;
mod trainer;

#[cfg(feature = "cli")]
pub(crate) use checkpoint::fingerprints;
#[cfg(not(target_arch = "wasm32"))]
pub use checkpoint::{Checkpoints, read_checkpoint, write_checkpoint};
pub use data::RunData;
#[cfg(any(feature = "cli", feature = "web"))]
pub(crate) use data::common;
#[cfg(feature = "cli")]
pub(crate) use drive::advance;
#[cfg(not(target_arch = "wasm32"))]
pub use drive::{Cancel, Ending, drive};
pub use event::{Event, Moment};
pub use ewc::EWC_TEXTS;
pub use flow::SampleWeights;
pub use front::start_front;
pub use memory::{MemoryEstimate, MemoryPart};
pub use options::TrainOptions;
pub use outcome::{Evaluated, Outcome};
pub use pace::{Budget, Pace, TimeBudget, budget};
#[cfg(feature = "cli")]
pub(crate) use ranks::check_ranks;
pub use run::Run;
pub use savings::MemorySaving;
pub use schedule::Schedule;
#[cfg(not(target_arch = "wasm32"))]
pub use search::{Strongest, Trial, strongest_within};
pub use settings::TrainSettings;
pub use strength::Strength;
pub use teacher::{KeptStates, TeacherCache};
pub use trainer::{StepOutput, Trainer};
