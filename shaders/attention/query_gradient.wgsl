// The gradient of forward.wgsl with respect to the queries, one query of a head per invocation, or a part of
// it. With p the softmax of a query's scores s = score_of(scale query . key), and u the gradient of its output,
//
//   dL/ds    = p (u . value - mean),   mean = sum over keys of p (u . value)
//   dL/dquery = scale sum over keys of dL/ds slope_of(s) key
//
// There are two passes over the keys: the first accumulates softmax and mean, the second the gradient. The
// statistics of each query are stored for key_gradient.wgsl.
//
// Pieces: attention/shape, attention/keys, attention/whole_heads or attention/heads_in_parts, and
// attention/no_soft_cap or attention/soft_cap with shared/soft_cap.

@group(0) @binding(4) var<storage, read_write> upstream: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> grad_query: array<vec4<f32>>;
// [batch, heads, length]: log of the sum of exp(score), mean, and the first key attended to.
@group(0) @binding(6) var<storage, read_write> query_stats: array<vec4<f32>>;
@group(0) @binding(7) var<uniform> parameters: Parameters;

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let own_query = query_of(workgroup, invocation);
    let start = own_query.start;
    let range = range_of(workgroup, invocation);
    let part = part_of(invocation);

    var own: array<vec4<f32>, PART_QUADS>;
    var above: array<vec4<f32>, PART_QUADS>;
    var sums: array<vec4<f32>, PART_QUADS>;
    for (var i = 0u; i < PART_QUADS; i++) {
        own[i] = query[start + i] * parameters.scale;
        above[i] = upstream[start + i];
    }
    var maximum = -3.4028234e38;
    var sum = 0.0;
    var mean = 0.0;
    for (var pass_number = 0u; pass_number < 2u; pass_number++) {
        for (var tile = range.x; tile < range.y; tile += TILE) {
            load_keys(workgroup, tile, range.y, invocation);
            workgroupBarrier();
            // Rows of the tile.
            let begin = max(own_query.first, tile) - tile;
            let end = max(min(own_query.end, tile + TILE), tile) - tile;
            share_products(&own, &above, begin, end, invocation);
            for (var row = begin; row < end; row++) {
                let products = products_of(&own, &above, row, invocation);
                let score = score_of(products.x);
                let grad_weight = products.y;
                if pass_number == 0u {
                    if score > maximum {
                        let shrink = exp(maximum - score);
                        maximum = score;
                        sum *= shrink;
                        mean *= shrink;
                    }
                    let weight = exp(score - maximum);
                    sum += weight;
                    mean = fma(weight, grad_weight, mean);
                } else {
                    let grad_product = exp(score - maximum) * (grad_weight - mean) * slope_of(score);
                    let from_key = row * HEAD_QUADS + part;
                    for (var i = 0u; i < PART_QUADS; i++) {
                        sums[i] = fma(vec4(grad_product), firsts[from_key + i], sums[i]);
                    }
                }
            }
            workgroupBarrier();
        }
        if pass_number == 0u {
            mean /= sum;
        }
    }
    if own_query.inside {
        for (var i = 0u; i < PART_QUADS; i++) {
            grad_query[start + i] = sums[i] * (parameters.scale / sum);
        }
        if part == 0u {
            let head_start = (own_query.batch * parameters.heads + own_query.head) * parameters.length;
            query_stats[head_start + own_query.position] =
                vec4(maximum + log(sum), mean, f32(own_query.first), 0.0);
        }
    }
}
