// The gradients of forward.wgsl with respect to the keys and values, one key of a head per invocation, or a part
// of it:
//
//   dL/dkey   = scale sum over queries of dL/ds slope_of(s) query
//   dL/dvalue = sum over queries of p u
//
// in the notation of query_gradient.wgsl, over the queries of one of the heads that the key serves. The
// caller sums over those heads.
//
// Pieces: attention/shape, attention/whole_heads or attention/heads_in_parts, and attention/no_soft_cap or
// attention/soft_cap with shared/soft_cap.

@group(0) @binding(0) var<storage, read_write> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> key: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> value: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> upstream: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> query_stats: array<vec4<f32>>;
// [batch, key_length, heads, size]
@group(0) @binding(5) var<storage, read_write> grad_key: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> grad_value: array<vec4<f32>>;
@group(0) @binding(7) var<uniform> parameters: Parameters;

var<workgroup> stats: array<vec4<f32>, TILE>;

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let head = workgroup.y;
    let batch = workgroup.z;
    let key_head = head / (parameters.heads / parameters.num_kv_heads);
    let first_key = workgroup.x * OWN;
    let own = first_key + own_of(invocation);
    let inside = own < parameters.key_length;
    let position = min(own, parameters.key_length - 1u);
    let part = part_of(invocation);
    let start = key_at(batch, position, key_head) + part;

    // The queries that may attend to a key of the workgroup. The window can be the largest u32.
    let before = parameters.key_length - parameters.length;
    let last_key = min(first_key + OWN, parameters.key_length) - 1u;
    let reach = last_key + min(parameters.window, parameters.key_length);
    let begin = first_key - min(first_key, before);
    let end = min(parameters.length, reach - min(reach, before));

    var own_key: array<vec4<f32>, PART_QUADS>;
    var own_value: array<vec4<f32>, PART_QUADS>;
    var key_sums: array<vec4<f32>, PART_QUADS>;
    var value_sums: array<vec4<f32>, PART_QUADS>;
    for (var i = 0u; i < PART_QUADS; i++) {
        own_key[i] = key[start + i] * parameters.scale;
        own_value[i] = value[start + i];
    }
    for (var tile = begin; tile < end; tile += TILE) {
        for (var element = invocation; element < TILE * HEAD_QUADS; element += INVOCATIONS) {
            let at = tile + element / HEAD_QUADS;
            if at < end {
                let from_query = query_at(batch, at, head) + element % HEAD_QUADS;
                firsts[element] = query[from_query];
                seconds[element] = upstream[from_query];
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
        let begin_row = max(tile, position - min(position, before)) - tile;
        let end_row = select(0u, min(end, tile + TILE) - tile, inside);
        share_products(&own_key, &own_value, begin_row, end_row, invocation);
        for (var row = begin_row; row < end_row; row++) {
            let own_stats = stats[row];
            if f32(position) < own_stats.z {
                continue;
            }
            let products = products_of(&own_key, &own_value, row, invocation);
            let score = score_of(products.x);
            let weight = exp(score - own_stats.x);
            let grad_product = weight * (products.y - own_stats.y) * slope_of(score);
            let from_query = row * HEAD_QUADS + part;
            for (var i = 0u; i < PART_QUADS; i++) {
                value_sums[i] = fma(vec4(weight), seconds[from_query + i], value_sums[i]);
                key_sums[i] = fma(vec4(grad_product), firsts[from_query + i], key_sums[i]);
            }
        }
        workgroupBarrier();
    }
    if inside {
        let row = (batch * parameters.key_length + position) * parameters.heads + head;
        let to_part = row * HEAD_QUADS + part;
        for (var i = 0u; i < PART_QUADS; i++) {
            grad_key[to_part + i] = key_sums[i] * parameters.scale;
            grad_value[to_part + i] = value_sums[i];
        }
    }
}
