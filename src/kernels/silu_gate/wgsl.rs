//! The gated linear unit on devices that run WGSL.

use burn::backend::TensorMetadata;
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};

use super::SiluGateBackend;
use crate::kernels::launch::{
    ELEMENTS, Kernel, SIGMOID, Specialized, empty, launch_elements, reads, shared_struct, wgsl,
    writes,
};
use crate::kernels::wgsl_size;

static FORWARD: Kernel = Kernel {
    file: wgsl!("silu_gate/forward"),
    pieces: &[&ELEMENTS, &SIGMOID],
    layouts: &[Parameters::LAYOUT],
};
static BACKWARD: Kernel = Kernel {
    file: wgsl!("silu_gate/backward"),
    pieces: &[&ELEMENTS, &SIGMOID],
    layouts: &[Parameters::LAYOUT],
};

/// Returns the kernels of the gated linear unit.
pub(crate) fn kernels() -> Vec<Specialized> {
    vec![FORWARD.plain(), BACKWARD.plain()]
}

shared_struct! {
    struct Parameters as "Parameters" {
        elements: u32,
    }
}

impl Parameters {
    fn new(tensor: &CubeTensor) -> Self {
        Self {
            elements: wgsl_size(tensor.shape().num_elements()),
        }
    }
}

impl SiluGateBackend for CubeBackend {
    fn silu_gate(gate: CubeTensor, up: CubeTensor) -> CubeTensor {
        let [gate, up] = [gate, up].map(into_contiguous);
        let out = empty(&gate, gate.shape());
        let parameters = Parameters::new(&gate);
        launch_elements(
            FORWARD.plain(),
            parameters.elements,
            &[reads(&gate), reads(&up), writes(&out)],
            &parameters,
        );
        out
    }

    fn silu_gate_backward(
        gate: CubeTensor,
        up: CubeTensor,
        upstream: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        let [gate, up, upstream] = [gate, up, upstream].map(into_contiguous);
        let grad_gate = empty(&gate, gate.shape());
        let grad_up = empty(&gate, gate.shape());
        let parameters = Parameters::new(&gate);
        launch_elements(
            BACKWARD.plain(),
            parameters.elements,
            &[
                reads(&gate),
                reads(&up),
                reads(&upstream),
                writes(&grad_gate),
                writes(&grad_up),
            ],
            &parameters,
        );
        (grad_gate, grad_up)
    }
}
