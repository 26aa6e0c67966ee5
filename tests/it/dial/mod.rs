//! The strength of a finetuning, chosen after training: models, fronts, the search within a bound, the command.
#![allow(clippy::unwrap_used)]

mod command;
mod fronts;
mod models;
