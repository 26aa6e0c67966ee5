// The product of matrices in tiles of 512 × 8, for second factors of few columns, such as the values of
// a small head: a square tile would be mostly empty.

const BLOCKS_DOWN = 64u;
const BLOCKS_ACROSS = 1u;
const DEPTH = 4u;

// join product_of_tiles
