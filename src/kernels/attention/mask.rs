//! Which positions a query attends to.

use std::sync::Arc;

/// Restricts which positions up to its own a query attends to.
#[derive(Clone, Debug)]
pub struct AttentionMask {
    /// Size of the sliding window, the query's own position included; `usize::MAX` for no window.
    pub window: usize,
    /// For packed samples, whose segments must not attend to each other.
    pub segment_starts: Option<SegmentStarts>,
}

/// For each query of \[batch, length\], the first position of its segment.
pub type SegmentStarts = Arc<[u32]>;

impl AttentionMask {
    /// A sliding window over samples of one segment each.
    pub fn sliding_window(window: usize) -> Self {
        Self {
            window,
            segment_starts: None,
        }
    }

    /// Returns the first position that a query attends to, where `query` is its index in
    /// \[batch, length\] and `end` is one past its own position.
    pub(super) fn first_seen(&self, query: usize, end: usize) -> usize {
        let segment_start = self
            .segment_starts
            .as_ref()
            .map_or(0, |starts| starts[query] as usize);
        end.saturating_sub(self.window).max(segment_start)
    }
}
