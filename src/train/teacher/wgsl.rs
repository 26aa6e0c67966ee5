//! Float16 numbers on devices that run WGSL.

use burn::backend::TensorMetadata;
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};
use burn::tensor::{DType, Shape};
use bytemuck::{Pod, Zeroable};

use super::backend::HalvesBackend;
use crate::shader::{Bound, Kernel, empty, over_elements, reads, writes};

/// `struct Parameters` of `shaders/to_halves.wgsl` and `shaders/from_halves.wgsl`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Parameters {
    values: u32,
}

/// Runs a kernel over pairs of values.
fn launch(kernel: &'static str, values: usize, tensors: &[Bound<'_>]) {
    let values = u32::try_from(values).expect("a sample's states are fewer than 2^32");
    let kernel = Kernel::new(kernel);
    over_elements(kernel, values.div_ceil(2), tensors, &Parameters { values });
}

impl HalvesBackend for CubeBackend {
    fn to_halves(tensor: CubeTensor) -> CubeTensor {
        let tensor = into_contiguous(tensor);
        let values = tensor.shape().num_elements();
        let halves = CubeTensor {
            dtype: DType::I32,
            ..empty(&tensor, Shape::new([values.div_ceil(2)]))
        };
        launch("to_halves", values, &[reads(&tensor), writes(&halves)]);
        halves
    }

    fn from_halves(halves: CubeTensor, rows: usize, columns: usize) -> CubeTensor {
        let tensor = empty(&halves, Shape::new([rows, columns]));
        launch(
            "from_halves",
            rows * columns,
            &[reads(&halves), writes(&tensor)],
        );
        tensor
    }
}
