//! One GPU device for the window and the training.

use std::sync::Arc;
use std::time::Duration;

use eframe::egui_wgpu::{RenderState, WgpuConfiguration, WgpuSetup, WgpuSetupCreateNew, wgpu};
use minift::device::{AdapterKind, Device, WgpuSetup as SharedSetup};

/// The most that a frame waits for the training, about: half of what there is between two frames.
const SLICE: Duration = Duration::from_millis(8);
/// The same where software draws: about as long as it draws at a frame, so that the training gets its turn.
const SOFTWARE_SLICE: Duration = Duration::from_millis(50);

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

/// The window's device, for a training that leaves time to draw.
///
/// # Errors
///
/// [`minift::Error::Device`] if it cannot run compute kernels.
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

/// Whether a GPU is a program on the CPU.
pub fn is_software(device: &Device) -> bool {
    device
        .adapter()
        .is_some_and(|adapter| adapter.kind == AdapterKind::Software)
}
