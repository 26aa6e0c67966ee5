#![doc = "placeholder"]
pub mod cli;
pub mod data;
pub mod demo;
pub mod device;
pub mod doctor;
pub mod error;
pub mod eval;
pub mod files;
pub mod model;
pub mod objective;
pub mod report;
pub mod train;
mod vector;
pub use error::{Error, Result};
