//! Devices.

use std::ffi::{CString, c_char};

use pollster::block_on;

use super::pointers::{Out, borrow, into_handle, release, str_arg};
use super::status::{Failure, MiniftStatus, call, value};
use super::strings::c_string;
use crate::device::{self, DeviceChoice};

/// A compute device. Immutable: any number of threads may use it at once.
pub struct MiniftDevice {
    pub(super) device: device::Device,
    name: CString,
    reason: CString,
}

/// Opens a compute device. `choice` is "auto" (a hardware GPU if there is one, otherwise the CPU),
/// "cpu", "gpu" (the best adapter, software adapters included) or "gpu:N" (adapter N of
/// `minift_adapters`).
///
/// Blocks, for up to several seconds while a GPU driver loads. The memory of an opened GPU is held
/// until the process exits: open it once and share it between runs.
///
/// Free `*device` with `minift_device_free`; objects created on the device stay valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_device_open(
    choice: *const c_char,
    device: *mut *mut MiniftDevice,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let (out, choice) = unsafe { (Out::new(device, "device")?, str_arg(choice, "choice")?) };
        let device = block_on(device::Device::open(choice.parse::<DeviceChoice>()?))?;
        out.set(into_handle(MiniftDevice {
            name: c_string(&device.name()),
            reason: c_string(device.reason()),
            device,
        }));
        Ok(())
    })
}

/// Returns the display name of a device, or NULL if `device` is NULL. Valid until the device is
/// freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_device_name(device: *const MiniftDevice) -> *const c_char {
    value(std::ptr::null(), || {
        // SAFETY: NULL or a live handle, as the header requires.
        unsafe { borrow(device, "device") }.map(|device| device.name.as_ptr())
    })
}

/// Returns a sentence saying why this device was selected, or NULL if `device` is NULL. Valid until
/// the device is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_device_reason(device: *const MiniftDevice) -> *const c_char {
    value(std::ptr::null(), || {
        // SAFETY: NULL or a live handle, as the header requires.
        unsafe { borrow(device, "device") }.map(|device| device.reason.as_ptr())
    })
}

/// Lists the GPU adapters of this machine as a JSON array of objects with `index`, `name`,
/// `backend`, `kind`, `driver` and `limits`, ordered by index. Blocks, for up to several seconds.
/// Free `*json` with `minift_text_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_adapters(json: *mut *mut c_char) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let out = unsafe { Out::new(json, "json")? };
        let adapters = serde_json::to_string(&block_on(device::adapters()));
        let adapters = adapters.map_err(|error| {
            Failure::new(
                MiniftStatus::Device,
                format!("cannot list the adapters: {error}"),
            )
        })?;
        out.set(c_string(&adapters).into_raw());
        Ok(())
    })
}

/// Frees a device. `device` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_device_free(device: *mut MiniftDevice) {
    // SAFETY: NULL or a live handle, as the header requires.
    unsafe { release(device) }
}
