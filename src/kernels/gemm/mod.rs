//! Products of matrices in memory on the CPU: by the crate `gemm`, which burn's CPU backend uses too, or by the
//! processor's tiles where it has them. A product has the same bits for any number of threads.

mod factor;
mod float32;
mod matrix;
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod no_tiles;
#[cfg(test)]
mod tests;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiles;

pub(crate) use factor::LeftFactor;
pub(crate) use matrix::{Matrix, Out, Threads, Update};
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
use no_tiles as tiles;

use gemm::Parallelism;
use rayon::prelude::*;

/// Significant bits of a float32 number.
const FLOAT_BITS: usize = f32::MANTISSA_DIGITS as usize;
/// Multiplications from which threads share a product: a few times what waking them up costs.
const SHARED: usize = 1 << 20;

/// The most parts that threads share a product in: enough that none waits long for the last, and few enough
/// that the factor that each of them reads whole is a small part of the work.
const PARTS: usize = 8;
/// Rows or columns of a part, at least.
const PART: usize = 64;
/// Products of fewer rows or columns are limited by memory, and left whole.
const WHOLE: usize = 8;

/// Returns whether large products are computed by AMX on this machine.
#[cfg(feature = "cli")]
pub(crate) fn uses_amx() -> bool {
    tiles::are_available()
}

/// Updates `out` by `a · b`, for a \[m, k\] and b \[k, n\].
///
/// # Safety
///
/// All matrices have these sizes within their allocations, and nothing else refers to this part of `out`, which
/// is initialized if the product is added.
pub(crate) unsafe fn multiply(
    [m, n, k]: [usize; 3],
    out: Out,
    update: Update,
    a: Matrix,
    b: Matrix,
    threads: Threads,
) {
    let threads = match m.saturating_mul(n).saturating_mul(k) {
        ..SHARED => Threads::One,
        _ => threads,
    };
    if tiles::suit([m, n, k], [a, b], FLOAT_BITS) {
        // SAFETY: as promised by the caller.
        return unsafe { tiles::multiply([m, n, k], out, update, [a, b], threads) };
    }
    let longest = m.max(n);
    let part = longest.div_ceil(PARTS).next_multiple_of(PART);
    // SAFETY: as promised by the caller; the parts are disjoint.
    unsafe {
        if threads == Threads::One {
            float32::multiply([m, n, k], out, update, [a, b], Parallelism::None);
        } else if m.min(n) < WHOLE {
            float32::multiply([m, n, k], out, update, [a, b], float32::ALL_THREADS);
        } else {
            (0..longest.div_ceil(part))
                .into_par_iter()
                .for_each(|number| {
                    let first = number * part;
                    let length = part.min(longest - first);
                    let (size, out, factors) = if n >= m {
                        ([m, length, k], out.from(first), [a, b.at(0, first)])
                    } else {
                        (
                            [length, n, k],
                            out.from(first * out.row),
                            [a.at(first, 0), b],
                        )
                    };
                    float32::multiply(size, out, update, factors, Parallelism::None);
                });
        }
    }
}

/// Returns the elements that `write` writes through a pointer.
///
/// # Safety
///
/// `write` initializes all of them.
pub(crate) unsafe fn written(elements: usize, write: impl FnOnce(*mut f32)) -> Vec<f32> {
    let mut values: Vec<f32> = Vec::with_capacity(elements);
    write(values.as_mut_ptr());
    // SAFETY: as promised by the caller.
    unsafe { values.set_len(elements) };
    values
}

/// Returns the products of batches of matrices a \[m, k\] and b \[k, n\], one after the other: of `batches`
/// pairs of first elements.
///
/// # Safety
///
/// As [`multiply`], for each pair.
pub(crate) unsafe fn multiply_each(
    [m, n, k]: [usize; 3],
    a: Matrix,
    b: Matrix,
    batches: &[[usize; 2]],
) -> Vec<f32> {
    // SAFETY: every element of every product is written, by one task.
    unsafe {
        written(batches.len() * m * n, |first| {
            let out = Out::new(first, n);
            let product = |index: usize, threads: Threads| {
                let [a_first, b_first] = batches[index];
                let (a, b) = (a.from(a_first), b.from(b_first));
                let out = out.from(index * m * n);
                multiply([m, n, k], out, Update::REPLACE, a, b, threads);
            };
            match batches.len() {
                1 => product(0, Threads::All),
                count if count * m * n * k >= SHARED => (0..count)
                    .into_par_iter()
                    .for_each(|index| product(index, Threads::One)),
                count => (0..count).for_each(|index| product(index, Threads::One)),
            }
        })
    }
}
