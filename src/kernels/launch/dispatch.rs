//! Launches kernels on the buffers of burn's tensors.

use burn::backend::wgpu::{CubeTensor, into_contiguous};
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

use super::Specialized;
use super::traffic::{self, Bound};
#[cfg(not(target_arch = "wasm32"))]
use crate::device::slices;
use crate::kernels::profile;

/// Max number of workgroups in the first dimension of a dispatch; `WORKGROUPS_X` in the shaders.
const WORKGROUPS_X: u32 = 32_768;
/// Number of invocations per workgroup of most kernels; `WORKGROUP_SIZE` in the shaders.
pub(crate) const WORKGROUP_SIZE: u32 = 256;

/// A kernel for cubecl.
struct Launched {
    kernel: Specialized,
    workgroup_size: CubeDim,
}

impl CubeKernel for Launched {
    /// Returns an empty definition: the WGSL source replaces compilation.
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

/// Disables cubecl's guard that ends every loop after 2^64 iterations, which prevents unrolling. Every loop
/// of the shaders is bounded.
const MODE: ExecutionMode = ExecutionMode::Unchecked;

impl KernelMetadata for Launched {
    /// Returns the name for profiles.
    fn name(&self) -> &'static str {
        self.kernel.name()
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(self.kernel).mode(MODE)
    }

    fn address_type(&self) -> ElemType {
        UIntKind::U32.into()
    }
}

/// Returns an uninitialized float32 tensor on the device of `like`.
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

/// Uploads 32-bit values to a tensor \[n\] on the device of `like`.
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

/// Launches a kernel on the buffers of `tensors`, in the order of its bindings. The last binding is a
/// uniform with the parameters.
pub(crate) fn launch(
    kernel: Specialized,
    workgroup_size: u32,
    [x, y, z]: [u32; 3],
    tensors: &[Bound<'_>],
    parameters: &impl Pod,
) {
    traffic::count(kernel.name(), tensors);
    let _span = profile::launch(kernel.name(), || traffic::needed(tensors));
    #[cfg(not(target_arch = "wasm32"))]
    slices::before_launch(kernel.name(), tensors[0].tensor, traffic::moved(tensors));
    let client = &tensors[0].tensor.client;
    // Uniforms are padded to 16 bytes. The runtime caches them by content.
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

/// Returns whether kernels may use subgroup operations on a tensor's device. (Browsers require an `enable`
/// directive that naga does not parse.)
pub(crate) fn has_subgroups(tensor: &CubeTensor) -> bool {
    let features = &tensor.client.properties().features;
    cfg!(not(target_arch = "wasm32")) && features.plane.contains(Plane::Ops)
}

/// Launches a kernel with one workgroup of `workgroup_size` invocations per row, over two dimensions as the
/// shaders expect.
pub(crate) fn launch_rows(
    kernel: Specialized,
    workgroup_size: u32,
    rows: u32,
    tensors: &[Bound<'_>],
    parameters: &impl Pod,
) {
    let workgroups = [rows.min(WORKGROUPS_X), rows.div_ceil(WORKGROUPS_X), 1];
    launch(kernel, workgroup_size, workgroups, tensors, parameters);
}

/// Launches a kernel over a number of elements.
pub(crate) fn launch_elements(
    kernel: Specialized,
    elements: u32,
    tensors: &[Bound<'_>],
    parameters: &impl Pod,
) {
    // Beyond this limit each invocation processes several elements.
    let workgroups = elements.div_ceil(WORKGROUP_SIZE).min(WORKGROUPS_X);
    launch(
        kernel,
        WORKGROUP_SIZE,
        [workgroups, 1, 1],
        tensors,
        parameters,
    );
}

/// Returns the tensor with contiguous elements in memory that no other handle shares.
pub(crate) fn owned(tensor: CubeTensor) -> CubeTensor {
    let shared = !tensor.can_mut();
    let tensor = into_contiguous(tensor);
    if shared && !tensor.can_mut() {
        tensor.copy()
    } else {
        tensor
    }
}
