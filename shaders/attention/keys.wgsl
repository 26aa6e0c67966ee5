// Piece: attention kernels whose invocations have a query each, or a part of one, and which load keys and values tile
// by tile. Requires: attention/shape.

@group(0) @binding(0) var<storage, read_write> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> key: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> value: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> segment_starts: array<i32>;

// The range of keys that the workgroup's queries attend to. The loop over it contains barriers, so it must
// be uniform.
var<workgroup> shared_range: vec2<u32>;

// The first key that a query attends to.
fn first_seen(batch: u32, position: u32) -> u32 {
    let end = end_seen(position);
    let first = end - min(end, parameters.window);
    if parameters.packed == 0u {
        return first;
    }
    // The start of its segment, of [batch, length].
    return max(first, u32(segment_starts[batch * parameters.length + position]));
}

// An invocation's query.
struct Query {
    batch: u32,
    position: u32,
    head: u32,
    // Offset of its part, in groups of four.
    start: u32,
    // The keys that it attends to; none past the last query.
    first: u32,
    end: u32,
    inside: bool,
}

fn query_of(workgroup: vec3<u32>, invocation: u32) -> Query {
    let batch = workgroup.z;
    let head = workgroup.y;
    let own = workgroup.x * OWN + own_of(invocation);
    let inside = own < parameters.length;
    let position = min(own, parameters.length - 1u);
    let first = first_seen(batch, position);
    return Query(
        batch,
        position,
        head,
        query_at(batch, position, head) + part_of(invocation),
        first,
        select(first, end_seen(position), inside),
        inside,
    );
}

// Returns the workgroup's range of keys; all invocations must call it.
fn range_of(workgroup: vec3<u32>, invocation: u32) -> vec2<u32> {
    if invocation == 0u {
        let first_position = workgroup.x * OWN;
        let last_position = min(first_position + OWN, parameters.length) - 1u;
        shared_range = vec2(first_seen(workgroup.z, first_position), end_seen(last_position));
    }
    return workgroupUniformLoad(&shared_range);
}

// Loads an invocation's share of the tile that starts at key `tile`.
fn load_keys(workgroup: vec3<u32>, tile: u32, end: u32, invocation: u32) {
    let key_head = workgroup.y / (parameters.heads / parameters.num_kv_heads);
    for (var element = invocation; element < TILE * HEAD_QUADS; element += INVOCATIONS) {
        let at = tile + element / HEAD_QUADS;
        if at < end {
            let from_key = key_at(workgroup.z, at, key_head) + element % HEAD_QUADS;
            firsts[element] = key[from_key];
            seconds[element] = value[from_key];
        }
    }
}
