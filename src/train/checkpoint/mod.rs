//! Checkpoints: the file format, and which files of a run are kept.

mod format;
#[cfg(not(target_arch = "wasm32"))]
mod retention;

#[cfg(feature = "cli")]
pub(crate) use format::fingerprints;
#[cfg(feature = "cli")]
pub(super) use format::hash_samples;
pub(super) use format::{Checkpoint, Progress, fingerprint};
#[cfg(not(target_arch = "wasm32"))]
pub use retention::{Checkpoints, read_checkpoint, write_checkpoint};
