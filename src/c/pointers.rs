//! What crosses the boundary: handles, places for results, texts.

use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use super::status::{Failure, Result};

/// Gives a value away as a handle.
pub(super) fn handle<T>(value: T) -> *mut T {
    Arc::into_raw(Arc::new(value)).cast_mut()
}

/// The value of a handle, which lives at least as long as what is returned.
///
/// # Safety
///
/// `handle` is NULL, or came from [`handle()`] and was not released before this call.
pub(super) unsafe fn borrow<T>(handle: *const T, name: &str) -> Result<Arc<T>> {
    if handle.is_null() {
        return Err(Failure::argument(name, "is NULL"));
    }
    // SAFETY: the caller's handle is a count of an `Arc`, and stays one: this adds another.
    unsafe {
        Arc::increment_strong_count(handle);
        Ok(Arc::from_raw(handle))
    }
}

/// Takes a handle back; what it stands for goes when no call uses it any longer.
///
/// # Safety
///
/// `handle` is NULL, or came from [`handle()`] and was not released before.
pub(super) unsafe fn release<T>(handle: *const T) {
    if handle.is_null() {
        return;
    }
    // What can be done about a panic here is to go on.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the caller's handle is a count of an `Arc`, which ends here.
        drop(unsafe { Arc::from_raw(handle) });
    }));
}

/// Where a function puts a pointer that it makes. It holds NULL until then.
pub(super) struct Place<T>(NonNull<*mut T>);

impl<T> Place<T> {
    /// # Safety
    ///
    /// `place` is NULL, or can be written to until the call is over.
    pub unsafe fn new(place: *mut *mut T, name: &str) -> Result<Self> {
        let place = NonNull::new(place).ok_or_else(|| Failure::argument(name, "is NULL"))?;
        // SAFETY: it is not NULL, so that the caller says that it can be written to.
        unsafe { place.write(std::ptr::null_mut()) };
        Ok(Self(place))
    }

    pub fn put(self, pointer: *mut T) {
        // SAFETY: as in `new`; the call is not over.
        unsafe { self.0.write(pointer) };
    }
}

/// Puts a structure into a place that is as large as the caller's header declares it: fields that it
/// does not have are left out, and those that this library does not have are 0.
///
/// # Safety
///
/// `place` is NULL, or `size` bytes can be written there. `T` is a C structure of plain values.
pub(super) unsafe fn put_structure<T: Copy>(
    place: *mut T,
    size: usize,
    value: &T,
    name: &str,
) -> Result<()> {
    if place.is_null() {
        return Err(Failure::argument(name, "is NULL"));
    }
    if size == 0 {
        let expected = format!("has a size of 0: give sizeof(*{name})");
        return Err(Failure::argument(name, expected));
    }
    let known = size.min(size_of::<T>());
    let place = place.cast::<u8>();
    // SAFETY: `known` bytes can be read of the value and written to the place, and `size` in all.
    unsafe {
        place.copy_from_nonoverlapping(std::ptr::from_ref(value).cast(), known);
        place.add(known).write_bytes(0, size - known);
    }
    Ok(())
}

/// The text at a pointer.
///
/// # Safety
///
/// `text` is NULL, or ends with a zero byte and does not change while what is returned is used.
pub(super) unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a str> {
    // SAFETY: the caller's.
    unsafe { optional_text(text, name) }?.ok_or_else(|| Failure::argument(name, "is NULL"))
}

/// The same, where it may be NULL.
///
/// # Safety
///
/// As of [`text`].
pub(super) unsafe fn optional_text<'a>(text: *const c_char, name: &str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: it is not NULL, so that the caller says that it ends with a zero byte.
    let text = unsafe { CStr::from_ptr(text) }.to_str();
    text.map(Some).map_err(|error| {
        let fault = format!("is not UTF-8: byte {} cannot be read", error.valid_up_to());
        Failure::argument(name, fault)
    })
}

/// The path at a pointer.
///
/// # Safety
///
/// As of [`text`].
pub(super) unsafe fn path<'a>(path: *const c_char, name: &str) -> Result<&'a Path> {
    // SAFETY: the caller's.
    let path = unsafe { text(path, name) }?;
    if path.is_empty() {
        return Err(Failure::argument(name, "is empty"));
    }
    Ok(Path::new(path))
}

/// So many texts.
///
/// # Safety
///
/// `texts` is NULL, or `count` pointers can be read there, each as of [`text`].
pub(super) unsafe fn texts<'a>(
    texts: *const *const c_char,
    count: usize,
    name: &str,
) -> Result<Vec<&'a str>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if texts.is_null() {
        return Err(Failure::argument(name, "is NULL"));
    }
    let one = |index| {
        // SAFETY: there are `count` pointers, as the caller says.
        unsafe { text(*texts.add(index), &format!("{name}[{index}]")) }
    };
    (0..count).map(one).collect()
}

/// A text for C. A zero byte in it, which would end it, becomes U+FFFD.
pub(super) fn c_text(text: &str) -> CString {
    let text = text.replace('\0', "\u{fffd}");
    CString::new(text).unwrap_or_else(|_| unreachable!("zero bytes were replaced"))
}

/// Frees a text that a function gave: those of type `char *` without `const`. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_text_free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: it came from `CString::into_raw` and was not freed before, as the header asks.
        drop(unsafe { CString::from_raw(text) });
    }
}
