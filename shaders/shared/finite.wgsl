// Piece: a test for finite numbers by their bits, since compilers may assume that all numbers are finite.
// Provides: is_finite.

fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}
