//! What a query sees of the positions before it.

use std::sync::Arc;

/// Which positions a query sees of its own and those before it.
#[derive(Clone, Debug)]
pub struct Visible {
    /// How many at most.
    pub window: usize,
    /// For each query of \[batch, length\] the first position of its own text, where samples hold
    /// several texts that must not see each other.
    pub beginnings: Option<Beginnings>,
}

/// The first position of the text that each token of \[batch, length\] belongs to.
pub type Beginnings = Arc<[u32]>;

impl Visible {
    /// Of one text, the last `window` positions.
    pub fn last(window: usize) -> Self {
        Self {
            window,
            beginnings: None,
        }
    }

    /// The first position that a query sees: the query of that number in \[batch, length\], which sees
    /// nothing from `end` on.
    pub(super) fn first(&self, query: usize, end: usize) -> usize {
        let beginning = self
            .beginnings
            .as_ref()
            .map_or(0, |all| all[query] as usize);
        end.saturating_sub(self.window).max(beginning)
    }
}
