//! One GPU device shared by the window and the training.

use std::sync::Arc;
use std::time::Duration;

use eframe::egui_wgpu::{RenderState, WgpuConfiguration, WgpuSetup, WgpuSetupCreateNew, wgpu};
use minift::device::{Device, GpuKind, WgpuSetup as SharedSetup};

/// Approximate maximum delay of a frame by training: half of a frame interval.
const SLICE: Duration = Duration::from_millis(8);
/// The same for software rendering: about the time to draw a frame, so that training makes progress.
const SOFTWARE_SLICE: Duration = Duration::from_millis(50);

/// Options that open the device of the window with the features and limits that minift requires, in
/// addition to those of the window.
pub fn window_options() -> WgpuConfiguration {
    let mut setup = WgpuSetupCreateNew::without_display_handle();
    let of_window = setup.device_descriptor.clone();
    setup.device_descriptor = Arc::new(move |adapter| {
        let own = of_window(adapter);
        wgpu::DeviceDescriptor {
            required_features: own.required_features | Device::required_features(adapter),
            required_limits: Device::required_limits(adapter, own.required_limits),
            ..own
        }
    });
    WgpuConfiguration {
        wgpu_setup: WgpuSetup::CreateNew(setup),
        ..Default::default()
    }
}

/// Returns the device of the window, with training limited to time slices between frames.
///
/// # Errors
///
/// [`minift::Error::Device`] if it does not support compute shaders.
pub fn device_of_window(window: &RenderState) -> minift::Result<Device> {
    let device = Device::from_wgpu(SharedSetup {
        instance: window.instance.clone(),
        adapter: window.adapter.clone(),
        device: window.device.clone(),
        queue: window.queue.clone(),
        backend: window.adapter.get_info().backend,
    })?;
    let slice = if is_software(&device) {
        SOFTWARE_SLICE
    } else {
        SLICE
    };
    Ok(device.with_time_slice(slice))
}

/// Whether a GPU is a software adapter.
pub fn is_software(device: &Device) -> bool {
    device
        .adapter()
        .is_some_and(|adapter| adapter.kind == GpuKind::Software)
}
