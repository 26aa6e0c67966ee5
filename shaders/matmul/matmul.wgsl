// Matrix multiplication in tiles of 64 × 64.
//
// Pieces: matmul/tiles, and for the second factor matmul/float_factor, or packed/words with packed/float16,
// packed/bfloat16, packed/q8_0, packed/q4_0, packed/q4_1, packed/q4_k or packed/q6_k.

const DOWN_BITS = 3u;
const ACROSS_BITS = 3u;
const DEPTH_BITS = 4u;
