//! Matrices in memory, and how a product of them is computed.

use burn::backend::flex::FlexTensor;

/// A matrix in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix {
    /// Its first element.
    pub(super) first: *const f32,
    /// Distance between rows, in elements.
    pub(super) row: isize,
    /// Distance between columns.
    pub(super) column: isize,
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
    pub(super) unsafe fn from(self, element: usize) -> Self {
        Self {
            // SAFETY: as promised by the caller.
            first: unsafe { self.first.add(element) },
            ..self
        }
    }

    /// Returns the same matrix from a row and column on, which need not be in it.
    pub(super) fn at(self, row: usize, column: usize) -> Self {
        let elements = row as isize * self.row + column as isize * self.column;
        Self {
            first: self.first.wrapping_offset(elements),
            ..self
        }
    }
}

/// Where a product is written: rows of consecutive elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    pub(super) first: *mut f32,
    pub(super) row: usize,
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

/// How a product changes what it is written to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Update {
    /// Whether it is added to what is there.
    pub(crate) adds: bool,
    /// What it is multiplied by.
    pub(crate) factor: f32,
}

impl Update {
    /// The product itself.
    pub(crate) const REPLACE: Self = Self {
        adds: false,
        factor: 1.0,
    };
    /// Its sum with what is there.
    pub(crate) const ADD: Self = Self {
        adds: true,
        factor: 1.0,
    };

    /// Returns the update by the rest of an inner dimension of which that many elements are done.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(super) fn after(self, elements: usize) -> Self {
        Self {
            adds: self.adds || elements > 0,
            ..self
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
