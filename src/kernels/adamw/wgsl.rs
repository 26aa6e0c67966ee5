//! AdamW on devices that run WGSL.

use burn::backend::TensorMetadata;
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};
use burn::tensor::{DType, Shape};

use super::backend::{AdamWBackend, partial_sums};
use super::{AdamWStep, StepStats};
use crate::kernels::launch::{
    ELEMENTS, FINITE, Kernel, Specialized, WORKGROUP_SIZE, Wgsl, empty, launch, launch_elements,
    owned, reads, shared_struct, updates, uploaded, wgsl, writes,
};

const STEP_STATS: Wgsl = wgsl!("adamw/step_stats");
const SUM_OF_WORKGROUP: Wgsl = wgsl!("adamw/sum_of_workgroup");

static STEP: Kernel = Kernel {
    file: wgsl!("adamw/step"),
    pieces: &[&ELEMENTS, &FINITE, &STEP_STATS],
    layouts: &[StepParameters::LAYOUT, StepStats::LAYOUT],
};
static SUMS_OF_SQUARES: Kernel = Kernel {
    file: wgsl!("adamw/sums_of_squares"),
    pieces: &[&ELEMENTS, &SUM_OF_WORKGROUP],
    layouts: &[SumParameters::LAYOUT],
};
static STATS: Kernel = Kernel {
    file: wgsl!("adamw/stats"),
    pieces: &[&FINITE, &STEP_STATS, &SUM_OF_WORKGROUP],
    layouts: &[
        StatsParameters::LAYOUT,
        AdamWStep::LAYOUT,
        StepStats::LAYOUT,
    ],
};

/// Returns the optimizer's kernels.
pub(crate) fn kernels() -> Vec<Specialized> {
    vec![STEP.plain(), SUMS_OF_SQUARES.plain(), STATS.plain()]
}

shared_struct! {
    struct StepParameters as "Parameters" {
        elements: u32,
    }
}

shared_struct! {
    struct SumParameters as "Parameters" {
        elements: u32,
        at: u32,
    }
}

shared_struct! {
    struct StatsParameters as "Parameters" {
        sums: u32,
        clip: f32,
    }
}

fn elements(tensor: &CubeTensor) -> u32 {
    let elements = tensor.shape().num_elements();
    u32::try_from(elements).expect("a parameter has fewer than 2^32 elements")
}

impl AdamWBackend for CubeBackend {
    fn adamw_step(
        parameter: CubeTensor,
        gradient: CubeTensor,
        first_moment: CubeTensor,
        second_moment: CubeTensor,
        stats: CubeTensor,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let [parameter, first, second] = [parameter, first_moment, second_moment].map(owned);
        let gradient = into_contiguous(gradient);
        let parameters = StepParameters {
            elements: elements(&parameter),
        };
        launch_elements(
            STEP.plain(),
            parameters.elements,
            &[
                updates(&parameter),
                reads(&gradient),
                updates(&first),
                updates(&second),
                reads(&stats),
            ],
            &parameters,
        );
        (parameter, first, second)
    }

    fn put_sums_of_squares(sums: CubeTensor, at: usize, tensor: CubeTensor) -> CubeTensor {
        let (sums, tensor) = (owned(sums), into_contiguous(tensor));
        let parameters = SumParameters {
            elements: elements(&tensor),
            at: u32::try_from(at).expect("there are fewer than 2^24 parameters"),
        };
        let workgroups = partial_sums(parameters.elements as usize);
        launch(
            SUMS_OF_SQUARES.plain(),
            WORKGROUP_SIZE,
            [workgroups as u32, 1, 1],
            &[reads(&tensor), writes(&sums)],
            &parameters,
        );
        sums
    }

    fn step_stats(sums: CubeTensor, loss: CubeTensor, clip: f32, step: AdamWStep) -> CubeTensor {
        let [sums, loss] = [sums, loss].map(into_contiguous);
        let step = uploaded(&sums, &[step], DType::F32);
        let stats = empty(&sums, Shape::new([StepStats::LEN]));
        let parameters = StatsParameters {
            sums: elements(&sums),
            clip,
        };
        launch(
            STATS.plain(),
            WORKGROUP_SIZE,
            [1, 1, 1],
            &[reads(&sums), reads(&loss), reads(&step), writes(&stats)],
            &parameters,
        );
        stats
    }
}
