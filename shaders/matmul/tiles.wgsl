// Piece: product = a · b for batches of matrices [rows, inner] and [inner, columns]. A workgroup of 64 invocations
// computes one tile, each invocation an 8 × 8 block of it. The kernel that joins this file defines the
// arrangement of the blocks, BLOCKS_DOWN × BLOCKS_ACROSS, and how much of the inner dimension is loaded at
// a time, DEPTH, as powers of two: shifts and masks, since software adapters divide slowly.
//
// Both factors are read through strides, so transposed and permuted views need no copy. The second one is at
// binding 1 of a piece that defines value_at: in float32, or packed weights. There are two batch dimensions,
// as attention's [samples, heads] needs. The product is contiguous.
//
// With few tiles and a long inner dimension, the latter is split into parts (split-K), each computed by its
// own workgroup: the products are then [parts, batches, rows, columns], summed by sum_of_parts.wgsl.

struct Factor {
    outer_stride: u32,
    inner_stride: u32,
    row_stride: u32,
    column_stride: u32,
}

struct Parameters {
    a: Factor,
    b: Factor,
    rows: u32,
    columns: u32,
    inner: u32,
    batches: u32,
    inner_batches: u32,
    // Length of a part of the inner dimension; a multiple of DEPTH.
    length_of_part: u32,
}

@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(2) var<storage, read_write> product: array<f32>;
@group(0) @binding(3) var<uniform> parameters: Parameters;

const BLOCKS_DOWN = 1u << DOWN_BITS;
const BLOCKS_ACROSS = 1u << ACROSS_BITS;
const DEPTH = 1u << DEPTH_BITS;
const INVOCATIONS = 64u;
const TILE_ROWS = 8u * BLOCKS_DOWN;
const TILE_COLUMNS = 8u * BLOCKS_ACROSS;
// Sides of a tile in groups of four.
const ROW_QUAD_BITS = DOWN_BITS + 1u;
const COLUMN_QUAD_BITS = ACROSS_BITS + 1u;
const ROW_QUADS = 1u << ROW_QUAD_BITS;
const COLUMN_QUADS = 1u << COLUMN_QUAD_BITS;

// [depth][quad]: four rows of a, four columns of b. Padded by one, so that neighboring invocations write to
// different memory banks.
const A_ROW = ROW_QUADS + 1u;
const B_ROW = COLUMN_QUADS + 1u;
var<workgroup> a_tile: array<vec4<f32>, DEPTH * A_ROW>;
var<workgroup> b_tile: array<vec4<f32>, DEPTH * B_ROW>;

fn a_at(start: u32, row: u32, k: u32, end: u32) -> f32 {
    if row >= parameters.rows || k >= end {
        return 0.0;
    }
    return a[start + row * parameters.a.row_stride + k * parameters.a.column_stride];
}

fn b_at(start: u32, k: u32, column: u32, end: u32) -> f32 {
    if column >= parameters.columns || k >= end {
        return 0.0;
    }
    return value_at(start + k * parameters.b.row_stride + column * parameters.b.column_stride);
}

// Quads of each factor's tile that an invocation loads.
const A_LOADS = (DEPTH * ROW_QUADS + INVOCATIONS - 1u) / INVOCATIONS;
const B_LOADS = (DEPTH * COLUMN_QUADS + INVOCATIONS - 1u) / INVOCATIONS;

// Depth and quad of an element, such that neighboring invocations load neighboring addresses for either
// memory layout of the factor.
fn depth_and_quad(element: u32, quad_bits: u32, along_depth: bool) -> vec2<u32> {
    if along_depth {
        return vec2(element & (DEPTH - 1u), element >> DEPTH_BITS);
    }
    return vec2(element >> quad_bits, element & ((1u << quad_bits) - 1u));
}

fn position_in_a(element: u32) -> vec2<u32> {
    return depth_and_quad(element, ROW_QUAD_BITS, parameters.a.column_stride == 1u);
}

fn position_in_b(element: u32) -> vec2<u32> {
    return depth_and_quad(element, COLUMN_QUAD_BITS, parameters.b.row_stride == 1u);
}

// Loads four rows of a, at one depth of the tile that starts at `first`.
fn load_a(start: u32, first_row: u32, first: u32, end: u32, element: u32) -> vec4<f32> {
    let at = position_in_a(element);
    let row = first_row + 4u * at.y;
    let k = first + at.x;
    return vec4(
        a_at(start, row, k, end),
        a_at(start, row + 1u, k, end),
        a_at(start, row + 2u, k, end),
        a_at(start, row + 3u, k, end),
    );
}

