// Matrix multiplication in tiles of 512 × 8, for second factors with few columns, such as the values of a
// small head, which would leave a square tile mostly empty.
//
// Pieces: matmul/tiles, and for the second factor matmul/float_factor, or packed/words with packed/float16,
// packed/bfloat16, packed/q8_0, packed/q4_0, packed/q4_1, packed/q4_k or packed/q6_k.

const DOWN_BITS = 6u;
const ACROSS_BITS = 0u;
const DEPTH_BITS = 2u;
