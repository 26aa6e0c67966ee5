//! RMS norm on devices that run WGSL.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};
use burn::tensor::Shape;

use super::RmsNormBackend;
use crate::kernels::launch::{
    Kernel, LANES_OF_ROW, Specialized, WORKGROUP_SIZE, empty, launch_rows, reads, shared_struct,
    wgsl, writes,
};
use crate::kernels::wgsl_size;

static FORWARD: Kernel = Kernel {
    file: wgsl!("rms_norm/forward"),
    pieces: &[&LANES_OF_ROW],
    layouts: &[Parameters::LAYOUT],
};
static BACKWARD: Kernel = Kernel {
    file: wgsl!("rms_norm/backward"),
    pieces: &[&LANES_OF_ROW],
    layouts: &[Parameters::LAYOUT],
};

/// Returns the kernels of RMS norm.
pub(crate) fn kernels() -> Vec<Specialized> {
    vec![FORWARD.plain(), BACKWARD.plain()]
}

/// Rows per workgroup; the value of `ROWS` in the shaders.
const ROWS_PER_WORKGROUP: u32 = 4;
/// Rows per row of partial sums; the value of `ROWS_PER_GROUP` in the shaders.
const ROWS_PER_PARTIAL_SUM: u32 = 8;

shared_struct! {
    struct Parameters as "Parameters" {
        rows: u32,
        width: u32,
        epsilon: f32,
    }
}

impl Parameters {
    fn new(x: &CubeTensor, epsilon: f32) -> Self {
        let [rows, width] = x.shape().dims();
        Self {
            rows: wgsl_size(rows),
            width: wgsl_size(width),
            epsilon,
        }
    }
}

impl RmsNormBackend for CubeBackend {
    fn rms_norm(x: CubeTensor, weight: CubeTensor, epsilon: f32) -> CubeTensor {
        let (x, weight) = (into_contiguous(x), into_contiguous(weight));
        let out = empty(&x, x.shape());
        let parameters = Parameters::new(&x, epsilon);
        launch_rows(
            FORWARD.plain(),
            WORKGROUP_SIZE,
            parameters.rows.div_ceil(ROWS_PER_WORKGROUP),
            &[reads(&x).times(2.0), reads(&weight), writes(&out)],
            &parameters,
        );
        out
    }

    fn rms_norm_backward(
        x: CubeTensor,
        weight: CubeTensor,
        epsilon: f32,
        upstream: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        let [x, weight, upstream] = [x, weight, upstream].map(into_contiguous);
        let parameters = Parameters::new(&x, epsilon);
        let groups = parameters.rows.div_ceil(ROWS_PER_PARTIAL_SUM);
        let workgroups = groups.div_ceil(ROWS_PER_WORKGROUP);
        let [_, width] = x.shape().dims();
        let grad_x = empty(&x, x.shape());
        // Groups past the last row write zeros.
        let partial = empty(
            &x,
            Shape::new([(workgroups * ROWS_PER_WORKGROUP) as usize, width]),
        );
        launch_rows(
            BACKWARD.plain(),
            WORKGROUP_SIZE,
            workgroups,
            &[
                reads(&x).times(2.0),
                reads(&weight),
                reads(&upstream).times(2.0),
                writes(&grad_x),
                writes(&partial),
            ],
            &parameters,
        );
        let grad_weight = Self::float_reshape(Self::float_sum_dim(partial, 0), weight.shape());
        (grad_x, grad_weight)
    }
}
