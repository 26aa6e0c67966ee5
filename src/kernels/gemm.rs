//! Products of matrices in memory on the CPU, by the crate `gemm`, which burn's CPU backend uses too. A
//! product has the same bits for any number of threads.

use burn::backend::flex::FlexTensor;
use gemm::Parallelism;
use rayon::prelude::*;

/// Multiplications from which threads share a product: a few times what waking them up costs.
const SHARED: usize = 1 << 20;

/// A matrix in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix {
    /// Its first element.
    first: *const f32,
    /// Distance between rows, in elements.
    row: isize,
    /// Distance between columns.
    column: isize,
}

// SAFETY: it is only read, and whoever does so promises that nothing writes to it meanwhile.
unsafe impl Send for Matrix {}
// SAFETY: as above.
unsafe impl Sync for Matrix {}

impl Matrix {
    /// Returns the last two dimensions of a tensor.
    pub(crate) fn of(tensor: &FlexTensor) -> Self {
        let layout = tensor.layout();
        let [.., row, column] = *layout.strides() else {
            unreachable!("a matrix has two dimensions");
        };
        let values: &[f32] = tensor.storage();
        Self {
            first: values[layout.start_offset()..].as_ptr(),
            row,
            column,
        }
    }

    /// A matrix of consecutive elements with rows of that length, from an element on.
    pub(crate) fn rows(values: &[f32], first: usize, row: usize) -> Self {
        Self {
            first: values[first..].as_ptr(),
            row: row as isize,
            column: 1,
        }
    }

    pub(crate) fn transpose(self) -> Self {
        Self {
            row: self.column,
            column: self.row,
            ..self
        }
    }

    /// Returns the same matrix from a later element on.
    ///
    /// # Safety
    ///
    /// The element is one of the allocation.
    unsafe fn from(self, element: usize) -> Self {
        Self {
            // SAFETY: as promised by the caller.
            first: unsafe { self.first.add(element) },
            ..self
        }
    }
}

/// Where a product is written: rows of consecutive elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    first: *mut f32,
    row: usize,
}

// SAFETY: whoever writes through it promises that no other thread does so at the same place.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

impl Out {
    /// Rows of that length, from the first element of `values` on.
    pub(crate) fn new(values: *mut f32, row: usize) -> Self {
        Self { first: values, row }
    }

    /// Returns the same rows from a later element on.
    ///
    /// # Safety
    ///
    /// The element is one of the allocation.
    pub(crate) unsafe fn from(self, element: usize) -> Self {
        Self {
            // SAFETY: as promised by the caller.
            first: unsafe { self.first.add(element) },
            ..self
        }
    }

    /// Writes one element.
    ///
    /// # Safety
    ///
    /// The element is one of the allocation, and no other thread reads or writes it.
    pub(crate) unsafe fn put(self, element: usize, value: f32) {
        // SAFETY: as promised by the caller.
        unsafe { *self.first.add(element) = value };
    }

    /// Writes consecutive elements.
    ///
    /// # Safety
    ///
    /// As [`Self::put`], for each of them.
    pub(crate) unsafe fn put_all(self, element: usize, values: &[f32]) {
        // SAFETY: as promised by the caller.
        unsafe {
            let first = self.first.add(element);
            first.copy_from_nonoverlapping(values.as_ptr(), values.len());
        }
    }
}

/// Who computes a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread.
    One,
    /// All threads, if the product is worth it.
    All,
}

/// How `gemm` itself shares a product among all threads, of which WebAssembly modules have one.
#[cfg(not(target_arch = "wasm32"))]
const ALL_THREADS: Parallelism = Parallelism::Rayon(0);
#[cfg(target_arch = "wasm32")]
const ALL_THREADS: Parallelism = Parallelism::None;

/// The most parts that threads share a product in: enough that none waits long for the last, and few enough
/// that the factor that each of them reads whole is a small part of the work.
const PARTS: usize = 8;
/// Rows or columns of a part, at least.
const PART: usize = 64;
/// Products of fewer rows or columns are limited by memory, and left whole.
const WHOLE: usize = 8;

/// `out = factor · a · b`, added to what `out` has if `adds`, for a \[m, k\] and b \[k, n\].
///
/// # Safety
///
/// All matrices have these sizes within their allocations, and nothing else refers to this part of `out`, which
/// is initialized if `adds`.
pub(crate) unsafe fn multiply(
    [m, n, k]: [usize; 3],
    out: Out,
    adds: bool,
    factor: f32,
    a: Matrix,
    b: Matrix,
    threads: Threads,
) {
    let product = Product {
        k,
        adds,
        factor,
        a,
        b,
        out,
    };
    let longest = m.max(n);
    let part = longest.div_ceil(PARTS).next_multiple_of(PART);
    // SAFETY: as promised by the caller; the parts are disjoint.
    unsafe {
        if threads == Threads::One || m.saturating_mul(n).saturating_mul(k) < SHARED {
            product.compute([0, 0], [m, n], Parallelism::None);
        } else if m.min(n) < WHOLE {
            product.compute([0, 0], [m, n], ALL_THREADS);
        } else {
            (0..longest.div_ceil(part))
                .into_par_iter()
                .for_each(|number| {
                    let first = number * part;
                    let length = part.min(longest - first);
                    let (at, size) = if n >= m {
                        ([0, first], [m, length])
                    } else {
                        ([first, 0], [length, n])
                    };
                    product.compute(at, size, Parallelism::None);
                });
        }
    }
}

/// The arguments of [`multiply`].
struct Product {
    k: usize,
    adds: bool,
    factor: f32,
    a: Matrix,
    b: Matrix,
    out: Out,
}

impl Product {
    /// Computes a part of the product, from a row and a column on.
    ///
    /// # Safety
    ///
    /// As [`multiply`]; no other thread computes an element of this part.
    unsafe fn compute(&self, [row, column]: [usize; 2], [m, n]: [usize; 2], by: Parallelism) {
        let Self { k, a, b, out, .. } = *self;
        // SAFETY: as promised by the caller.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                out.first.add(row * out.row + column),
                1,
                out.row as isize,
                self.adds,
                a.first.offset(row as isize * a.row),
                a.column,
                a.row,
                b.first.offset(column as isize * b.column),
                b.column,
                b.row,
                f32::from(self.adds),
                self.factor,
                false,
                false,
                false,
                by,
            );
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
                multiply([m, n, k], out, false, 1.0, a, b, threads);
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
