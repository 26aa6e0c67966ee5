// Causal attention, one query of a head per invocation, or a part of it. Keys and values are processed tile by tile
// with an online softmax, so that scores are never stored (Dao et al., arXiv:2205.14135).
//
// Pieces: attention/shape, attention/keys, attention/whole_heads or attention/heads_in_parts, and
// attention/no_soft_cap or attention/soft_cap with shared/soft_cap.

@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> parameters: Parameters;

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
    var sums: array<vec4<f32>, PART_QUADS>;
    for (var i = 0u; i < PART_QUADS; i++) {
        own[i] = query[start + i] * parameters.scale;
    }
    // As in online_softmax.wgsl, with the sums rescaled too.
    var maximum = -3.4028234e38;
    var sum = 0.0;
    for (var tile = range.x; tile < range.y; tile += TILE) {
        load_keys(workgroup, tile, range.y, invocation);
        workgroupBarrier();
        // Rows of the tile.
        let begin = max(own_query.first, tile) - tile;
        let end = max(min(own_query.end, tile + TILE), tile) - tile;
        share_product(&own, begin, end, invocation);
        for (var row = begin; row < end; row++) {
            let score = score_of(product_of(&own, row, invocation));
            if score > maximum {
                let shrink = exp(maximum - score);
                maximum = score;
                sum *= shrink;
                for (var i = 0u; i < PART_QUADS; i++) {
                    sums[i] *= shrink;
                }
            }
            let weight = exp(score - maximum);
            sum += weight;
            let from_value = row * HEAD_QUADS + part;
            for (var i = 0u; i < PART_QUADS; i++) {
                sums[i] = fma(vec4(weight), seconds[from_value + i], sums[i]);
            }
        }
        workgroupBarrier();
    }
    if own_query.inside {
        for (var i = 0u; i < PART_QUADS; i++) {
            out[start + i] = sums[i] / sum;
        }
    }
}
