#![doc = "placeholder"]
pub mod data;
pub mod device;
pub mod error;
pub mod eval;
pub mod files;
pub mod model;
pub mod objective;
pub mod train;
mod vector;
pub use error::{Error, Result};
