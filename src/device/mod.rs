//! Compute devices: the CPU, the GPU adapters of this machine, and the choice between them.

mod adapter;
mod choice;
mod memory;
pub(crate) mod ranks;
pub(crate) mod readback;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod slices;

use std::sync::{Arc, OnceLock};

pub use adapter::{GpuAdapter, GpuKind, Limits, adapters};
pub use burn::tensor::wgpu::WgpuSetup;
pub use choice::DeviceChoice;

use crate::error::{Error, Result};
use adapter::{Found, best, describe, enumerate};
use ranks::Ranks;
use readback::Readback;
#[cfg(not(target_arch = "wasm32"))]
use slices::Slices;

/// The device of a run, and why it was chosen.
#[derive(Clone, Debug)]
pub struct Device {
    tensors: burn::tensor::Device,
    adapter: Option<GpuAdapter>,
    reason: String,
    /// The first uncaptured error: out of memory, or a rejected command.
    fault: Arc<OnceLock<String>>,
    /// The processes that compute together, each on its own device.
    ranks: Ranks,
    #[cfg(not(target_arch = "wasm32"))]
    slices: Option<Arc<Slices>>,
}

impl Device {
    /// Returns the CPU.
    pub fn cpu() -> Self {
        Self::cpu_because("requested")
    }

    fn cpu_because(reason: &str) -> Self {
        Self {
            tensors: burn::tensor::Device::flex(),
            adapter: None,
            reason: reason.to_string(),
            fault: Arc::default(),
            ranks: Ranks::default(),
            #[cfg(not(target_arch = "wasm32"))]
            slices: None,
        }
    }

    /// Opens the requested device.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] if the adapter does not exist or cannot be opened.
    pub async fn open(choice: DeviceChoice) -> Result<Self> {
        if choice == DeviceChoice::Cpu {
            return Ok(Self::cpu());
        }
        let found = enumerate().await;
        let hardware = best(&found).filter(|found| found.description.kind != GpuKind::Software);
        match choice {
            DeviceChoice::Cpu => unreachable!("returned above"),
            DeviceChoice::Auto => match hardware {
                Some(found) => {
                    Self::open_adapter(found, "the best hardware GPU of this machine").await
                }
                None if found.is_empty() => Ok(Self::cpu_because("no GPU adapter found")),
                None => Ok(Self::cpu_because(
                    "no hardware GPU found, and a software adapter is slower than the CPU",
                )),
            },
            DeviceChoice::Gpu => match best(&found) {
                Some(adapter) if adapter.description.kind == GpuKind::Software => {
                    Self::open_adapter(adapter, "requested; no hardware GPU found").await
                }
                Some(adapter) => Self::open_adapter(adapter, "requested").await,
                None => Err(no_adapter()),
            },
            DeviceChoice::GpuIndex(index) => match found.get(index) {
                Some(adapter) => Self::open_adapter(adapter, "requested").await,
                None if found.is_empty() => Err(no_adapter()),
                None => Err(Error::Device {
                    message: match found.len() {
                        1 => format!("no GPU adapter {index}: the only index is 0"),
                        count => format!("no GPU adapter {index}: indices are 0 to {}", count - 1),
                    },
                }),
            },
        }
    }

    /// Returns the features that an application has to enable on its own wgpu device to share it with
    /// minift: those used by the kernels, as far as the adapter supports them.
    pub fn required_features(adapter: &wgpu::Adapter) -> wgpu::Features {
        let of_kernels = wgpu::Features::SUBGROUP
            | wgpu::Features::SHADER_INT64
            | wgpu::Features::SHADER_F64
            | wgpu::Features::SHADER_F16
            | wgpu::Features::SHADER_FLOAT32_ATOMIC;
        adapter.features() & of_kernels
    }

