//! Where the numbers are crunched: the GPU adapters of this machine, the CPU, and how to choose.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

pub use burn::tensor::wgpu::WgpuSetup;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::reading::Reading;
#[cfg(not(target_arch = "wasm32"))]
use crate::shader::slices::Slices;

/// What a person asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A hardware GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The best GPU adapter: hardware before software.
    Gpu,
    /// The adapter of this number in [`adapters`], hardware or software.
    GpuIndex(usize),
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu),
            _ => text
                .strip_prefix("gpu:")
                .and_then(|index| index.parse().ok())
                .map(Self::GpuIndex)
                .ok_or_else(|| {
                    Error::setting(
                        "device",
                        text,
                        "auto, cpu, gpu or gpu:N (see `minift devices`)",
                    )
                }),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu => f.write_str("gpu"),
            Self::GpuIndex(index) => write!(f, "gpu:{index}"),
        }
    }
}

/// A GPU adapter, as its driver describes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Adapter {
    /// Number for `--device gpu:N`.
    pub index: usize,
    /// Name of the card.
    pub name: String,
    /// Graphics API: vulkan, metal, dx12.
    pub backend: String,
    /// discrete, integrated, virtual, software or other.
    pub kind: AdapterKind,
    /// Driver and its version.
    pub driver: String,
    /// The limits that matter to minift.
    pub limits: Limits,
}

/// As much as the kernel can give without taking it from another program.
#[cfg(target_os = "linux")]
fn free_memory_of_computer() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// Where addresses have 32 bits, as in a browser, there is no more than they reach. Five eighths of that
/// count: a training of about 3 GiB by the estimate lost the module in Chromium.
#[cfg(not(target_os = "linux"))]
fn free_memory_of_computer() -> Option<u64> {
    (usize::BITS == 32).then_some((1 << 32) / 8 * 5)
}

/// What an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AdapterKind {
    /// A graphics card of its own.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU that a virtual machine shows.
    Virtual,
    /// Of a kind that the driver does not tell.
    Other,
    /// A program on the CPU that behaves like a GPU: right, and slow.
    Software,
}

impl fmt::Display for AdapterKind {
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
    /// Bytes of the largest buffer.
    pub max_buffer_bytes: u64,
    /// Bytes of the largest part of a buffer that a kernel can see at once.
    pub max_binding_bytes: u64,
    /// Workgroups in each dimension of a launch.
    pub max_workgroups: u32,
    /// Invocations in a workgroup.
    pub max_invocations: u32,
    /// Bytes of memory that a workgroup shares.
    pub workgroup_bytes: u32,
}

/// The device that a run uses, and why.
#[derive(Clone, Debug)]
pub struct Device {
    tensors: burn::tensor::Device,
    adapter: Option<Adapter>,
    reason: String,
    /// What the device reported that nobody asked for: memory that ran out, a command it refused.
    fault: Arc<OnceLock<String>>,
    #[cfg(not(target_arch = "wasm32"))]
    slices: Option<Arc<Slices>>,
}

impl Device {
    /// The CPU.
    pub fn cpu() -> Self {
        Self::cpu_because("as asked for")
    }

    fn cpu_because(reason: &str) -> Self {
        Self {
            tensors: burn::tensor::Device::flex(),
            adapter: None,
            reason: reason.to_string(),
            fault: Arc::default(),
            #[cfg(not(target_arch = "wasm32"))]
            slices: None,
        }
    }

    /// Opens the device that is asked for.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] if there is no such adapter or it refuses.
    pub async fn open(choice: DeviceChoice) -> Result<Self> {
        if choice == DeviceChoice::Cpu {
            return Ok(Self::cpu());
        }
        let found = enumerate().await;
        let hardware = best(&found).filter(|found| found.description.kind != AdapterKind::Software);
        match choice {
            DeviceChoice::Cpu => unreachable!("returned above"),
            DeviceChoice::Auto => match hardware {
                Some(found) => Self::open_adapter(found, "the best hardware GPU here").await,
                None if found.is_empty() => Ok(Self::cpu_because("no GPU adapter was found")),
                None => Ok(Self::cpu_because(
                    "no hardware GPU was found, and a software adapter is slower than the CPU itself",
                )),
            },
            DeviceChoice::Gpu => match best(&found) {
                Some(adapter) if adapter.description.kind == AdapterKind::Software => {
                    Self::open_adapter(adapter, "as asked for; there is no hardware GPU").await
                }
                Some(adapter) => Self::open_adapter(adapter, "as asked for").await,
                None => Err(no_adapter()),
            },
            DeviceChoice::GpuIndex(index) => match found.get(index) {
                Some(adapter) => Self::open_adapter(adapter, "as asked for").await,
                None if found.is_empty() => Err(no_adapter()),
                None => Err(Error::Device {
                    message: format!(
                        "there is no adapter {index}; there are {}: `minift devices` lists them",
                        found.len()
                    ),
                }),
            },
        }
    }

