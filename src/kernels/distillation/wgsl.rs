//! The distillation kernels on devices that run WGSL.

use burn::backend::TensorMetadata;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};
use burn::tensor::Shape;

use super::backend::ObjectiveBackend;
use super::objective::Objective;
use super::target::Target;
use super::teacher::TeacherLogits;
use crate::kernels::launch::{
    Kernel, ONLINE_SOFTMAX, Specialized, WORKGROUP_SIZE, Wgsl, empty, has_subgroups, launch_rows,
    owned, reads, shared_struct, updates, wgsl, writes,
};

const ROW_OF_WORKGROUP: Wgsl = wgsl!("distillation/row_of_workgroup");
const TEACHER_ROW: Wgsl = wgsl!("distillation/teacher_row");
const CORRECTION: Wgsl = wgsl!("distillation/correction");
const ROWS_BY_BARRIERS: Wgsl = wgsl!("distillation/rows_by_barriers");
const ROWS_BY_SUBGROUPS: Wgsl = wgsl!("distillation/rows_by_subgroups");
const LOGITS_ONE_BY_ONE: Wgsl = wgsl!("distillation/logits_one_by_one");
const LOGITS_IN_QUADS: Wgsl = wgsl!("distillation/logits_in_quads");
const NO_ENTROPY: Wgsl = wgsl!("distillation/no_entropy");
const STUDENT_ENTROPY: Wgsl = wgsl!("distillation/student_entropy");

static LOSS: Kernel = Kernel {
    file: wgsl!("distillation/loss"),
    pieces: &[
        &ONLINE_SOFTMAX,
        &ROW_OF_WORKGROUP,
        &TEACHER_ROW,
        &CORRECTION,
    ],
    layouts: &[Parameters::LAYOUT],
};
static CORRECTED_TARGET: Kernel = Kernel {
    file: wgsl!("distillation/corrected_target"),
    pieces: &[
        &ONLINE_SOFTMAX,
        &ROW_OF_WORKGROUP,
        &TEACHER_ROW,
        &CORRECTION,
    ],
    layouts: &[Parameters::LAYOUT],
};

/// Returns the distillation kernels for every kind of rows.
pub(crate) fn kernels() -> Vec<Specialized> {
    let mut kernels = Vec::new();
    for reduction in [
        Reduction::Barriers,
        Reduction::Subgroups,
        Reduction::LargeWorkgroups,
    ] {
        for quads in [false, true] {
            let rows = Rows { reduction, quads };
            kernels.extend([rows.loss(false), rows.loss(true), rows.corrected_target()]);
        }
    }
    kernels
}

/// How a workgroup reduces a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reduction {
    /// Through workgroup memory, as every device can.
    Barriers,
    /// By subgroup operations.
    Subgroups,
    /// The same in workgroups of 1,024: fewer rows at once, so that a row is still in the caches when
    /// it is read again.
    LargeWorkgroups,
}

/// How workgroups work on rows of logits.
#[derive(Clone, Copy, Debug)]
struct Rows {
    reduction: Reduction,
    /// Whether the length of a row is a multiple of four.
    quads: bool,
}

/// Columns from which on a row is enough work for a large workgroup.
const LARGE_VOCAB: usize = 8192;
const LARGE_WORKGROUP: u32 = 1024;

impl Rows {
    /// Returns what suits logits \[rows, vocab_size\] on their device.
    fn of(logits: &CubeTensor) -> Self {
        let [_, vocab_size] = logits.shape().dims();
        let most = logits.client.properties().hardware.max_units_per_cube;
        let large = most >= LARGE_WORKGROUP && vocab_size >= LARGE_VOCAB;
        Self {
            reduction: match has_subgroups(logits) {
                false => Reduction::Barriers,
                true if large => Reduction::LargeWorkgroups,
                true => Reduction::Subgroups,
            },
            quads: vocab_size.is_multiple_of(4),
        }
    }

    fn workgroup_size(self) -> u32 {
        match self.reduction {
            Reduction::LargeWorkgroups => LARGE_WORKGROUP,
            _ => WORKGROUP_SIZE,
        }
    }

