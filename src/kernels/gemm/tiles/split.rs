//! Float32 numbers to tiles of bfloat16 numbers, with AVX-512.
//!
//! The first part of a number is the nearest bfloat16 number, the second one the nearest to what remains, and the third
//! one what remains then: exactly, since each part has eight significant bits.

use std::arch::x86_64::*;

use super::amx::{PARTS, ROWS, STEP, TILE};
use crate::kernels::gemm::matrix::Matrix;

/// Tiles beside each other in a panel.
const TILES: usize = 2;
/// Rows of a panel of a, or columns of one of b.
pub(super) const PANEL: usize = TILES * ROWS;

/// Returns the bytes of a step of a panel.
pub(super) const fn step_bytes(parts: usize) -> usize {
    parts * TILES * TILE
}

/// How the numbers of a tile are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// A row of the tile is one of the left factor.
    Left,
    /// A row of the tile is a pair of rows of the right factor.
    Right,
}

/// Packs a panel of a matrix \[rows, inner\], whose rows or columns are consecutive: the left factor, or the
/// transposed right one. Its steps are one after the other, each with the tiles of every part. Missing rows, and
/// elements up to a whole step, are 0. Returns whether all numbers are finite; a number that is not cannot be split.
///
/// # Safety
///
/// The processor has AVX-512 F, BW and DQ, the matrix has these sizes, `rows` up to [`PANEL`], and `to` is aligned to
/// 64 bytes and has room for the steps.
pub(super) unsafe fn pack(
    side: Side,
    parts: usize,
    matrix: Matrix,
    [rows, inner]: [usize; 2],
    to: *mut u8,
) -> bool {
    // SAFETY: as promised by the caller.
    unsafe {
        match (parts, side) {
            (1, Side::Left) => pack_as::<1, false>(matrix, [rows, inner], to),
            (1, Side::Right) => pack_as::<1, true>(matrix, [rows, inner], to),
            (2, Side::Left) => pack_as::<2, false>(matrix, [rows, inner], to),
            (2, Side::Right) => pack_as::<2, true>(matrix, [rows, inner], to),
            (PARTS, Side::Left) => pack_as::<PARTS, false>(matrix, [rows, inner], to),
            (PARTS, Side::Right) => pack_as::<PARTS, true>(matrix, [rows, inner], to),
            _ => unreachable!("a number has one to three parts"),
        }
    }
}

/// As [`pack`], for a number of parts and a side.
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
unsafe fn pack_as<const PARTS: usize, const PAIRED: bool>(
    matrix: Matrix,
    [rows, inner]: [usize; 2],
    to: *mut u8,
) -> bool {
    let mut check = _mm512_setzero_ps();
    for first in (0..inner).step_by(STEP) {
        for tile in 0..TILES {
            let row = tile * ROWS;
            let size = [
                rows.saturating_sub(row).min(ROWS),
                (inner - first).min(STEP),
            ];
            // SAFETY: this part of the matrix is within it, and that of the panel within `to`.
            unsafe {
                let matrix = matrix.at(row, first);
                let lines = if PAIRED == (matrix.column == 1) {
                    transposed(lines(matrix, size))
                } else {
                    lines(matrix, size)
                };
                let to = to.add(first / STEP * step_bytes(PARTS) + tile * TILE);
                check = pack_tile::<PARTS, PAIRED>(&lines, check, to);
            }
        }
    }
    const NAN_OR_INFINITE: i32 = 0x99;
    _mm512_fpclass_ps_mask::<NAN_OR_INFINITE>(check) == 0
}

/// Numbers of a tile before they are split: two for each of its 32-bit elements.
///
/// By rows of the left factor: a row's first 16 elements are in the first half, its others in the second half. By rows
/// of the right factor: one after the other.
type Lines = [__m512; STEP];

/// Loads a part of a matrix as it is in memory.
///
/// # Safety
///
/// It has this size, at most \[[`ROWS`], [`STEP`]\], and its rows or columns are consecutive.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn lines(matrix: Matrix, [rows, inner]: [usize; 2]) -> Lines {
    let mask = |count: usize| ((1_u32 << count.min(ROWS)) - 1) as __mmask16;
    let mut lines = [_mm512_setzero_ps(); STEP];
    // SAFETY: the masks leave out what is not in the matrix.
    unsafe {
        if matrix.column == 1 {
            let masks = [mask(inner), mask(inner.saturating_sub(ROWS))];
            for row in 0..rows {
                let from = matrix.first.offset(row as isize * matrix.row);
                lines[row] = _mm512_maskz_loadu_ps(masks[0], from);
                lines[ROWS + row] = _mm512_maskz_loadu_ps(masks[1], from.wrapping_add(ROWS));
            }
        } else {
            let mask = mask(rows);
            for (column, line) in lines.iter_mut().enumerate().take(inner) {
                let from = matrix.first.offset(column as isize * matrix.column);
                *line = _mm512_maskz_loadu_ps(mask, from);
            }
        }
    }
    lines
}

/// Returns the lines by rows of the other factor.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(mut lines: Lines) -> Lines {
    for half in lines.as_chunks_mut::<ROWS>().0 {
        *half = transpose(half);
    }
    lines
}