    /// The features that an application opens a device of an adapter with, beside its own, so that it
    /// can be used here too: of those that kernels are made with, what the adapter has.
    pub fn required_features(adapter: &wgpu::Adapter) -> wgpu::Features {
        let of_kernels = wgpu::Features::SUBGROUP
            | wgpu::Features::SHADER_INT64
            | wgpu::Features::SHADER_F64
            | wgpu::Features::SHADER_F16
            | wgpu::Features::SHADER_FLOAT32_ATOMIC;
        adapter.features() & of_kernels
    }

    /// The limits that an application raises its own to, for the same purpose: the adapter's, as far as
    /// compute kernels and their buffers go.
    pub fn required_limits(adapter: &wgpu::Adapter, own: wgpu::Limits) -> wgpu::Limits {
        let most = adapter.limits();
        wgpu::Limits {
            max_buffer_size: most.max_buffer_size,
            max_storage_buffer_binding_size: most.max_storage_buffer_binding_size,
            max_storage_buffers_per_shader_stage: most.max_storage_buffers_per_shader_stage,
            max_compute_workgroup_storage_size: most.max_compute_workgroup_storage_size,
            max_compute_invocations_per_workgroup: most.max_compute_invocations_per_workgroup,
            max_compute_workgroup_size_x: most.max_compute_workgroup_size_x,
            max_compute_workgroup_size_y: most.max_compute_workgroup_size_y,
            max_compute_workgroup_size_z: most.max_compute_workgroup_size_z,
            max_compute_workgroups_per_dimension: most.max_compute_workgroups_per_dimension,
            ..own
        }
    }

    /// Uses a wgpu device and queue that an application already has, opened with
    /// [`Self::required_features`] and [`Self::required_limits`]. Once for a device, of which clones are to
    /// be used after that.
    ///
    /// From then on the device's uncaptured errors and its loss are heard here, in place of handlers that
    /// the application set before: they go to the log, and to whatever runs on the device as
    /// [`Error::Device`], also where it was the application's own work that failed.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] if it was opened with less, or cannot run compute kernels.
    pub fn from_wgpu(setup: WgpuSetup) -> Result<Self> {
        // The runtime goes by what the adapter can, so that kernels would be made that the device refuses.
        let features = Self::required_features(&setup.adapter) - setup.device.features();
        let mut missing: Vec<String> = features.iter_names().map(|(name, _)| name.into()).collect();
        let there = setup.device.limits();
        Self::required_limits(&setup.adapter, there.clone()).check_limits_with_fail_fn(
            &there,
            false,
            |name, wanted, there| missing.push(format!("{name} {wanted} (it has {there})")),
        );
        let adapter = describe(0, &setup.adapter);
        if !missing.is_empty() {
            return Err(Error::Device {
                message: format!(
                    "the application's device on {} lacks {}: open it with \
                     Device::required_features and Device::required_limits",
                    adapter.name,
                    missing.join(", ")
                ),
            });
        }
        Self::register(setup, adapter, "the application's own")
    }

