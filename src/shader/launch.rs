//! Kernels of `shaders/` launched on the buffers of burn's tensors.

use burn::backend::wgpu::CubeTensor;
use burn::cubecl::ir::features::Plane;
use burn::cubecl::ir::metadata::Info;
use burn::cubecl::ir::settings::KernelSettings;
use burn::cubecl::ir::{AddressType, ElemType, Scope, UIntKind};
use burn::cubecl::prelude::{
    CubeCount, CubeDim, ExecutionMode, KernelDefinition, KernelId, KernelMetadata,
};
use burn::cubecl::server::{KernelArguments, MetadataBindingInfo};
use burn::cubecl::{CubeKernel, PrecompiledSource};
use burn::tensor::{DType, Shape};
use bytemuck::Pod;

use super::traffic::{self, Bound};
use super::{Kernel, WORKGROUP_SIZE, WORKGROUPS_X};

/// A kernel of `shaders/` as cubecl takes it.
struct Launched {
    kernel: Kernel,
    workgroup_size: CubeDim,
}

impl CubeKernel for Launched {
    /// What a compiler would work from; the text stands in for it.
    fn define(&self) -> KernelDefinition {
        let settings = KernelSettings::new(*self.workgroup_size, MODE, AddressType::U32);
        KernelDefinition {
            body: Scope::root(settings.clone()),
            settings,
            info: Info::default(),
        }
    }

    fn source(&self) -> Option<PrecompiledSource> {
        Some(PrecompiledSource {
            source: self.kernel.source(),
            entrypoint_name: "main".to_string(),
            lang: "wgsl",
        })
    }
}

/// Without a counter in every loop that ends it after 2^64 turns, which compilers cannot unroll: each
/// loop of the shaders ends by itself.
const MODE: ExecutionMode = ExecutionMode::Unchecked;

impl KernelMetadata for Launched {
    /// By which whoever watches launches knows it.
    fn name(&self) -> &'static str {
        self.kernel.name
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(self.kernel).mode(MODE)
    }

    fn address_type(&self) -> ElemType {
        UIntKind::U32.into()
    }
}

/// A float32 tensor of that shape, on the device of another, whose values are yet to be written.
pub(crate) fn empty(like: &CubeTensor, shape: Shape) -> CubeTensor {
    let bytes = shape.num_elements() * size_of::<f32>();
    let buffer = like.client.empty(bytes);
    CubeTensor::new_contiguous(
        like.client.clone(),
        like.device.clone(),
        shape,
        buffer,
        DType::F32,
    )
}

/// A tensor \[n\] of numbers of 32 bits from the host, on the device of another.
pub(crate) fn uploaded<T: Pod>(like: &CubeTensor, values: &[T], dtype: DType) -> CubeTensor {
    let bytes: &[u8] = bytemuck::cast_slice(values);
    CubeTensor::new_contiguous(
        like.client.clone(),
        like.device.clone(),
        Shape::new([bytes.len() / dtype.size()]),
        like.client.create_from_slice(bytes),
        dtype,
    )
}

/// Runs a kernel on the buffers of `tensors`, in the order of its bindings, the last of which is the
/// uniform of its parameters.
pub(crate) fn launch(
    kernel: Kernel,
    workgroup_size: u32,
    [x, y, z]: [u32; 3],
    tensors: &[Bound<'_>],
    parameters: &impl Pod,
) {
    traffic::count(kernel.name, tensors);
    #[cfg(not(target_arch = "wasm32"))]
    super::slices::before_launch(kernel.name, tensors);
    let client = &tensors[0].tensor.client;
    // In whole groups of 16 bytes, as uniforms are. The runtime keeps those that it has seen.
    let mut words = vec![0_u64; size_of_val(parameters).div_ceil(16) * 2];
    let bytes = bytemuck::bytes_of(parameters);
    bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
    let buffers = tensors
        .iter()
        .map(|bound| bound.tensor.handle.clone().binding())
        .collect();
    client.launch(
        Box::new(Launched {
            kernel,
            workgroup_size: CubeDim::new_1d(workgroup_size),
        }),
        CubeCount::Static(x, y, z),
        KernelArguments::new()
            .with_buffers(buffers)
            .with_info(MetadataBindingInfo::custom(words)),
    );
}

/// Whether a kernel may use subgroups on a tensor's device. (In browsers WGSL wants to be told, in a way
/// that naga does not know.)
pub(crate) fn has_subgroups(tensor: &CubeTensor) -> bool {
    let features = &tensor.client.properties().features;
    cfg!(not(target_arch = "wasm32")) && features.plane.contains(Plane::Ops)
}

/// Runs a kernel whose workgroups, of so many invocations, each take one of `rows`, laid out as the
/// shaders read them.
pub(crate) fn launch_rows(
    kernel: Kernel,
    workgroup_size: u32,
    rows: u32,
    tensors: &[Bound<'_>],
    parameters: &impl Pod,
) {
    let workgroups = [rows.min(WORKGROUPS_X), rows.div_ceil(WORKGROUPS_X), 1];
    launch(kernel, workgroup_size, workgroups, tensors, parameters);
}

/// Runs a kernel that goes over that many elements.
pub(crate) fn over_elements(
    kernel: Kernel,
    elements: u32,
    tensors: &[Bound<'_>],
    parameters: &impl Pod,
) {
    // Beyond these an invocation takes several elements.
    let workgroups = elements.div_ceil(WORKGROUP_SIZE).min(WORKGROUPS_X);
    launch(
        kernel,
        WORKGROUP_SIZE,
        [workgroups, 1, 1],
        tensors,
        parameters,
    );
}
