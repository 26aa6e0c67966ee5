// The gradients of forward.wgsl with respect to the keys and values, one key of a head per invocation:
//
//   dL/dkey   = scale sum over queries of dL/ds slope_of(s) query
//   dL/dvalue = sum over queries of p u
//
// in the notation of query_gradient.wgsl, over the queries of one of the heads that the key serves. The
// caller sums over those heads.
//
// Pieces: attention/shape, and attention/no_soft_cap or attention/soft_cap with shared/soft_cap.

@group(0) @binding(0) var<storage, read_write> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> key: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> value: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> upstream: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> query_stats: array<vec4<f32>>;
// [batch, key_length, heads, size]
@group(0) @binding(5) var<storage, read_write> grad_key: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> grad_value: array<vec4<f32>>;
@group(0) @binding(7) var<uniform> parameters: Parameters;

var<workgroup> queries: array<vec4<f32>, TILE * HEAD_QUADS>;
var<workgroup> above: array<vec4<f32>, TILE * HEAD_QUADS>;
var<workgroup> stats: array<vec4<f32>, TILE>;

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let head = workgroup.y;
    let batch = workgroup.z;
    let key_head = head / (parameters.heads / parameters.num_kv_heads);
    let first_key = workgroup.x * INVOCATIONS;
    let inside = first_key + invocation < parameters.key_length;
    let position = min(first_key + invocation, parameters.key_length - 1u);
    let start = key_at(batch, position, key_head);

    // The queries that may attend to a key of the workgroup. The window can be the largest u32.
    let before = parameters.key_length - parameters.length;
    let last_key = min(first_key + INVOCATIONS, parameters.key_length) - 1u;
    let reach = last_key + min(parameters.window, parameters.key_length);
    let begin = first_key - min(first_key, before);
    let end = min(parameters.length, reach - min(reach, before));

    var own_key: array<vec4<f32>, HEAD_QUADS>;
    var own_value: array<vec4<f32>, HEAD_QUADS>;
    var key_sums: array<vec4<f32>, HEAD_QUADS>;
    var value_sums: array<vec4<f32>, HEAD_QUADS>;
    for (var i = 0u; i < HEAD_QUADS; i++) {
        own_key[i] = key[start + i] * parameters.scale;
        own_value[i] = value[start + i];
    }
    for (var tile = begin; tile < end; tile += TILE) {
        for (var element = invocation; element < TILE * HEAD_QUADS; element += INVOCATIONS) {
            let at = tile + element / HEAD_QUADS;
            if at < end {
                let from_query = query_at(batch, at, head) + element % HEAD_QUADS;
                queries[element] = query[from_query];
                above[element] = upstream[from_query];
            }
        }
        for (var row = invocation; row < TILE; row += INVOCATIONS) {
            let at = tile + row;
            if at < end {
                let head_start = (batch * parameters.heads + head) * parameters.length;
                stats[row] = query_stats[head_start + at];
            }
        }
        workgroupBarrier();
        // Earlier queries precede the key.
        let from_here = max(tile, position - min(position, before));
        let last = select(tile, min(end, tile + TILE), inside);
        for (var at = from_here; at < last; at++) {
            let own_stats = stats[at - tile];
            if f32(position) < own_stats.z {
                continue;
            }
            let row = (at - tile) * HEAD_QUADS;
            var products = vec4(0.0);
            var products_above = vec4(0.0);
            for (var i = 0u; i < HEAD_QUADS; i++) {
                products = fma(own_key[i], queries[row + i], products);
                products_above = fma(own_value[i], above[row + i], products_above);
            }
            let score = score_of(sum_of_quad(products));
            let weight = exp(score - own_stats.x);
            let grad_product =
                weight * (sum_of_quad(products_above) - own_stats.y) * slope_of(score);
            for (var i = 0u; i < HEAD_QUADS; i++) {
                value_sums[i] = fma(vec4(weight), above[row + i], value_sums[i]);
                key_sums[i] = fma(vec4(grad_product), queries[row + i], key_sums[i]);
            }
        }
        workgroupBarrier();
    }
    if inside {
        let row = (batch * parameters.key_length + position) * parameters.heads + head;
        for (var i = 0u; i < HEAD_QUADS; i++) {
            grad_key[row * HEAD_QUADS + i] = key_sums[i] * parameters.scale;
            grad_value[row * HEAD_QUADS + i] = value_sums[i];
        }
    }
}