    fn register(setup: WgpuSetup, adapter: Adapter, reason: &str) -> Result<Self> {
        let device = setup.device.clone();
        let tensors = burn::tensor::Device::wgpu_options()
            .setup(setup)
            .init()
            .map_err(|error| Error::Device {
                message: format!("{} cannot be used: {error}", adapter.name),
            })?;
        // In place of the runtime's own handler, which panics.
        let fault = Arc::new(OnceLock::new());
        let slot = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            log::error!("the GPU device reports: {error}");
            let _ = slot.set(match error {
                wgpu::Error::OutOfMemory { .. } => "its memory is full: take smaller batches, \
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
                message: format!("{} refuses to open: {error}", description.name),
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

    /// Shares a GPU with whoever draws with it: minift's work is given to it in slices that take no more
    /// than about `longest` each, and the next one only when the one before is done, so that a frame
    /// waits no longer than that. (Without it, up to several seconds of work wait in the queue of a slow
    /// GPU.) The thread that trains blocks in between. Whoever sets it last decides for the device, until
    /// this device and its clones, and the models on them, are dropped.
    ///
    /// A single kernel is never split; what takes longest is a tile of logits, whose size is
    /// [`TrainSettings::tile_bytes`](crate::train::TrainSettings::tile_bytes). 8 ms go well with 60
    /// frames a second; whoever draws more slowly wants slices of about a frame's length, or training
    /// starves. Nothing changes on the CPU, nor in results.
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn with_time_slice(mut self, longest: std::time::Duration) -> Self {
        if self.adapter.is_some() {
            self.slices = Some(Slices::new(&self.tensors, longest));
        }
        self
    }

    /// The longest slice of time that its work is given to it in, if that is limited.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn time_slice(&self) -> Option<std::time::Duration> {
        self.slices.as_ref().map(|slices| slices.longest())
    }

    /// Gives memory back that the device's pool holds in reserve, as an application does that goes on
    /// without a training. What models and runs hold stays theirs until they are dropped.
    pub fn release_memory(&self) {
        self.tensors.memory_cleanup();
    }

    /// The device that burn's tensors are made on.
    pub fn tensors(&self) -> &burn::tensor::Device {
        &self.tensors
    }

    /// The GPU adapter, or `None` for the CPU.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref()
    }

    /// Bytes of memory that are free on it, where that can be told: for the CPU and for GPUs that share
    /// its memory. The memory of a graphics card is nothing that graphics APIs tell.
    pub fn free_memory(&self) -> Option<u64> {
        let shares = match self.adapter.as_ref().map(|adapter| adapter.kind) {
            None | Some(AdapterKind::Integrated | AdapterKind::Software) => true,
            Some(_) => false,
        };
        shares.then(free_memory_of_computer).flatten()
    }

    /// Why this device was taken.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether all that was computed on the device so far can be trusted.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] if it ran out of memory or refused a command.
    pub fn check(&self) -> Result<()> {
        match self.fault.get() {
            None => Ok(()),
            Some(fault) => Err(Error::Device {
                message: format!("{} failed: {fault}", self.name()),
            }),
        }
    }

    /// Name for people and reports.
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

/// The GPU adapters of this machine, in the order of their numbers.
pub async fn adapters() -> Vec<Adapter> {
    enumerate()
        .await
        .into_iter()
        .map(|found| found.description)
        .collect()
}

/// An adapter with what is needed to open it.
struct Found {
    description: Adapter,
    adapter: wgpu::Adapter,
    instance: wgpu::Instance,
}

async fn enumerate() -> Vec<Found> {
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

fn describe(index: usize, adapter: &wgpu::Adapter) -> Adapter {
    let info = adapter.get_info();
    let limits = adapter.limits();
    Adapter {
        index,
        // Browsers may keep it to themselves.
        name: if info.name.is_empty() {
            "GPU".to_string()
        } else {
            info.name
        },
        backend: info.backend.to_string(),
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
            wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
            wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
            wgpu::DeviceType::Cpu => AdapterKind::Software,
            wgpu::DeviceType::Other => AdapterKind::Other,
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

/// The first adapter of the best kind.
fn best(found: &[Found]) -> Option<&Found> {
    found.iter().min_by_key(|found| found.description.kind)
}

fn no_adapter() -> Error {
    Error::Device {
        message: "no GPU adapter was found. A driver with Vulkan, Metal or DX12 gives one; on \
                  Debian, `apt-get install mesa-vulkan-drivers` gives a software one. \
                  --device cpu needs none"
            .to_string(),
    }
}

/// The sum \[1\] of all elements, always in the same order. burn's own adds with atomic operations where
/// the adapter has them, in no certain order.
pub(crate) fn sum(tensor: burn::tensor::Tensor<2>) -> burn::tensor::Tensor<1> {
    tensor.sum_dim(1).sum_dim(0).reshape([1])
}

/// Reads a tensor's float32 values without blocking a browser.
///
/// # Errors
///
/// [`Error::Device`] if the device fails before they are there.
pub async fn read<const D: usize>(tensor: burn::tensor::Tensor<D>) -> Result<Vec<f32>> {
    Reading::begin(tensor).await
}
