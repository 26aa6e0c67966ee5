//! Handles, output pointers and strings that cross the boundary.

use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use super::status::{Failure, Result};

/// Moves a value into a new handle.
pub(super) fn into_handle<T>(value: T) -> *mut T {
    Arc::into_raw(Arc::new(value)).cast_mut()
}

/// Returns the value of a handle and keeps it alive.
///
/// # Safety
///
/// `handle` is NULL, or came from [`into_handle()`] and was not released before this call.
pub(super) unsafe fn borrow<T>(handle: *const T, name: &str) -> Result<Arc<T>> {
    if handle.is_null() {
        return Err(Failure::argument(name, "is NULL"));
    }
    // SAFETY: the handle owns one reference of an `Arc`; this adds another.
    unsafe {
        Arc::increment_strong_count(handle);
        Ok(Arc::from_raw(handle))
    }
}

/// Releases a handle. Its value is dropped when no call uses it any longer.
///
/// # Safety
///
/// `handle` is NULL, or came from [`into_handle()`] and was not released before.
pub(super) unsafe fn release<T>(handle: *const T) {
    if handle.is_null() {
        return;
    }
    // There is no way to report a panic from a destructor.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the handle owns one reference of an `Arc`, released here.
        drop(unsafe { Arc::from_raw(handle) });
    }));
}

/// An output pointer argument. It holds NULL until it is set.
pub(super) struct Out<T>(NonNull<*mut T>);

impl<T> Out<T> {
    /// # Safety
    ///
    /// `pointer` is NULL, or valid for writes until the call returns.
    pub(super) unsafe fn new(pointer: *mut *mut T, name: &str) -> Result<Self> {
        let pointer = NonNull::new(pointer).ok_or_else(|| Failure::argument(name, "is NULL"))?;
        // SAFETY: it is not NULL, so the caller guarantees that it is valid for writes.
        unsafe { pointer.write(std::ptr::null_mut()) };
        Ok(Self(pointer))
    }

    pub(super) fn set(self, pointer: *mut T) {
        // SAFETY: as in `new`; the call has not returned.
        unsafe { self.0.write(pointer) };
    }
}

/// Writes a structure of the size that the caller's header declares: fields beyond `size` are
/// omitted, and bytes beyond the fields of this library are set to 0.
///
/// # Safety
///
/// `target` is NULL, or valid for writes of `size` bytes. `T` is a C structure of plain values.
pub(super) unsafe fn write_struct<T: Copy>(
    target: *mut T,
    size: usize,
    value: &T,
    name: &str,
) -> Result<()> {
    if target.is_null() {
        return Err(Failure::argument(name, "is NULL"));
    }
    if size == 0 {
        let fault = format!("has size 0: pass sizeof(*{name})");
        return Err(Failure::argument(name, fault));
    }
    let known = size.min(size_of::<T>());
    let target = target.cast::<u8>();
    // SAFETY: `value` has at least `known` bytes, and `target` has `size`.
    unsafe {
        target.copy_from_nonoverlapping(std::ptr::from_ref(value).cast(), known);
        target.add(known).write_bytes(0, size - known);
    }
    Ok(())
}

/// Returns a string argument.
///
/// # Safety
///
/// `text` is NULL, or NUL-terminated and unchanged while the result is used.
pub(super) unsafe fn str_arg<'a>(text: *const c_char, name: &str) -> Result<&'a str> {
    // SAFETY: upheld by the caller.
    unsafe { optional_str_arg(text, name) }?.ok_or_else(|| Failure::argument(name, "is NULL"))
}

/// Returns a string argument that may be NULL.
///
/// # Safety
///
/// As for [`str_arg`].
pub(super) unsafe fn optional_str_arg<'a>(
    text: *const c_char,
    name: &str,
) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: it is not NULL, so the caller guarantees that it is NUL-terminated.
    let text = unsafe { CStr::from_ptr(text) }.to_str();
    text.map(Some).map_err(|error| {
        let fault = format!(
            "is not UTF-8: invalid byte at offset {}",
            error.valid_up_to()
        );
        Failure::argument(name, fault)
    })
}

/// Returns a path argument.
///
/// # Safety
///
/// As for [`str_arg`].
pub(super) unsafe fn path_arg<'a>(path: *const c_char, name: &str) -> Result<&'a Path> {
    // SAFETY: upheld by the caller.
    let path = unsafe { str_arg(path, name) }?;
    if path.is_empty() {
        return Err(Failure::argument(name, "is empty"));
    }
    Ok(Path::new(path))
}

/// Returns an array of `count` string arguments.
///
/// # Safety
///
/// `texts` is NULL, or points to `count` pointers, each as for [`str_arg`].
pub(super) unsafe fn str_args<'a>(
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
        // SAFETY: the caller guarantees `count` pointers.
        unsafe { str_arg(*texts.add(index), &format!("{name}[{index}]")) }
    };
    (0..count).map(one).collect()
}

/// Frees a string that a function returned as `char *` without `const`. `text` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_text_free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: it came from `CString::into_raw` and was not freed before, as the header requires.
        drop(unsafe { CString::from_raw(text) });
    }
}
