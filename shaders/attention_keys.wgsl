// Shared: what attention kernels that have a query an invocation do alike: keys and values pass by, a
// tile at a time.

@group(0) @binding(0) var<storage, read_write> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> key: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> value: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> beginnings: array<i32>;

var<workgroup> keys: array<vec4<f32>, TILE * HEAD_QUADS>;
var<workgroup> values: array<vec4<f32>, TILE * HEAD_QUADS>;
// The keys that some query of the workgroup sees. Barriers stand in a loop over them, so every
// invocation has to be known to see the same.
var<workgroup> shared_range: vec2<u32>;

// The first key that a query sees.
fn first_seen(batch: u32, position: u32) -> u32 {
    let end = end_seen(position);
    let first = end - min(end, parameters.window);
    if parameters.packed == 0u {
        return first;
    }
    // Where its text begins, of [batch, length].
    return max(first, u32(beginnings[batch * parameters.length + position]));
}

// An invocation's query.
struct Query {
    batch: u32,
    position: u32,
    head: u32,
    // Where it begins, in groups of four.
    start: u32,
    // The keys that it sees: none where it is past the last query.
    first: u32,
    end: u32,
    inside: bool,
}

fn query_of(workgroup: vec3<u32>, invocation: u32) -> Query {
    let batch = workgroup.z;
    let head = workgroup.y;
    let first_position = workgroup.x * INVOCATIONS;
    let inside = first_position + invocation < parameters.length;
    let position = min(first_position + invocation, parameters.length - 1u);
    let first = first_seen(batch, position);
    return Query(
        batch,
        position,
        head,
        query_at(batch, position, head),
        first,
        select(first, end_seen(position), inside),
        inside,
    );
}

// The keys that pass by; all invocations must call it.
fn range_of(workgroup: vec3<u32>, invocation: u32) -> vec2<u32> {
    if invocation == 0u {
        let first_position = workgroup.x * INVOCATIONS;
        let last_position = min(first_position + INVOCATIONS, parameters.length) - 1u;
        shared_range = vec2(first_seen(workgroup.z, first_position), end_seen(last_position));
    }
    return workgroupUniformLoad(&shared_range);
}

// Loads an invocation's share of the tile that begins at key `tile`.
fn load_keys(workgroup: vec3<u32>, tile: u32, end: u32, invocation: u32) {
    let key_head = workgroup.y / (parameters.heads / parameters.key_heads);
    for (var element = invocation; element < TILE * HEAD_QUADS; element += INVOCATIONS) {
        let at = tile + element / HEAD_QUADS;
        if at < end {
            let from_key = key_at(workgroup.z, at, key_head) + element % HEAD_QUADS;
            keys[element] = key[from_key];
            values[element] = value[from_key];
        }
    }
}
