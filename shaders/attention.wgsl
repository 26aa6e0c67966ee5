// Causal attention, a query of a head an invocation. Keys and values pass by a tile at a time, and the
// softmax is gathered as they do, so that scores are never stored (Dao et al., arXiv:2205.14135).

// join attention_shape
// join first_seen

@group(0) @binding(0) var<storage, read_write> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> key: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> value: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> beginnings: array<i32>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> parameters: Parameters;

var<workgroup> keys: array<vec4<f32>, TILE * HEAD_QUADS>;
var<workgroup> values: array<vec4<f32>, TILE * HEAD_QUADS>;
// The keys that some query of the workgroup sees. Barriers stand in a loop over them, so every
// invocation has to be known to see the same.
var<workgroup> shared_range: vec2<u32>;

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let head = workgroup.y;
    let batch = workgroup.z;
    let key_head = head / (parameters.heads / parameters.key_heads);
    let first_position = workgroup.x * INVOCATIONS;
    let inside = first_position + invocation < parameters.length;
    let position = min(first_position + invocation, parameters.length - 1u);
    let start = query_at(batch, position, head);
    let first = first_seen(batch, position);
    let end = select(first, end_seen(position), inside);

    if invocation == 0u {
        let last_position = min(first_position + INVOCATIONS, parameters.length) - 1u;
        shared_range = vec2(first_seen(batch, first_position), end_seen(last_position));
    }
    let range = workgroupUniformLoad(&shared_range);

    var own: array<vec4<f32>, HEAD_QUADS>;
    var sums: array<vec4<f32>, HEAD_QUADS>;
    for (var i = 0u; i < HEAD_QUADS; i++) {
        own[i] = query[start + i] * parameters.scale;
    }
    // As in online_softmax.wgsl, with the sums scaled down along.
    var maximum = -3.4028234e38;
    var sum = 0.0;
    for (var tile = range.x; tile < range.y; tile += TILE) {
        for (var element = invocation; element < TILE * HEAD_QUADS; element += INVOCATIONS) {
            let at = tile + element / HEAD_QUADS;
            if at < range.y {
                let from_key = key_at(batch, at, key_head) + element % HEAD_QUADS;
                keys[element] = key[from_key];
                values[element] = value[from_key];
            }
        }
        workgroupBarrier();
        let last = min(end, tile + TILE);
        for (var at = max(first, tile); at < last; at++) {
            let row = (at - tile) * HEAD_QUADS;
            var products = vec4(0.0);
            for (var i = 0u; i < HEAD_QUADS; i++) {
                products = fma(own[i], keys[row + i], products);
            }
            let score = sum_of_quad(products);
            if score > maximum {
                let shrink = exp(maximum - score);
                maximum = score;
                sum *= shrink;
                for (var i = 0u; i < HEAD_QUADS; i++) {
                    sums[i] *= shrink;
                }
            }
            let weight = exp(score - maximum);
            sum += weight;
            for (var i = 0u; i < HEAD_QUADS; i++) {
                sums[i] = fma(vec4(weight), values[row + i], sums[i]);
            }
        }
        workgroupBarrier();
    }
    if inside {
        for (var i = 0u; i < HEAD_QUADS; i++) {
            out[start + i] = sums[i] / sum;
        }
    }
}
