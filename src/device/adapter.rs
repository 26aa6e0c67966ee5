//! The GPU adapters of this machine, with the limits that matter to minift.

use std::fmt;

use serde::Serialize;

/// A GPU adapter, as reported by its driver.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GpuAdapter {
    /// Index in [`adapters`].
    pub index: usize,
    /// Name of the GPU.
    pub name: String,
    /// Graphics API: vulkan, metal, dx12.
    pub backend: String,
    /// discrete, integrated, virtual, software or other.
    pub kind: GpuKind,
    /// Driver and its version.
    pub driver: String,
    /// The limits that matter to minift.
    pub limits: Limits,
}

/// The kind of an adapter, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GpuKind {
    /// A discrete graphics card.
    Discrete,
    /// A GPU that shares the host's memory.
    Integrated,
    /// A GPU exposed by a virtual machine.
    Virtual,
    /// A kind that the driver does not report.
    Other,
    /// A software implementation on the CPU: correct, but slow.
    Software,
}

impl fmt::Display for GpuKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Other => "other",
            Self::Software => "software",
        })
    }
}

/// Limits of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "web", derive(tsify::Tsify))]
pub struct Limits {
    /// Largest buffer in bytes.
    pub max_buffer_bytes: u64,
    /// Largest buffer binding of a kernel in bytes.
    pub max_binding_bytes: u64,
    /// Workgroups per dimension of a dispatch.
    pub max_workgroups: u32,
    /// Invocations per workgroup.
    pub max_invocations: u32,
    /// Shared memory per workgroup in bytes.
    pub workgroup_bytes: u32,
}

/// Returns the GPU adapters of this machine, ordered by index.
pub async fn adapters() -> Vec<GpuAdapter> {
    enumerate()
        .await
        .into_iter()
        .map(|found| found.description)
        .collect()
}

/// An adapter with the handles needed to open it.
pub(super) struct Found {
    pub description: GpuAdapter,
    pub adapter: wgpu::Adapter,
    pub instance: wgpu::Instance,
}

pub(super) async fn enumerate() -> Vec<Found> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::PRIMARY,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapters = instance.enumerate_adapters(wgpu::Backends::PRIMARY).await;
    adapters
        .into_iter()
        .enumerate()
        .map(|(index, adapter)| Found {
            description: describe(index, &adapter),
            adapter,
            instance: instance.clone(),
        })
        .collect()
}

pub(super) fn describe(index: usize, adapter: &wgpu::Adapter) -> GpuAdapter {
    let info = adapter.get_info();
    let limits = adapter.limits();
    GpuAdapter {
        index,
        // Browsers may hide it.
        name: if info.name.is_empty() {
            "GPU".to_string()
        } else {
            info.name
        },
        backend: info.backend.to_string(),
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => GpuKind::Discrete,
            wgpu::DeviceType::IntegratedGpu => GpuKind::Integrated,
            wgpu::DeviceType::VirtualGpu => GpuKind::Virtual,
            wgpu::DeviceType::Cpu => GpuKind::Software,
            wgpu::DeviceType::Other => GpuKind::Other,
        },
        driver: format!("{} {}", info.driver, info.driver_info)
            .trim()
            .to_string(),
        limits: Limits {
            max_buffer_bytes: limits.max_buffer_size,
            max_binding_bytes: limits.max_storage_buffer_binding_size,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            max_invocations: limits.max_compute_invocations_per_workgroup,
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
        },
    }
}

/// Returns the first adapter of the best kind.
pub(super) fn best(found: &[Found]) -> Option<&Found> {
    found.iter().min_by_key(|found| found.description.kind)
}