/// Transposes 16 rows.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: &[__m512; ROWS]) -> [__m512; ROWS] {
    let mut pairs = *rows;
    for (pair, rows) in pairs
        .as_chunks_mut::<2>()
        .0
        .iter_mut()
        .zip(rows.as_chunks::<2>().0)
    {
        *pair = [
            _mm512_unpacklo_ps(rows[0], rows[1]),
            _mm512_unpackhi_ps(rows[0], rows[1]),
        ];
    }
    // In each group of four, register j has column 4·l + j of four rows in its lane l.
    let mut fours = pairs;
    for (four, pairs) in fours
        .as_chunks_mut::<4>()
        .0
        .iter_mut()
        .zip(pairs.as_chunks::<4>().0)
    {
        let [a, b, c, d] = pairs.map(|pair| _mm512_castps_pd(pair));
        *four = [
            _mm512_unpacklo_pd(a, c),
            _mm512_unpackhi_pd(a, c),
            _mm512_unpacklo_pd(b, d),
            _mm512_unpackhi_pd(b, d),
        ]
        .map(|four| _mm512_castpd_ps(four));
    }
    const EVEN: i32 = 0x88;
    const ODD: i32 = 0xdd;
    let mut columns = fours;
    for j in 0..4 {
        let [a, b, c, d] = [fours[j], fours[4 + j], fours[8 + j], fours[12 + j]];
        let (even, odd) = (
            [
                _mm512_shuffle_f32x4::<EVEN>(a, b),
                _mm512_shuffle_f32x4::<EVEN>(c, d),
            ],
            [
                _mm512_shuffle_f32x4::<ODD>(a, b),
                _mm512_shuffle_f32x4::<ODD>(c, d),
            ],
        );
        columns[j] = _mm512_shuffle_f32x4::<EVEN>(even[0], even[1]);
        columns[4 + j] = _mm512_shuffle_f32x4::<EVEN>(odd[0], odd[1]);
        columns[8 + j] = _mm512_shuffle_f32x4::<ODD>(even[0], even[1]);
        columns[12 + j] = _mm512_shuffle_f32x4::<ODD>(odd[0], odd[1]);
    }
    columns
}

/// Splits the numbers of a tile and writes it, part by part. Returns `check` plus products of the last parts, which
/// are not finite if a number is not: what remains of one is NaN.
///
/// # Safety
///
/// `to` is aligned, and has room for the first tile of each part.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn pack_tile<const PARTS: usize, const PAIRED: bool>(
    lines: &Lines,
    mut check: __m512,
    to: *mut u8,
) -> __m512 {
    for row in 0..ROWS {
        let (first, second) = if PAIRED {
            (2 * row, 2 * row + 1)
        } else {
            (row, ROWS + row)
        };
        let [first, second] = [split::<PARTS>(lines[first]), split::<PARTS>(lines[second])];
        check = _mm512_fmadd_ps(
            _mm512_castsi512_ps(first[PARTS - 1]),
            _mm512_castsi512_ps(second[PARTS - 1]),
            check,
        );
        for part in 0..PARTS {
            let joined = if PAIRED {
                interleaved(first[part], second[part])
            } else {
                concatenated(first[part], second[part])
            };
            // SAFETY: as promised by the caller.
            unsafe {
                let to = to.add(part * TILES * TILE + row * size_of::<__m512i>());
                _mm512_store_si512(to.cast(), joined);
            }
        }
    }
    check
}

/// Returns the parts of numbers, in the upper halves of 32-bit elements. Lower halves of the last part are arbitrary,
/// since only the upper ones are used.
#[inline]
#[target_feature(enable = "avx512f")]
fn split<const PARTS: usize>(numbers: __m512) -> [__m512i; PARTS] {
    let mut rest = numbers;
    let mut parts = [_mm512_castps_si512(numbers); PARTS];
    for part in &mut parts[..PARTS - 1] {
        *part = rounded(_mm512_castps_si512(rest));
        rest = _mm512_sub_ps(rest, _mm512_castsi512_ps(*part));
    }
    parts[PARTS - 1] = _mm512_castps_si512(rest);
    parts
}

/// Rounds to the nearest bfloat16 number, and halves away from zero.
#[inline]
#[target_feature(enable = "avx512f")]
fn rounded(numbers: __m512i) -> __m512i {
    let half = _mm512_set1_epi32(0x8000);
    let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
    _mm512_and_si512(_mm512_add_epi32(numbers, half), upper)
}

/// Returns the upper halves of the elements of `first`, then those of `second`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn concatenated(first: __m512i, second: __m512i) -> __m512i {
    const UPPER: [i16; 32] = {
        let mut indices = [0; 32];
        let mut i = 0;
        while i < 32 {
            indices[i] = 2 * i as i16 + 1;
            i += 1;
        }
        indices
    };
    // SAFETY: the indices have 64 bytes.
    let upper = unsafe { _mm512_loadu_si512(UPPER.as_ptr().cast()) };
    _mm512_permutex2var_epi16(first, upper, second)
}

/// Returns the upper halves of the elements of `first` and `second` in turns.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn interleaved(first: __m512i, second: __m512i) -> __m512i {
    const ODD: __mmask32 = 0xaaaa_aaaa;
    _mm512_mask_blend_epi16(ODD, _mm512_srli_epi32::<16>(first), second)
}
