// Piece: sizes of a short convolution, and how far it reaches back.
// Provides: Parameters, first_of_segment, reach.

struct Parameters {
    // batch * length * channels
    elements: u32,
    length: u32,
    channels: u32,
    // Size of the convolution's kernel.
    taps: u32,
    // Whether samples have segments.
    packed: u32,
    // Whether SiLU follows.
    silu: u32,
}

// The first position of a row's segment, where rows are [batch, length].
fn first_of_segment(row: u32) -> u32 {
    if parameters.packed == 0u {
        return 0u;
    }
    return u32(segment_starts[row]);
}

// The number of earlier inputs that a row's sum includes.
fn reach(row: u32) -> u32 {
    return min(parameters.taps - 1u, row % parameters.length - first_of_segment(row));
}