    /// Returns `own` limits raised to what the adapter supports for compute kernels and their buffers, for
    /// the same purpose.
    pub fn required_limits(adapter: &wgpu::Adapter, own: wgpu::Limits) -> wgpu::Limits {
        let supported = adapter.limits();
        wgpu::Limits {
            max_buffer_size: supported.max_buffer_size,
            max_storage_buffer_binding_size: supported.max_storage_buffer_binding_size,
            max_storage_buffers_per_shader_stage: supported.max_storage_buffers_per_shader_stage,
            max_compute_workgroup_storage_size: supported.max_compute_workgroup_storage_size,
            max_compute_invocations_per_workgroup: supported.max_compute_invocations_per_workgroup,
            max_compute_workgroup_size_x: supported.max_compute_workgroup_size_x,
            max_compute_workgroup_size_y: supported.max_compute_workgroup_size_y,
            max_compute_workgroup_size_z: supported.max_compute_workgroup_size_z,
            max_compute_workgroups_per_dimension: supported.max_compute_workgroups_per_dimension,
            ..own
        }
    }

    /// Uses the wgpu device and queue of an application, opened with [`Self::required_features`] and
    /// [`Self::required_limits`]. Call it once per wgpu device and clone the result.
    ///
    /// This replaces the application's handlers for uncaptured errors and device loss: both are logged, and
    /// everything that runs on the device returns [`Error::Device`], even if the application's own work
    /// failed.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] if features or limits are missing, or the device cannot run compute kernels.
    pub fn from_wgpu(setup: WgpuSetup) -> Result<Self> {
        // The runtime asks the adapter, not the device: without these its kernels would be rejected.
        let features = Self::required_features(&setup.adapter) - setup.device.features();
        let mut missing: Vec<String> = features.iter_names().map(|(name, _)| name.into()).collect();
        let limits = setup.device.limits();
        Self::required_limits(&setup.adapter, limits.clone()).check_limits_with_fail_fn(
            &limits,
            false,
            |name, required, found| missing.push(format!("{name} {required} (it has {found})")),
        );
        let adapter = describe(0, &setup.adapter);
        if !missing.is_empty() {
            return Err(Error::Device {
                message: format!(
                    "the application's device on {} is missing {}: open it with \
                     Device::required_features and Device::required_limits",
                    adapter.name,
                    missing.join(", ")
                ),
            });
        }
        Self::register(setup, adapter, "provided by the application")
    }

