//! Training: the loop, the optimiser, the schedule, the teacher, checkpoints and events.

mod checkpoint;
mod drive;
mod event;
mod optimizer;
mod run;
mod settings;
mod teacher;
mod trainer;

pub use drive::{Cancel, Checkpoints, Ending, drive};
pub use event::{Event, Moment};
pub use run::{Outcome, Run, RunData};
pub use settings::{Schedule, TrainSettings};
pub use trainer::{Measured, Trainer};
