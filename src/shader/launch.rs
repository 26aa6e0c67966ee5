//! Kernels of `shaders/` launched on the buffers of burn's tensors.

use burn::backend::wgpu::{CubeTensor, KernelSource, SourceKernel, SourceTemplate};
use burn::cubecl::ir::ElemType;
use burn::cubecl::prelude::{CubeCount, CubeDim, KernelDefinition, KernelId, KernelMetadata};
use burn::cubecl::server::KernelArguments;
use burn::cubecl::{CubeKernel, PrecompiledSource};
use burn::tensor::{DType, Shape};
use bytemuck::Pod;

use super::shader;

/// A kernel of `shaders/` as cubecl takes it.
struct Kernel(&'static str);

impl KernelSource for Kernel {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new(shader(self.0).source)
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(self.0)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// The same under its own name, by which whoever watches launches knows it.
struct Named {
    kernel: SourceKernel<Kernel>,
    name: &'static str,
}

impl CubeKernel for Named {
    fn define(&self) -> KernelDefinition {
        self.kernel.define()
    }

    fn source(&self) -> Option<PrecompiledSource> {
        self.kernel.source()
    }
}

impl KernelMetadata for Named {
    fn name(&self) -> &'static str {
        self.name
    }

    fn id(&self) -> KernelId {
        self.kernel.id()
    }

    fn address_type(&self) -> ElemType {
        self.kernel.address_type()
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

/// Runs a kernel on the buffers of `tensors`, in the order of its bindings, the last of which is for
/// its parameters.
pub(crate) fn launch(
    kernel: &'static str,
    workgroup_size: u32,
    [x, y, z]: [u32; 3],
    tensors: &[&CubeTensor],
    parameters: &impl Pod,
) {
    let client = &tensors[0].client;
    let parameters = client.create_from_slice(bytemuck::bytes_of(parameters));
    let buffers = tensors
        .iter()
        .map(|tensor| tensor.handle.clone().binding())
        .chain([parameters.binding()])
        .collect();
    client.launch(
        Box::new(Named {
            kernel: SourceKernel::new(Kernel(kernel), CubeDim::new_1d(workgroup_size)),
            name: kernel,
        }),
        CubeCount::Static(x, y, z),
        KernelArguments::new().with_buffers(buffers),
    );
}
