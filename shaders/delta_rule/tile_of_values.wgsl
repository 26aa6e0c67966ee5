// Piece: what the gradients of queries and keys read of the values of a few tokens, in workgroup memory: b e, the
// gradient of the output, and that of the values.
// Provides: deltas, above, of_values, load_values. Requires: delta_rule/sweep; the bindings gates, errors, upstream,
// grad_value and parameters.

var<workgroup> deltas: array<vec4<f32>, TILE * QUADS>;
var<workgroup> above: array<vec4<f32>, TILE * QUADS>;
var<workgroup> of_values: array<vec4<f32>, TILE * QUADS>;

// Loads the tokens from `tile` to before `end`. Zeros stand past the last element of a head. All invocations must
// call it.
fn load_values(place: Place, tile: u32, end: u32, invocation: u32) {
    let value_quads = parameters.value_size / 4u;
    workgroupBarrier();
    for (var at = invocation; at < (end - tile) * QUADS; at += INVOCATIONS) {
        let quad = at % QUADS;
        let position = tile + at / QUADS;
        let from_value = value_at(place, position) / 4u + quad;
        let exists = quad < value_quads;
        deltas[at] = vec4(0.0);
        above[at] = vec4(0.0);
        of_values[at] = vec4(0.0);
        if exists {
            deltas[at] = gates[decay_at(place, position) + parameters.heads] * errors[from_value];
            above[at] = upstream[from_value];
            of_values[at] = grad_value[from_value];
        }
    }
    workgroupBarrier();
}
