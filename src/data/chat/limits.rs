//! How much work a template may do, so that none runs or fills memory without end.

/// Work, in minijinja's fuel (an instruction, or 64 bytes), for a conversation of so many messages
/// and bytes: far more than templates take, which go over the messages a few times.
pub(super) fn fuel(messages: usize, bytes: usize) -> u64 {
    const ALWAYS: u64 = 2_000_000;
    const PER_MESSAGE: u64 = 20_000;
    const PER_BYTE: u64 = 64;
    ALWAYS
        .saturating_add(PER_MESSAGE.saturating_mul(messages as u64))
        .saturating_add(PER_BYTE.saturating_mul(bytes as u64))
}

/// Greatest length, in bytes, of what a conversation of so many bytes may become.
pub(super) fn text(bytes: usize) -> usize {
    const ALWAYS: usize = 1 << 20;
    const PER_BYTE: usize = 64;
    ALWAYS.saturating_add(PER_BYTE.saturating_mul(bytes))
}

/// Greatest work on beginnings of one conversation. Rendering the beginning before and after every
/// message takes time with the square of their number.
pub(super) const PREFIXES: usize = 512 << 20;

/// The work of rendering a beginning of so many messages to a text of so many bytes.
pub(super) fn prefix(messages: usize, bytes: usize) -> usize {
    const PER_MESSAGE: usize = 1024;
    bytes.saturating_add(PER_MESSAGE.saturating_mul(messages + 1))
}

/// Greatest number of words and signs in one tag, and of `elif` in one template. What is read and
/// compiled of a template is as deep as a tag is long; real ones have 50, and 25.
pub(super) const TOKENS: usize = 400;
/// See [`TOKENS`].
pub(super) const ALTERNATIVES: usize = 200;

/// Greatest depth of brackets in a tag; real ones have 4.
pub(super) const BRACKETS: usize = 10;

/// Greatest depth of macros, loops and the like at work within each other, a macro counting five.
pub(super) const RECURSION: usize = 150;

/// Greatest depth of lists and dictionaries in what a variable holds.
pub(super) const VALUE_DEPTH: usize = 100;
