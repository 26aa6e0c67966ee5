//! Short convolutions on devices that run WGSL.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};
use burn::tensor::{DType, Shape};

use super::{ShortConv, ShortConvBackend};
use crate::kernels::launch::{
    ELEMENTS, Kernel, SIGMOID, Specialized, Wgsl, empty, launch_elements, reads, shared_struct,
    uploaded, wgsl, writes,
};
use crate::kernels::wgsl_size;

const REACH: Wgsl = wgsl!("short_conv/reach");
const SUM: Wgsl = wgsl!("short_conv/sum");

static FORWARD: Kernel = Kernel {
    file: wgsl!("short_conv/forward"),
    pieces: &[&ELEMENTS, &SIGMOID, &REACH, &SUM],
    layouts: &[Parameters::LAYOUT],
};
static SUM_GRADIENT: Kernel = Kernel {
    file: wgsl!("short_conv/sum_gradient"),
    pieces: &[&ELEMENTS, &SIGMOID, &REACH, &SUM],
    layouts: &[Parameters::LAYOUT],
};
static INPUT_GRADIENT: Kernel = Kernel {
    file: wgsl!("short_conv/input_gradient"),
    pieces: &[&ELEMENTS, &REACH],
    layouts: &[Parameters::LAYOUT],
};
static WEIGHT_GRADIENT: Kernel = Kernel {
    file: wgsl!("short_conv/weight_gradient"),
    pieces: &[&ELEMENTS, &REACH],
    layouts: &[Parameters::LAYOUT],
};

/// Returns the kernels of short convolutions.
pub(crate) fn kernels() -> Vec<Specialized> {
    let kernels = [&FORWARD, &SUM_GRADIENT, &INPUT_GRADIENT, &WEIGHT_GRADIENT];
    kernels.into_iter().map(Kernel::plain).collect()
}

/// Rows per partial sum; the value of `ROWS_PER_GROUP` in the shader.
const ROWS_PER_GROUP: usize = 64;

shared_struct! {
    struct Parameters as "Parameters" {
        elements: u32,
        length: u32,
        channels: u32,
        taps: u32,
        packed: u32,
        silu: u32,
    }
}

impl Parameters {
    fn new(x: &CubeTensor, weight: &CubeTensor, conv: &ShortConv) -> Self {
        let [_, length, channels] = x.shape().dims();
        let [_, taps] = weight.shape().dims();
        Self {
            elements: wgsl_size(x.shape().num_elements()),
            length: wgsl_size(length),
            channels: wgsl_size(channels),
            taps: wgsl_size(taps),
            packed: u32::from(conv.segment_starts.is_some()),
            silu: u32::from(conv.silu),
        }
    }
}

/// Returns the segment starts as the kernels bind them.
fn segment_starts(like: &CubeTensor, conv: &ShortConv) -> CubeTensor {
    match &conv.segment_starts {
        // Every binding needs a buffer.
        None => empty(like, Shape::new([1])),
        Some(starts) => {
            let starts: Vec<i32> = starts.iter().map(|&start| start as i32).collect();
            uploaded(like, &starts, DType::I32)
        }
    }
}

impl ShortConvBackend for CubeBackend {
    fn short_conv(
        x: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        conv: ShortConv,
    ) -> CubeTensor {
        let [x, weight, bias] = [x, weight, bias].map(into_contiguous);
        let parameters = Parameters::new(&x, &weight, &conv);
        let out = empty(&x, x.shape());
        launch_elements(
            FORWARD.plain(),
            parameters.elements,
            &[
                reads(&x).times(f64::from(parameters.taps)),
                reads(&weight),
                reads(&bias),
                reads(&segment_starts(&x, &conv)),
                writes(&out),
            ],
            &parameters,
        );
        out
    }

    fn short_conv_backward(
        x: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        conv: ShortConv,
        upstream: CubeTensor,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let [x, weight, bias, upstream] = [x, weight, bias, upstream].map(into_contiguous);
        let parameters = Parameters::new(&x, &weight, &conv);
        let starts = segment_starts(&x, &conv);
        let taps = f64::from(parameters.taps);
        let grad_sum = if conv.silu {
            let grad_sum = empty(&x, x.shape());
            launch_elements(
                SUM_GRADIENT.plain(),
                parameters.elements,
                &[
                    reads(&x).times(taps),
                    reads(&weight),
                    reads(&bias),
                    reads(&starts),
                    reads(&upstream),
                    writes(&grad_sum),
                ],
                &parameters,
            );
            grad_sum
        } else {
            upstream
        };
        let grad_x = empty(&x, x.shape());
        launch_elements(
            INPUT_GRADIENT.plain(),
            parameters.elements,
            &[
                reads(&weight),
                reads(&starts),
                reads(&grad_sum).times(taps),
                writes(&grad_x),
            ],
            &parameters,
        );
        let [batch, length, channels] = x.shape().dims();
        let [_, taps] = weight.shape().dims();
        let groups = (batch * length).div_ceil(ROWS_PER_GROUP);
        let partial = empty(&x, Shape::new([groups, (taps + 1) * channels]));
        launch_elements(
            WEIGHT_GRADIENT.plain(),
            wgsl_size(partial.shape().num_elements()),
            &[
                reads(&x).times(taps as f64),
                reads(&starts),
                reads(&grad_sum).times(taps as f64 + 1.0),
                writes(&partial),
            ],
            &parameters,
        );
        let sums = Self::float_sum_dim(partial, 0);
        let sums = Self::float_reshape(sums, Shape::new([taps + 1, channels]));
        let part = |first: usize, count: usize| {
            let rows = (first..first + count).into();
            Self::float_slice(sums.clone(), &[rows, (0..channels).into()])
        };
        let grad_weight = into_contiguous(Self::float_transpose(part(0, taps)));
        (grad_x, grad_weight, part(taps, 1))
    }
}
