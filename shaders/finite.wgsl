// Shared: whether a number is one. By its bits, since compilers may take for granted that all are.

fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}
