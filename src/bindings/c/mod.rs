//! The C interface: devices, models, samples and runs behind opaque handles, declared in
//! `include/minift.h`. The rules that all functions share (ownership, statuses, threads) are stated
//! there.
//!
//! No panic crosses the boundary: `status` catches those of a function body. Handles are
//! reference-counted, so a handle that a callback frees stays alive until the call returns. Mutable
//! state is behind a lock that is only ever tried: a concurrent call returns an error, and state
//! that a panic left inconsistent is not used again.
// The safety contract is the same for all functions; the header states it once.
#![allow(clippy::missing_safety_doc)]

// In the order of the header, which cbindgen takes from here.
mod version;

mod status;

mod log;

mod device;

mod model;

mod samples;

mod settings;

mod run;

mod event;

mod checkpoint;

mod outcome;

mod dial;

mod pointers;
mod strings;

pub use checkpoint::*;
pub use device::*;
pub use dial::*;
pub use event::*;
pub use log::*;
pub use model::*;
pub use outcome::*;
pub use pointers::minift_text_free;
pub use run::*;
pub use samples::*;
pub use settings::*;
pub use status::*;
pub use version::*;
