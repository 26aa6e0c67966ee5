// product = a · b for batches of matrices [rows, inner] and [inner, columns], a tile a workgroup of 64
// invocations, 8 × 8 of it an invocation. Whoever joins this says how the invocations lie over the
// tile, BLOCKS_DOWN × BLOCKS_ACROSS, and how much of the inner dimension is at hand at a time, DEPTH.
//
// Both factors are read through strides, so transposed and permuted views need no copy. A batch has
// two dimensions, which is what attention's [samples, heads] needs. The product is contiguous.

struct Factor {
    outer_stride: u32,
    inner_stride: u32,
    row_stride: u32,
    column_stride: u32,
}

struct Parameters {
    rows: u32,
    columns: u32,
    inner: u32,
    inner_batches: u32,
    a: Factor,
    b: Factor,
}

@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> product: array<f32>;
@group(0) @binding(3) var<storage, read_write> parameters: Parameters;

const INVOCATIONS = 64u;
const TILE_ROWS = 8u * BLOCKS_DOWN;
const TILE_COLUMNS = 8u * BLOCKS_ACROSS;
// Groups of four in a tile's sides.
const ROW_QUADS = 2u * BLOCKS_DOWN;
const COLUMN_QUADS = 2u * BLOCKS_ACROSS;

// Barriers stand in a loop that it bounds, so every invocation has to be known to see the same.
var<workgroup> shared_depth: u32;
// [depth][quad]: four rows of a, four columns of b.
var<workgroup> a_tile: array<vec4<f32>, DEPTH * ROW_QUADS>;
var<workgroup> b_tile: array<vec4<f32>, DEPTH * COLUMN_QUADS>;

fn a_at(start: u32, row: u32, k: u32) -> f32 {
    if row >= parameters.rows || k >= parameters.inner {
        return 0.0;
    }
    return a[start + row * parameters.a.row_stride + k * parameters.a.column_stride];
}

fn b_at(start: u32, k: u32, column: u32) -> f32 {
    if column >= parameters.columns || k >= parameters.inner {
        return 0.0;
    }
    return b[start + k * parameters.b.row_stride + column * parameters.b.column_stride];
}

// Depth and quad of the i-th element that an invocation loads: neighbours in memory go to
// neighbouring invocations, whichever way a factor lies.
fn depth_and_quad(element: u32, quads: u32, along_depth: bool) -> vec2<u32> {
    if along_depth {
        return vec2(element % DEPTH, element / DEPTH);
    }
    return vec2(element / quads, element % quads);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let outer = workgroup.z / parameters.inner_batches;
    let inner = workgroup.z % parameters.inner_batches;
    let a_start = outer * parameters.a.outer_stride + inner * parameters.a.inner_stride;
    let b_start = outer * parameters.b.outer_stride + inner * parameters.b.inner_stride;
    let first_row = workgroup.y * TILE_ROWS;
    let first_column = workgroup.x * TILE_COLUMNS;
    let block_row = invocation / BLOCKS_ACROSS;
    let block_column = invocation % BLOCKS_ACROSS;

    if invocation == 0u {
        shared_depth = parameters.inner;
    }
    let depth_in_all = workgroupUniformLoad(&shared_depth);

    var sums: array<vec4<f32>, 16>;
    for (var first = 0u; first < depth_in_all; first += DEPTH) {
        for (var element = invocation; element < DEPTH * ROW_QUADS; element += INVOCATIONS) {
            let at = depth_and_quad(element, ROW_QUADS, parameters.a.column_stride == 1u);
            let row = first_row + 4u * at.y;
            let k = first + at.x;
            a_tile[at.x * ROW_QUADS + at.y] = vec4(
                a_at(a_start, row, k),
                a_at(a_start, row + 1u, k),
                a_at(a_start, row + 2u, k),
                a_at(a_start, row + 3u, k),
            );
        }
        for (var element = invocation; element < DEPTH * COLUMN_QUADS; element += INVOCATIONS) {
            let at = depth_and_quad(element, COLUMN_QUADS, parameters.b.row_stride == 1u);
            let column = first_column + 4u * at.y;
            let k = first + at.x;
            b_tile[at.x * COLUMN_QUADS + at.y] = vec4(
                b_at(b_start, k, column),
                b_at(b_start, k, column + 1u),
                b_at(b_start, k, column + 2u),
                b_at(b_start, k, column + 3u),
            );
        }
        workgroupBarrier();
        for (var depth = 0u; depth < DEPTH; depth++) {
            let a_low = a_tile[depth * ROW_QUADS + 2u * block_row];
            let a_high = a_tile[depth * ROW_QUADS + 2u * block_row + 1u];
            let b_low = b_tile[depth * COLUMN_QUADS + 2u * block_column];
            let b_high = b_tile[depth * COLUMN_QUADS + 2u * block_column + 1u];
            sums[0] = fma(vec4(a_low.x), b_low, sums[0]);
            sums[1] = fma(vec4(a_low.x), b_high, sums[1]);
            sums[2] = fma(vec4(a_low.y), b_low, sums[2]);
            sums[3] = fma(vec4(a_low.y), b_high, sums[3]);
            sums[4] = fma(vec4(a_low.z), b_low, sums[4]);
            sums[5] = fma(vec4(a_low.z), b_high, sums[5]);
            sums[6] = fma(vec4(a_low.w), b_low, sums[6]);
            sums[7] = fma(vec4(a_low.w), b_high, sums[7]);
            sums[8] = fma(vec4(a_high.x), b_low, sums[8]);
            sums[9] = fma(vec4(a_high.x), b_high, sums[9]);
            sums[10] = fma(vec4(a_high.y), b_low, sums[10]);
            sums[11] = fma(vec4(a_high.y), b_high, sums[11]);
            sums[12] = fma(vec4(a_high.z), b_low, sums[12]);
            sums[13] = fma(vec4(a_high.z), b_high, sums[13]);
            sums[14] = fma(vec4(a_high.w), b_low, sums[14]);
            sums[15] = fma(vec4(a_high.w), b_high, sums[15]);
        }
        workgroupBarrier();
    }

    for (var i = 0u; i < 8u; i++) {
        let row = first_row + 8u * block_row + i;
        if row >= parameters.rows {
            break;
        }
        let start = (workgroup.z * parameters.rows + row) * parameters.columns;
        for (var j = 0u; j < 8u; j++) {
            let column = first_column + 8u * block_column + j;
            if column < parameters.columns {
                product[start + column] = sums[2u * i + j / 4u][j % 4u];
            }
        }
    }
}