// Loads four columns of b, at one depth of the tile that starts at `first`.
fn load_b(start: u32, first_column: u32, first: u32, end: u32, element: u32) -> vec4<f32> {
    let at = position_in_b(element);
    let column = first_column + 4u * at.y;
    let k = first + at.x;
    return vec4(
        b_at(start, k, column, end),
        b_at(start, k, column + 1u, end),
        b_at(start, k, column + 2u, end),
        b_at(start, k, column + 3u, end),
    );
}

fn put(start: u32, column: u32, value: f32) {
    if column < parameters.columns {
        product[start + column] = value;
    }
}

fn put_row(first: u32, row: u32, column: u32, low: vec4<f32>, high: vec4<f32>) {
    if row < parameters.rows {
        let start = (first + row) * parameters.columns;
        put(start, column, low.x);
        put(start, column + 1u, low.y);
        put(start, column + 2u, low.z);
        put(start, column + 3u, low.w);
        put(start, column + 4u, high.x);
        put(start, column + 5u, high.y);
        put(start, column + 6u, high.z);
        put(start, column + 7u, high.w);
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let batch = workgroup.z % parameters.batches;
    let outer = batch / parameters.inner_batches;
    let inner = batch % parameters.inner_batches;
    let a_start = outer * parameters.a.outer_stride + inner * parameters.a.inner_stride;
    let b_start = outer * parameters.b.outer_stride + inner * parameters.b.inner_stride;
    let first_row = workgroup.y * TILE_ROWS;
    let first_column = workgroup.x * TILE_COLUMNS;
    let block_row = invocation >> ACROSS_BITS;
    let block_column = invocation & (BLOCKS_ACROSS - 1u);

    // A block beyond the edges of a small product has nothing to sum.
    let is_within = first_row + 8u * block_row < parameters.rows
        && first_column + 8u * block_column < parameters.columns;

    let begin = workgroup.z / parameters.batches * parameters.length_of_part;
    let end = min(parameters.inner, begin + parameters.length_of_part);

    var sums: array<vec4<f32>, 16>;
    var a_next: array<vec4<f32>, A_LOADS>;
    var b_next: array<vec4<f32>, B_LOADS>;
    for (var i = 0u; i < A_LOADS; i++) {
        a_next[i] = load_a(a_start, first_row, begin, end, invocation + i * INVOCATIONS);
    }
    for (var i = 0u; i < B_LOADS; i++) {
        b_next[i] = load_b(b_start, first_column, begin, end, invocation + i * INVOCATIONS);
    }
    for (var first = begin; first < end; first += DEPTH) {
        for (var i = 0u; i < A_LOADS; i++) {
            let element = invocation + i * INVOCATIONS;
            if element < DEPTH * ROW_QUADS {
                let at = position_in_a(element);
                a_tile[at.x * A_ROW + at.y] = a_next[i];
            }
        }
        for (var i = 0u; i < B_LOADS; i++) {
            let element = invocation + i * INVOCATIONS;
            if element < DEPTH * COLUMN_QUADS {
                let at = position_in_b(element);
                b_tile[at.x * B_ROW + at.y] = b_next[i];
            }
        }
        workgroupBarrier();
        // The next tile is loaded while this one is multiplied; past the end it is zeros.
        for (var i = 0u; i < A_LOADS; i++) {
            let element = invocation + i * INVOCATIONS;
            a_next[i] = load_a(a_start, first_row, first + DEPTH, end, element);
        }
        for (var i = 0u; i < B_LOADS; i++) {
            let element = invocation + i * INVOCATIONS;
            b_next[i] = load_b(b_start, first_column, first + DEPTH, end, element);
        }
        if is_within {
            for (var depth = 0u; depth < DEPTH; depth++) {
                let a_low = a_tile[depth * A_ROW + 2u * block_row];
                let a_high = a_tile[depth * A_ROW + 2u * block_row + 1u];
                let b_low = b_tile[depth * B_ROW + 2u * block_column];
                let b_high = b_tile[depth * B_ROW + 2u * block_column + 1u];
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
        }
        workgroupBarrier();
    }

    // Unrolled: a dynamic index would keep the sums out of registers.
    let start = workgroup.z * parameters.rows;
    let row = first_row + 8u * block_row;
    let column = first_column + 8u * block_column;
    put_row(start, row, column, sums[0], sums[1]);
    put_row(start, row + 1u, column, sums[2], sums[3]);
    put_row(start, row + 2u, column, sums[4], sums[5]);
    put_row(start, row + 3u, column, sums[6], sums[7]);
    put_row(start, row + 4u, column, sums[8], sums[9]);
    put_row(start, row + 5u, column, sums[10], sums[11]);
    put_row(start, row + 6u, column, sums[12], sums[13]);
    put_row(start, row + 7u, column, sums[14], sums[15]);
}