    fn register(setup: WgpuSetup, adapter: GpuAdapter, reason: &str) -> Result<Self> {
        let device = setup.device.clone();
        let tensors = burn::tensor::Device::wgpu_options()
            .setup(setup)
            .init()
            .map_err(|error| Error::Device {
                message: format!("cannot use {}: {error}", adapter.name),
            })?;
        // Replaces the runtime's handler, which panics.
        let fault = Arc::new(OnceLock::new());
        let slot = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            log::error!("GPU device error: {error}");
            let _ = slot.set(match error {
                wgpu::Error::OutOfMemory { .. } => "out of memory: use a smaller batch size, \
                                                    shorter samples or a smaller model"
                    .to_string(),
                error => error.to_string(),
            });
        }));
        Ok(Self {
            tensors,
            adapter: Some(adapter),
            reason: reason.to_string(),
            fault,
            ranks: Ranks::default(),
            #[cfg(not(target_arch = "wasm32"))]
            slices: None,
        })
    }

    async fn open_adapter(found: &Found, reason: &str) -> Result<Self> {
        let Found {
            description,
            adapter,
            instance,
        } = found;
        let features = adapter
            .features()
            .difference(wgpu::Features::all_experimental_mask())
            .difference(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS);
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("minift"),
                required_features: features,
                required_limits: adapter.limits(),
                memory_hints: wgpu::MemoryHints::MemoryUsage,
                ..Default::default()
            })
            .await
            .map_err(|error| Error::Device {
                message: format!("cannot open {}: {error}", description.name),
            })?;
        let setup = WgpuSetup {
            instance: instance.clone(),
            adapter: adapter.clone(),
            device,
            queue,
            backend: adapter.get_info().backend,
        };
        Self::register(setup, description.clone(), reason)
    }

    /// Submits work in time slices of at most about `longest`, each after the previous one has finished, so
    /// that an application that renders on the same GPU waits no longer than that for a frame. (Without
    /// slices, a slow GPU can have several seconds of work queued.) The training thread blocks in between.
    /// The last call for a GPU wins, until this device, its clones and their models are dropped.
    ///
    /// A single kernel is never split; the longest is a tile of logits, see
    /// [`TrainSettings::tile_bytes`](crate::train::TrainSettings::tile_bytes). 8 ms suit 60 frames per
    /// second; at lower frame rates use about the length of a frame, or training starves. The CPU and all
    /// results are unaffected.
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn with_time_slice(mut self, longest: std::time::Duration) -> Self {
        if self.adapter.is_some() {
            self.slices = Some(Slices::new(&self.tensors, longest));
        }
        self
    }

    /// Returns the longest time slice, if limited.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn time_slice(&self) -> Option<std::time::Duration> {
        self.slices.as_ref().map(|slices| slices.longest())
    }

    /// Shares the work of what computes on this device with other processes.
    #[cfg(any(feature = "cli", test))]
    pub(crate) fn with_ranks(self, ranks: Ranks) -> Self {
        Self { ranks, ..self }
    }

    /// Returns the processes that share the work.
    pub(crate) fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// Releases the unused memory of the device's pool, for applications that continue after a training.
    /// Memory held by models and runs is released when they are dropped.
    pub fn release_memory(&self) {
        self.tensors.memory_cleanup();
    }

    /// Returns burn's device for tensors.
    pub fn tensors(&self) -> &burn::tensor::Device {
        &self.tensors
    }

    /// Returns the GPU adapter, or `None` for the CPU.
    pub fn adapter(&self) -> Option<&GpuAdapter> {
        self.adapter.as_ref()
    }

    /// Returns the free memory in bytes where known: for the CPU and for GPUs that share its memory.
    /// Graphics APIs do not report the free VRAM of a discrete card.
    pub fn free_memory(&self) -> Option<u64> {
        let shares = match self.adapter.as_ref().map(|adapter| adapter.kind) {
            None | Some(GpuKind::Integrated | GpuKind::Software) => true,
            Some(_) => false,
        };
        shares.then(memory::free_host_memory).flatten()
    }

    /// Returns why this device was chosen.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Checks that no error has occurred on the device, so that results are valid.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] if the device ran out of memory or rejected a command.
    pub fn check(&self) -> Result<()> {
        match self.fault.get() {
            None => Ok(()),
            Some(fault) => Err(Error::Device {
                message: format!("{} failed: {fault}", self.name()),
            }),
        }
    }

    /// Returns a readable name, with API and kind for a GPU.
    pub fn name(&self) -> String {
        match &self.adapter {
            None => {
                let threads = rayon::current_num_threads();
                format!(
                    "CPU, {threads} {}",
                    if threads == 1 { "thread" } else { "threads" }
                )
            }
            Some(adapter) => format!("{} ({}, {})", adapter.name, adapter.backend, adapter.kind),
        }
    }
}

fn no_adapter() -> Error {
    Error::Device {
        message: "no GPU adapter found: install a driver for Vulkan, Metal or DX12 (Debian has a \
                  software one in mesa-vulkan-drivers), or use the CPU"
            .to_string(),
    }
}

/// Returns the sum of all elements as a tensor \[1\], always added in the same order. burn's own sum uses
/// atomics where the adapter has them, in no fixed order.
pub(crate) fn sum(tensor: burn::tensor::Tensor<2>) -> burn::tensor::Tensor<1> {
    tensor.sum_dim(1).sum_dim(0).reshape([1])
}

/// Reads back the float32 values of a tensor, asynchronously for browsers.
///
/// # Errors
///
/// [`Error::Device`] if the device fails before the values arrive.
pub async fn read<const D: usize>(tensor: burn::tensor::Tensor<D>) -> Result<Vec<f32>> {
    Readback::begin(tensor).await
}
