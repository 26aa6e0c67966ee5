// Piece: attention heads that several invocations hold in parts. They share the products of their parts in workgroup
// memory before any of them reads a sum.
// Provides: share_product, product_of, share_products, products_of. Requires: attention/shape.

var<workgroup> parts: array<vec2<f32>, TILE * INVOCATIONS>;

// Computes the products of a part of a head and rows `begin` to before `end` of the tile's first half. All invocations
// must call it.
fn share_product(own: ptr<function, array<vec4<f32>, PART_QUADS>>, begin: u32, end: u32, invocation: u32) {
    for (var row = begin; row < end; row++) {
        let start = row * HEAD_QUADS + part_of(invocation);
        var products = vec4(0.0);
        for (var i = 0u; i < PART_QUADS; i++) {
            products = fma((*own)[i], firsts[start + i], products);
        }
        parts[row * INVOCATIONS + invocation] = vec2(sum_of_quad(products), 0.0);
    }
    workgroupBarrier();
}

// The product of a head and row `row` of the tile's first half.
fn product_of(own: ptr<function, array<vec4<f32>, PART_QUADS>>, row: u32, invocation: u32) -> f32 {
    return sum_of_parts(row, invocation).x;
}

// Computes the products of a part of two heads and rows `begin` to before `end` of both halves of the tile. All
// invocations must call it.
fn share_products(
    first: ptr<function, array<vec4<f32>, PART_QUADS>>,
    second: ptr<function, array<vec4<f32>, PART_QUADS>>,
    begin: u32,
    end: u32,
    invocation: u32,
) {
    for (var row = begin; row < end; row++) {
        let start = row * HEAD_QUADS + part_of(invocation);
        var products = vec4(0.0);
        var products_above = vec4(0.0);
        for (var i = 0u; i < PART_QUADS; i++) {
            products = fma((*first)[i], firsts[start + i], products);
            products_above = fma((*second)[i], seconds[start + i], products_above);
        }
        parts[row * INVOCATIONS + invocation] = vec2(sum_of_quad(products), sum_of_quad(products_above));
    }
    workgroupBarrier();
}

// The products of two heads and row `row` of both halves of the tile.
fn products_of(
    first: ptr<function, array<vec4<f32>, PART_QUADS>>,
    second: ptr<function, array<vec4<f32>, PART_QUADS>>,
    row: u32,
    invocation: u32,
) -> vec2<f32> {
    return sum_of_parts(row, invocation);
}

fn sum_of_parts(row: u32, invocation: u32) -> vec2<f32> {
    var sum = vec2(0.0);
    for (var part = 0u; part < PARTS; part++) {
        sum += parts[row * INVOCATIONS + part * OWN + own_of(invocation)];
    }
    return sum;
}
