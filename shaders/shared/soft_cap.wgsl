// Piece: soft caps (Gemma Team, arXiv:2408.00118): cap tanh(x / cap), which is between -cap and cap.
// Provides: soft_capped, soft_cap_slope.

// The rational approximation of the Eigen library, within 4 units in the last place. WGSL's own may overflow
// for large x. NaN stays NaN.
fn hyperbolic_tangent(x: f32) -> f32 {
    // Beyond it, the result is 1 in float32.
    let limit = 7.905311;
    let clamped = select(select(x, -limit, x < -limit), limit, x > limit);
    let square = clamped * clamped;
    var p = -2.7607685e-16;
    p = p * square + 2.000188e-13;
    p = p * square - 8.604672e-11;
    p = p * square + 5.122297e-8;
    p = p * square + 1.4857224e-5;
    p = p * square + 6.3726193e-4;
    p = p * square + 4.8935246e-3;
    var q = 1.1982584e-6;
    q = q * square + 1.1853471e-4;
    q = q * square + 2.2684346e-3;
    q = q * square + 4.893525e-3;
    return clamped * p / q;
}

fn soft_capped(x: f32, cap: f32) -> f32 {
    return cap * hyperbolic_tangent(x / cap);
}

// The derivative of soft_capped where its value is `capped`.
fn soft_cap_slope(capped: f32, cap: f32) -> f32 {
    let tangent = capped / cap;
    return (1.0 - tangent) * (1.0 + tangent);
}
