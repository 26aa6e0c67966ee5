//! Processors and systems without tiles.

use std::ops::Range;

use super::matrix::{Matrix, Out, Threads, Update};

#[cfg(any(feature = "cli", test))]
pub(super) fn are_available() -> bool {
    false
}

pub(super) fn suit(_: [usize; 3], _: [Matrix; 2], _: usize) -> bool {
    false
}

pub(super) unsafe fn multiply(_: [usize; 3], _: Out, _: Update, _: [Matrix; 2], _: Threads) {
    unreachable!("no product suits tiles");
}

/// A left factor for tiles.
#[derive(Debug)]
pub(super) enum LeftFactor {}

impl LeftFactor {
    pub(super) unsafe fn new(_: Matrix, _: [usize; 2], _: usize) -> Self {
        unreachable!("no product suits tiles");
    }

    pub(super) unsafe fn multiply(&self, _: Range<usize>, _: Matrix, _: usize, _: Out, _: Update) {
        match *self {}
    }
}
