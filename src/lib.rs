#![doc = "placeholder"]
pub mod device;
pub mod error;
pub mod model;
pub mod objective;
mod vector;
