//! The optimiser on devices that run WGSL.

use burn::backend::TensorMetadata;
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};
use burn::tensor::{DType, Shape};
use bytemuck::{Pod, Zeroable};

use super::AdamWStep;
use super::backend::{OptimizerBackend, partial_sums};
use crate::shader::{
    Kernel, WORKGROUP_SIZE, empty, launch, over_elements, reads, updates, uploaded, writes,
};

/// `struct Parameters` of `shaders/adamw.wgsl`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct AdamWParameters {
    elements: u32,
}

/// `struct Parameters` of `shaders/sums_of_squares.wgsl`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct SumParameters {
    elements: u32,
    at: u32,
}

/// `struct Parameters` of `shaders/step_figures.wgsl`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct FigureParameters {
    sums: u32,
    clip: f32,
}

fn elements(tensor: &CubeTensor) -> u32 {
    let elements = tensor.shape().num_elements();
    u32::try_from(elements).expect("a parameter has fewer than 2^32 elements")
}

/// The tensor with its elements in order, in memory that nobody else holds.
fn owned(tensor: CubeTensor) -> CubeTensor {
    let shared = !tensor.can_mut();
    let tensor = into_contiguous(tensor);
    if shared && !tensor.can_mut() {
        tensor.copy()
    } else {
        tensor
    }
}

impl OptimizerBackend for CubeBackend {
    fn adamw(
        parameter: CubeTensor,
        gradient: CubeTensor,
        first_moment: CubeTensor,
        second_moment: CubeTensor,
        figures: CubeTensor,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let [parameter, first, second] = [parameter, first_moment, second_moment].map(owned);
        let gradient = into_contiguous(gradient);
        let parameters = AdamWParameters {
            elements: elements(&parameter),
        };
        over_elements(
            Kernel::new("adamw"),
            parameters.elements,
            &[
                updates(&parameter),
                reads(&gradient),
                updates(&first),
                updates(&second),
                reads(&figures),
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
            Kernel::new("sums_of_squares"),
            WORKGROUP_SIZE,
            [workgroups as u32, 1, 1],
            &[reads(&tensor), writes(&sums)],
            &parameters,
        );
        sums
    }

    fn step_figures(sums: CubeTensor, loss: CubeTensor, clip: f32, step: AdamWStep) -> CubeTensor {
        let [sums, loss] = [sums, loss].map(into_contiguous);
        let of_step = uploaded(&sums, &[step], DType::F32);
        let figures = empty(&sums, Shape::new([6]));
        let parameters = FigureParameters {
            sums: elements(&sums),
            clip,
        };
        launch(
            Kernel::new("step_figures"),
            WORKGROUP_SIZE,
            [1, 1, 1],
            &[
                reads(&sums),
                reads(&loss),
                reads(&of_step),
                writes(&figures),
            ],
            &parameters,
        );
        figures
    }
}
