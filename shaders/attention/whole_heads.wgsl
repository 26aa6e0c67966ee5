// Piece: attention heads that one invocation holds whole.
// Provides: share_product, product_of, share_products, products_of. Requires: attention/shape.

// Nothing is shared.
fn share_product(own: ptr<function, array<vec4<f32>, PART_QUADS>>, begin: u32, end: u32, invocation: u32) {}

// The product of a head and row `row` of the tile's first half.
fn product_of(own: ptr<function, array<vec4<f32>, PART_QUADS>>, row: u32, invocation: u32) -> f32 {
    let start = row * HEAD_QUADS;
    var products = vec4(0.0);
    for (var i = 0u; i < PART_QUADS; i++) {
        products = fma((*own)[i], firsts[start + i], products);
    }
    return sum_of_quad(products);
}

fn share_products(
    first: ptr<function, array<vec4<f32>, PART_QUADS>>,
    second: ptr<function, array<vec4<f32>, PART_QUADS>>,
    begin: u32,
    end: u32,
    invocation: u32,
) {}

// The products of two heads and row `row` of both halves of the tile.
fn products_of(
    first: ptr<function, array<vec4<f32>, PART_QUADS>>,
    second: ptr<function, array<vec4<f32>, PART_QUADS>>,
    row: u32,
    invocation: u32,
) -> vec2<f32> {
    let start = row * HEAD_QUADS;
    var products = vec4(0.0);
    var products_above = vec4(0.0);
    for (var i = 0u; i < PART_QUADS; i++) {
        products = fma((*first)[i], firsts[start + i], products);
        products_above = fma((*second)[i], seconds[start + i], products_above);
    }
    return vec2(sum_of_quad(products), sum_of_quad(products_above));
}
