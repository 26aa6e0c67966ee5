//! Devices that run WGSL: the kernels of `shaders/` launched on the buffers of burn's tensors.

use burn::backend::TensorMetadata;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};
use burn::tensor::Shape;
use bytemuck::{Pod, Zeroable};

use super::backend::{ObjectiveBackend, TeacherLogits};
use super::settings::{Objective, Scope};
use crate::shader::{
    Bound, Kernel, Rows, empty, has_subgroups, launch_rows, reads, updates, writes,
};

impl ObjectiveBackend for CubeBackend {
    fn corrected_target(
        teacher_logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        objective: Objective,
    ) -> FloatTensor<Self> {
        let teacher = into_contiguous(teacher_logits);
        let target = empty(&teacher, teacher.shape());
        let parameters = Parameters::new(&target, &objective, 1.0);
        launch(
            "corrected_target",
            Rows {
                quads: false,
                ..rows(&target)
            },
            // Softmax and correction know the whole row before the first target is written.
            &[
                reads(&teacher).times(2.0),
                reads(&into_contiguous(labels)),
                writes(&target),
            ],
            &parameters,
        );
        target
    }

    fn loss_and_gradient(
        student_logits: FloatTensor<Self>,
        teacher_logits: TeacherLogits<Self>,
        labels: IntTensor<Self>,
        objective: Objective,
        gradient_scale: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let shared = !student_logits.can_mut();
        let mut student = into_contiguous(student_logits);
        if shared && !student.can_mut() {
            student = student.copy();
        }
        let labels = into_contiguous(labels);
        let losses = empty(&student, labels.shape());
        // A one-hot target reads no teacher, but every binding needs a buffer.
        let teacher = match teacher_logits {
            TeacherLogits::Logits(teacher) if objective.needs_teacher() => into_contiguous(teacher),
            _ => empty(&student, Shape::new([4])),
        };
        let parameters = Parameters::new(&student, &objective, gradient_scale);
        launch(
            "distillation_loss",
            rows(&student),
            // A row's softmax and correction are known before its gradient is, so that both logits are
            // read twice.
            &[
                updates(&student).times(2.0),
                reads(&teacher).times(2.0),
                reads(&labels),
                writes(&losses),
            ],
            &parameters,
        );
        (losses, student)
    }
}

/// Columns from which on a row is enough work for a large workgroup.
const LARGE_VOCABULARY: usize = 8192;

/// `struct Parameters` of `shaders/correction.wgsl`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Parameters {
    tokens: u32,
    vocabulary: u32,
    one_hot: u32,
    correct_all: u32,
    tau: f32,
    inverse_temperature: f32,
    loss_scale: f32,
    gradient_scale: f32,
    constant_kept: f32,
}

impl Parameters {
    fn new(logits: &CubeTensor, objective: &Objective, gradient_scale: f32) -> Self {
        let [tokens, vocabulary] = logits.shape().dims();
        let size =
            |n: usize| u32::try_from(n).expect("a tile has fewer than 2^32 rows and columns");
        Self {
            tokens: size(tokens),
            vocabulary: size(vocabulary),
            one_hot: u32::from(!objective.needs_teacher()),
            correct_all: u32::from(objective.scope == Scope::All),
            tau: objective.tau,
            inverse_temperature: 1.0 / objective.temperature,
            loss_scale: objective.temperature * objective.temperature,
            gradient_scale: gradient_scale * objective.temperature,
            constant_kept: objective.alpha.map_or(-1.0, |alpha| 1.0 - alpha),
        }
    }
}

/// How workgroups work on the rows of logits.
fn rows(logits: &CubeTensor) -> Rows {
    let [_, vocabulary] = logits.shape().dims();
    let most = logits.client.properties().hardware.max_units_per_cube;
    let large = most >= Rows::LARGE.workgroup_size && vocabulary >= LARGE_VOCABULARY;
    let rows = match has_subgroups(logits) {
        false => Rows::BASELINE,
        true if large => Rows::LARGE,
        true => Rows::SUBGROUPS,
    };
    Rows {
        quads: vocabulary.is_multiple_of(4),
        ..rows
    }
}

fn launch(kernel: &'static str, rows: Rows, tensors: &[Bound<'_>], parameters: &Parameters) {
    launch_rows(
        Kernel::of_rows(kernel, rows),
        rows.workgroup_size,
        parameters.tokens,
        tensors,
        parameters,
    );
}
