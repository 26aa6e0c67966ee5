// The gradient of attention.wgsl with respect to its queries, a query of a head an invocation. With
// p the softmax of a query's scores s = scale query . key, and u the gradient of what it made,
//
//   dL/ds    = p (u . value - mean),   mean = sum over keys of p (u . value)
//   dL/dquery = scale sum over keys of dL/ds key
//
// The keys pass by twice: first softmax and mean are gathered, then the gradient. What is known of a
// query then is kept for attention_key_gradient.wgsl.

// join attention_shape
// join first_seen

@group(0) @binding(0) var<storage, read_write> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> key: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> value: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> beginnings: array<i32>;
@group(0) @binding(4) var<storage, read_write> upstream: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> of_query: array<vec4<f32>>;
// [batch, heads, length]: log of the sum of exp(score), mean, and the first key that is seen.
@group(0) @binding(6) var<storage, read_write> known_of_query: array<vec4<f32>>;
@group(0) @binding(7) var<uniform> parameters: Parameters;

var<workgroup> keys: array<vec4<f32>, TILE * HEAD_QUADS>;
var<workgroup> values: array<vec4<f32>, TILE * HEAD_QUADS>;
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
    var above: array<vec4<f32>, HEAD_QUADS>;
    var sums: array<vec4<f32>, HEAD_QUADS>;
    for (var i = 0u; i < HEAD_QUADS; i++) {
        own[i] = query[start + i] * parameters.scale;
        above[i] = upstream[start + i];
    }
    var maximum = -3.4028234e38;
    var sum = 0.0;
    var mean = 0.0;
    for (var pass_number = 0u; pass_number < 2u; pass_number++) {
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
                var products_above = vec4(0.0);
                for (var i = 0u; i < HEAD_QUADS; i++) {
                    products = fma(own[i], keys[row + i], products);
                    products_above = fma(above[i], values[row + i], products_above);
                }
                let score = sum_of_quad(products);
                let of_weight = sum_of_quad(products_above);
                if pass_number == 0u {
                    if score > maximum {
                        let shrink = exp(maximum - score);
                        maximum = score;
                        sum *= shrink;
                        mean *= shrink;
                    }
                    let weight = exp(score - maximum);
                    sum += weight;
                    mean = fma(weight, of_weight, mean);
                } else {
                    let of_score = exp(score - maximum) * (of_weight - mean);
                    for (var i = 0u; i < HEAD_QUADS; i++) {
                        sums[i] = fma(vec4(of_score), keys[row + i], sums[i]);
                    }
                }
            }
            workgroupBarrier();
        }
        if pass_number == 0u {
            mean /= sum;
        }
    }
    if inside {
        for (var i = 0u; i < HEAD_QUADS; i++) {
            of_query[start + i] = sums[i] * (parameters.scale / sum);
        }
        let row = (batch * parameters.heads + head) * parameters.length + position;
        known_of_query[row] = vec4(maximum + log(sum), mean, f32(first), 0.0);
    }
}
