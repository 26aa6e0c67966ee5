//! The library for C, and for whatever calls C: devices, models, samples and runs behind opaque
//! handles, declared in `include/minift.h`, where the rules stand that all functions share: who owns
//! what, what a status means, which thread may do what.
//!
//! No panic leaves it: `status` catches what a function's body throws. Handles are reference counts,
//! so that one that is freed in the middle of a call (in its callback) lives until the call is over.
//! What changes is behind a lock that is only ever tried, which turns two calls at once into an error
//! and refuses what a panic left half done.
// What a caller has to keep is the same for all functions, and said once, in the header.
#![allow(clippy::missing_safety_doc)]

// In the order of the header.
mod version;

mod status;

mod log;

mod device;

mod model;

mod samples;

mod settings;

mod run;

mod event;

mod pointers;

pub use device::*;
pub use event::*;
pub use log::*;
pub use model::*;
pub use pointers::minift_text_free;
pub use run::*;
pub use samples::*;
pub use settings::*;
pub use status::*;
pub use version::*;
