//! Training: the loop, the optimiser, the schedule, the teacher, checkpoints and events.

#[cfg(not(target_arch = "wasm32"))]
mod bound;
mod checkpoint;
#[cfg(not(target_arch = "wasm32"))]
mod checkpoints;
mod consolidation;
#[cfg(not(target_arch = "wasm32"))]
mod drive;
mod event;
mod gradients;
mod memory;
mod optimizer;
mod pace;
mod run;
mod settings;
mod strength;
mod teacher;
mod trainer;

#[cfg(not(target_arch = "wasm32"))]
pub use bound::{Strongest, Trial, strongest_within};
#[cfg(feature = "cli")]
pub(crate) use checkpoint::fingerprints;
#[cfg(not(target_arch = "wasm32"))]
pub use checkpoints::{Checkpoints, read_checkpoint, write_checkpoint};
pub use consolidation::CONSOLIDATION_TEXTS;
#[cfg(not(target_arch = "wasm32"))]
pub use drive::{Cancel, Ending, drive};
pub use event::{Event, Moment};
pub use memory::{MemoryEstimate, MemoryPart};
pub use pace::{Budget, Pace, Wanted, budget};
pub use run::{Evaluated, Outcome, Run, RunData};
pub use settings::{Schedule, TrainSettings};
pub use strength::Strength;
pub use teacher::{KeptStates, TeacherCache};
pub use trainer::{Measured, Trainer};
