//! Training: the loop, the optimiser, the schedule, the teacher, checkpoints and events.

mod checkpoint;
#[cfg(not(target_arch = "wasm32"))]
mod drive;
mod event;
mod memory;
mod optimizer;
mod pace;
mod run;
mod settings;
mod teacher;
mod trainer;

#[cfg(not(target_arch = "wasm32"))]
pub use drive::{Cancel, Checkpoints, Ending, drive};
pub use event::{Event, Moment};
pub use memory::{MemoryEstimate, MemoryPart};
pub use pace::{Budget, Pace, Wanted, budget};
pub use run::{Evaluated, Outcome, Run, RunData};
pub use settings::{Schedule, TrainSettings};
pub use trainer::{Measured, Trainer};
