// Piece: the sum of a short convolution, before an activation.
// Provides: x, weight, bias, segment_starts, sum_of_taps.

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> segment_starts: array<i32>;

fn sum_of_taps(i: u32) -> f32 {
    let channel = i % parameters.channels;
    let reached = reach(i / parameters.channels);
    // The last tap is that of the row itself.
    let tap = (channel + 1u) * parameters.taps - 1u;
    var sum = bias[channel];
    for (var back = 0u; back <= reached; back++) {
        sum += weight[tap - back] * x[i - back * parameters.channels];
    }
    return sum;
}
