//! Float16 storage on devices that run WGSL.

use burn::backend::TensorMetadata;
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};
use burn::tensor::{DType, Shape};

use super::backend::HalfBackend;
use crate::kernels::launch::{
    Bound, ELEMENTS, Kernel, Specialized, empty, launch_elements, reads, shared_struct, wgsl,
    writes,
};

static PACK: Kernel = Kernel {
    file: wgsl!("half/pack"),
    pieces: &[&ELEMENTS],
    layouts: &[Parameters::LAYOUT],
};
static UNPACK: Kernel = Kernel {
    file: wgsl!("half/unpack"),
    pieces: &[&ELEMENTS],
    layouts: &[Parameters::LAYOUT],
};

/// Returns the kernels of float16 storage.
pub(crate) fn kernels() -> Vec<Specialized> {
    vec![PACK.plain(), UNPACK.plain()]
}

shared_struct! {
    struct Parameters as "Parameters" {
        values: u32,
    }
}

/// Launches a kernel over pairs of values.
fn launch(kernel: &'static Kernel, values: usize, tensors: &[Bound<'_>]) {
    let values = u32::try_from(values).expect("a sample has fewer than 2^32 hidden values");
    let parameters = Parameters { values };
    launch_elements(kernel.plain(), values.div_ceil(2), tensors, &parameters);
}

impl HalfBackend for CubeBackend {
    fn pack(tensor: CubeTensor) -> CubeTensor {
        let tensor = into_contiguous(tensor);
        let values = tensor.shape().num_elements();
        let packed = CubeTensor {
            dtype: DType::I32,
            ..empty(&tensor, Shape::new([values.div_ceil(2)]))
        };
        launch(&PACK, values, &[reads(&tensor), writes(&packed)]);
        packed
    }

    fn unpack(packed: CubeTensor, rows: usize, columns: usize) -> CubeTensor {
        let tensor = empty(&packed, Shape::new([rows, columns]));
        launch(&UNPACK, rows * columns, &[reads(&packed), writes(&tensor)]);
        tensor
    }
}
