//! Rotary embedding on devices that run WGSL.

use burn::backend::TensorMetadata;
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};

use super::RotaryBackend;
use crate::kernels::launch::{
    ELEMENTS, Kernel, Specialized, empty, launch_elements, reads, shared_struct, wgsl, writes,
};
use crate::kernels::wgsl_size;

static ROTATE: Kernel = Kernel {
    file: wgsl!("rotary/rotate"),
    pieces: &[&ELEMENTS],
    layouts: &[Parameters::LAYOUT],
};

/// Returns the kernel of the rotary embedding.
pub(crate) fn kernels() -> Vec<Specialized> {
    vec![ROTATE.plain()]
}

shared_struct! {
    struct Parameters as "Parameters" {
        pairs: u32,
        length: u32,
        heads: u32,
        half_size: u32,
        direction: f32,
    }
}

impl RotaryBackend for CubeBackend {
    fn rotate(x: CubeTensor, cosine: CubeTensor, sine: CubeTensor, direction: f32) -> CubeTensor {
        let [x, cosine, sine] = [x, cosine, sine].map(into_contiguous);
        let [_, length, heads, head_size] = x.shape().dims();
        let out = empty(&x, x.shape());
        let parameters = Parameters {
            pairs: wgsl_size(x.shape().num_elements() / 2),
            length: wgsl_size(length),
            heads: wgsl_size(heads),
            half_size: wgsl_size(head_size / 2),
            direction,
        };
        launch_elements(
            ROTATE.plain(),
            parameters.pairs,
            &[reads(&x), reads(&cosine), reads(&sine), writes(&out)],
            &parameters,
        );
        out
    }
}
