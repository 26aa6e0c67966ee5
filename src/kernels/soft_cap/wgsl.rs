//! Soft caps on devices that run WGSL.

use burn::backend::TensorMetadata;
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};

use super::SoftCapBackend;
use crate::kernels::launch::{
    ELEMENTS, Kernel, SOFT_CAP, Specialized, launch_elements, owned, reads, shared_struct, updates,
    wgsl,
};
use crate::kernels::wgsl_size;

static FORWARD: Kernel = Kernel {
    file: wgsl!("soft_cap/forward"),
    pieces: &[&ELEMENTS, &SOFT_CAP],
    layouts: &[Parameters::LAYOUT],
};
static BACKWARD: Kernel = Kernel {
    file: wgsl!("soft_cap/backward"),
    pieces: &[&ELEMENTS, &SOFT_CAP],
    layouts: &[Parameters::LAYOUT],
};

/// Returns the kernels of soft caps.
pub(crate) fn kernels() -> Vec<Specialized> {
    vec![FORWARD.plain(), BACKWARD.plain()]
}

shared_struct! {
    struct Parameters as "Parameters" {
        elements: u32,
        cap: f32,
    }
}

impl Parameters {
    fn new(tensor: &CubeTensor, cap: f32) -> Self {
        Self {
            elements: wgsl_size(tensor.shape().num_elements()),
            cap,
        }
    }
}

impl SoftCapBackend for CubeBackend {
    fn soft_cap(x: CubeTensor, cap: f32) -> CubeTensor {
        let out = owned(x);
        let parameters = Parameters::new(&out, cap);
        launch_elements(
            FORWARD.plain(),
            parameters.elements,
            &[updates(&out)],
            &parameters,
        );
        out
    }

    fn soft_cap_backward(capped: CubeTensor, upstream: CubeTensor, cap: f32) -> CubeTensor {
        let capped = into_contiguous(capped);
        let gradient = owned(upstream);
        let parameters = Parameters::new(&gradient, cap);
        launch_elements(
            BACKWARD.plain(),
            parameters.elements,
            &[reads(&capped), updates(&gradient)],
            &parameters,
        );
        gradient
    }
}
