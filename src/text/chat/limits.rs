//! Limits on the work of a template, so that its time and memory are bounded.

/// Fuel of minijinja (one per instruction, or per 64 bytes) for a conversation of this size: far more
/// than templates need, which iterate over the messages a few times.
pub(super) fn fuel(messages: usize, bytes: usize) -> u64 {
    const ALWAYS: u64 = 2_000_000;
    const PER_MESSAGE: u64 = 20_000;
    const PER_BYTE: u64 = 64;
    ALWAYS
        .saturating_add(PER_MESSAGE.saturating_mul(messages as u64))
        .saturating_add(PER_BYTE.saturating_mul(bytes as u64))
}

/// Maximum length in bytes of the rendering of a conversation of `bytes` bytes.
pub(super) fn text(bytes: usize) -> usize {
    const ALWAYS: usize = 1 << 20;
    const PER_BYTE: usize = 64;
    ALWAYS.saturating_add(PER_BYTE.saturating_mul(bytes))
}

/// Maximum work on the prefixes of one conversation. Rendering the prefix up to every message takes time
/// quadratic in the number of messages.
pub(super) const PREFIXES: usize = 512 << 20;

/// The work of rendering a prefix of `messages` messages to `bytes` bytes.
pub(super) fn prefix(messages: usize, bytes: usize) -> usize {
    const PER_MESSAGE: usize = 1024;
    bytes.saturating_add(PER_MESSAGE.saturating_mul(messages + 1))
}

/// Maximum number of tokens in one tag; real templates have at most 50. The recursion depth of the parser
/// and compiler grows with it.
pub(super) const TOKENS: usize = 400;
/// Maximum number of `elif` in one template; real ones have at most 25. See [`TOKENS`].
pub(super) const ALTERNATIVES: usize = 200;

/// Maximum nesting depth of brackets in a tag; real templates have at most 4.
pub(super) const BRACKETS: usize = 10;

/// Maximum recursion depth of macros, loops and so on; a macro counts as five.
pub(super) const RECURSION: usize = 150;

/// Maximum nesting depth of a variable's value.
pub(super) const VALUE_DEPTH: usize = 100;
