//! Devices for C.

use std::ffi::{CString, c_char};

use pollster::block_on;

use super::pointers::{Place, borrow, c_text, handle, release, text};
use super::status::{Failure, MiniftStatus, call, value};
use crate::device::{self, DeviceChoice};

/// A device to compute on. It never changes: several threads may use it at once.
pub struct MiniftDevice {
    pub(super) device: device::Device,
    name: CString,
    reason: CString,
}

/// Opens a device. `choice` is "auto" (a hardware GPU if there is one, else the CPU), "cpu", "gpu" (the
/// best adapter, a software one too) or "gpu:N" (the adapter of that number in `minift_adapters`).
/// Blocks, up to seconds where a GPU's driver is loaded. `*device` is to be freed by
/// `minift_device_free`; what was made on a device stays usable after that. Opening a GPU takes memory
/// that is kept until the process ends: open it once and use it for all runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_device_open(
    choice: *const c_char,
    device: *mut *mut MiniftDevice,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        let (place, choice) = unsafe { (Place::new(device, "device")?, text(choice, "choice")?) };
        let device = block_on(device::Device::open(choice.parse::<DeviceChoice>()?))?;
        place.put(handle(MiniftDevice {
            name: c_text(&device.name()),
            reason: c_text(device.reason()),
            device,
        }));
        Ok(())
    })
}

/// Name of a device for people. Valid as long as the handle; NULL where that is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_device_name(device: *const MiniftDevice) -> *const c_char {
    value(std::ptr::null(), || {
        // SAFETY: a handle, as the header asks.
        unsafe { borrow(device, "device") }.map(|device| device.name.as_ptr())
    })
}

/// Why this device was taken, for people. Valid as long as the handle; NULL where that is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_device_reason(device: *const MiniftDevice) -> *const c_char {
    value(std::ptr::null(), || {
        // SAFETY: a handle, as the header asks.
        unsafe { borrow(device, "device") }.map(|device| device.reason.as_ptr())
    })
}

/// The GPU adapters of this machine as a JSON list of objects with `index`, `name`, `backend`, `kind`,
/// `driver` and `limits`, in the order of their numbers. Blocks, up to seconds. `*json` is to be freed
/// by `minift_text_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_adapters(json: *mut *mut c_char) -> MiniftStatus {
    call(|| {
        // SAFETY: a pointer as the header asks.
        let place = unsafe { Place::new(json, "json")? };
        let adapters = serde_json::to_string(&block_on(device::adapters()));
        let adapters = adapters
            .map_err(|error| Failure::new(MiniftStatus::Device, format!("no JSON: {error}")))?;
        place.put(c_text(&adapters).into_raw());
        Ok(())
    })
}

/// Frees a device. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_device_free(device: *mut MiniftDevice) {
    // SAFETY: a handle, as the header asks.
    unsafe { release(device) }
}
