//! One GPU device for the window and the training.

use std::sync::Arc;

use eframe::egui_wgpu::{RenderState, WgpuConfiguration, WgpuSetup, WgpuSetupCreateNew, wgpu};
use minift::device::{self, Device};

/// How the window opens its device, so that minift can use it too: with the features and limits that
/// kernels are made with, beside what the window needs itself.
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

/// The window's device, for a training.
///
/// # Errors
///
/// [`minift::Error::Device`] if it cannot run compute kernels.
pub fn device_of_window(window: &RenderState) -> minift::Result<Device> {
    Device::from_wgpu(device::WgpuSetup {
        instance: window.instance.clone(),
        adapter: window.adapter.clone(),
        device: window.device.clone(),
        queue: window.queue.clone(),
        backend: window.adapter.get_info().backend,
    })
}
