// The product of matrices in tiles of 64 × 64.

const BLOCKS_DOWN = 8u;
const BLOCKS_ACROSS = 8u;
const DEPTH = 16u;

// join product_of_tiles
