//! An application with its own GPU device.

use burn::tensor::wgpu::WgpuSetup;
use minift::device::Device;
use pollster::block_on;

/// The adapter of an application, which opens devices on it.
pub struct Application {
    instance: wgpu::Instance,
    pub adapter: wgpu::Adapter,
}

impl Application {
    pub fn new() -> Self {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: wgpu::Backends::PRIMARY,
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let adapter = block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()));
        let adapter =
            adapter.expect("the tests require a GPU adapter; a software adapter is enough");
        Self { instance, adapter }
    }

    pub fn open(
        &self,
        required_features: wgpu::Features,
        required_limits: wgpu::Limits,
    ) -> WgpuSetup {
        let descriptor = wgpu::DeviceDescriptor {
            required_features,
            required_limits,
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = block_on(self.adapter.request_device(&descriptor)).unwrap();
        WgpuSetup {
            instance: self.instance.clone(),
            adapter: self.adapter.clone(),
            device,
            queue,
            backend: self.adapter.get_info().backend,
        }
    }

    pub fn open_as_required(&self) -> WgpuSetup {
        let limits = Device::required_limits(&self.adapter, wgpu::Limits::default());
        self.open(Device::required_features(&self.adapter), limits)
    }
}
