// Piece: the queries and keys of a few tokens, in workgroup memory.
// Provides: queries, keys, load_keys. Requires: delta_rule/sweep; the bindings query, key and parameters.

var<workgroup> queries: array<vec4<f32>, TILE * QUADS>;
var<workgroup> keys: array<vec4<f32>, TILE * QUADS>;

// Loads the tokens from `tile` to before `end`. Zeros stand past the last element of a head. All invocations must
// call it.
fn load_keys(place: Place, tile: u32, end: u32, invocation: u32) {
    let key_quads = parameters.key_size / 4u;
    workgroupBarrier();
    for (var at = invocation; at < (end - tile) * QUADS; at += INVOCATIONS) {
        let quad = at % QUADS;
        let from_key = key_at(place, tile + at / QUADS) / 4u + quad;
        let exists = quad < key_quads;
        queries[at] = vec4(0.0);
        keys[at] = vec4(0.0);
        if exists {
            queries[at] = query[from_key];
            keys[at] = key[from_key];
        }
    }
    workgroupBarrier();
}
