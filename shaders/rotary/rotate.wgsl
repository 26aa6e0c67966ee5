// Rotary position embedding (Su et al., arXiv:2104.09864) of x [batch, length, heads, size] by tables
// [length, size / 2] of cosines and sines: element i of a head rotates with element i + size / 2. A
// direction of -1 rotates back.
//
// Pieces: shared/elements.

struct Parameters {
    // batch * length * heads * size / 2
    pairs: u32,
    length: u32,
    heads: u32,
    half_size: u32,
    direction: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> cosine: array<f32>;
@group(0) @binding(2) var<storage, read_write> sine: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> parameters: Parameters;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(global_invocation_id) invocation: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let stride = stride_of_dispatch(workgroups);
    let half_size = parameters.half_size;
    for (var pair = invocation.x; pair < parameters.pairs; pair += stride) {
        let head = pair / half_size;
        let i = pair % half_size;
        let position = head / parameters.heads % parameters.length;
        let table = position * half_size + i;
        let c = cosine[table];
        let s = sine[table] * parameters.direction;
        let low = 2u * head * half_size + i;
        let high = low + half_size;
        out[low] = x[low] * c - x[high] * s;
        out[high] = x[high] * c + x[low] * s;
    }
}