    /// Returns the loss, `by_entropy` with weights that depend on the student's entropy.
    fn loss(self, by_entropy: bool) -> Specialized {
        let pieces: &[&Wgsl] = match (self.reduction, self.quads, by_entropy) {
            (Reduction::Barriers, false, false) => {
                &[&ROWS_BY_BARRIERS, &LOGITS_ONE_BY_ONE, &NO_ENTROPY]
            }
            (Reduction::Barriers, true, false) => {
                &[&ROWS_BY_BARRIERS, &LOGITS_IN_QUADS, &NO_ENTROPY]
            }
            (Reduction::Barriers, false, true) => {
                &[&ROWS_BY_BARRIERS, &LOGITS_ONE_BY_ONE, &STUDENT_ENTROPY]
            }
            (Reduction::Barriers, true, true) => {
                &[&ROWS_BY_BARRIERS, &LOGITS_IN_QUADS, &STUDENT_ENTROPY]
            }
            (_, false, false) => &[&ROWS_BY_SUBGROUPS, &LOGITS_ONE_BY_ONE, &NO_ENTROPY],
            (_, true, false) => &[&ROWS_BY_SUBGROUPS, &LOGITS_IN_QUADS, &NO_ENTROPY],
            (_, false, true) => &[&ROWS_BY_SUBGROUPS, &LOGITS_ONE_BY_ONE, &STUDENT_ENTROPY],
            (_, true, true) => &[&ROWS_BY_SUBGROUPS, &LOGITS_IN_QUADS, &STUDENT_ENTROPY],
        };
        LOSS.specialized(("WORKGROUP_SIZE", self.workgroup_size()), pieces)
    }

    fn corrected_target(self) -> Specialized {
        let pieces: &[&Wgsl] = match self.reduction {
            Reduction::Barriers => &[&ROWS_BY_BARRIERS],
            _ => &[&ROWS_BY_SUBGROUPS],
        };
        CORRECTED_TARGET.specialized(("WORKGROUP_SIZE", self.workgroup_size()), pieces)
    }
}

shared_struct! {
    struct Parameters as "Parameters" {
        rows: u32,
        vocab_size: u32,
        one_hot: u32,
        rule: u32,
        strength: f32,
        inverse_temperature: f32,
        loss_scale: f32,
        gradient_scale: f32,
    }
}

impl Parameters {
    fn new(logits: &CubeTensor, objective: &Objective, gradient_scale: f32) -> Self {
        let [rows, vocab_size] = logits.shape().dims();
        let size =
            |n: usize| u32::try_from(n).expect("a tile has fewer than 2^32 rows and columns");
        Self {
            rows: size(rows),
            vocab_size: size(vocab_size),
            one_hot: u32::from(!objective.needs_teacher()),
            rule: objective.target.rule(),
            strength: objective.target.value(),
            inverse_temperature: 1.0 / objective.temperature,
            loss_scale: objective.temperature * objective.temperature,
            gradient_scale: gradient_scale * objective.temperature,
        }
    }
}

impl ObjectiveBackend for CubeBackend {
    fn corrected_target(
        teacher_logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        objective: Objective,
    ) -> FloatTensor<Self> {
        let teacher = into_contiguous(teacher_logits);
        let target = empty(&teacher, teacher.shape());
        let parameters = Parameters::new(&target, &objective, 1.0);
        let rows = Rows::of(&target);
        launch_rows(
            rows.corrected_target(),
            rows.workgroup_size(),
            parameters.rows,
            // Softmax and correction require the whole row before the first target is written.
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
        let student = owned(student_logits);
        let labels = into_contiguous(labels);
        let losses = empty(&student, labels.shape());
        // A one-hot target does not read the teacher, but every binding needs a buffer.
        let teacher = match teacher_logits {
            TeacherLogits::Logits(teacher) if objective.needs_teacher() => into_contiguous(teacher),
            _ => empty(&student, Shape::new([4])),
        };
        let parameters = Parameters::new(&student, &objective, gradient_scale);
        let rows = Rows::of(&student);
        let by_entropy = matches!(objective.target, Target::EntropyAdaptive { .. });
        // The gradient requires a row's softmax and correction, so both logits are read twice. The most likely
        // tokens are found in four passes and summed in another.
        let passes = if by_entropy { 7.0 } else { 2.0 };
        launch_rows(
            rows.loss(by_entropy),
            rows.workgroup_size(),
            parameters.rows,
            &[
                updates(&student).times(passes),
                reads(&teacher).times(2.0),
                reads(&labels),
                writes(&losses),
            ],
            &parameters,
        );
        (losses, student)
    }
}
