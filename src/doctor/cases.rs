//! Random and extreme inputs of the loss, and its results from the CPU kernel, the device and tensor
//! operations.

use burn::tensor::{Int, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::device::{self, Device};
use crate::error::{Error, Result};
use crate::kernels::distillation::cpu::{self, MASKED};
use crate::kernels::distillation::{self, Objective, Scope, Target, reference};

/// Inputs of the loss: logits \[rows, vocab_size\] and one label per row.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub name: String,
    pub objective: Objective,
    pub vocab_size: usize,
    pub student: Vec<f32>,
    pub teacher: Vec<f32>,
    pub labels: Vec<i32>,
}

/// Outputs of the loss.
pub(super) struct Results {
    pub target: Vec<f32>,
    pub losses: Vec<f32>,
    pub gradient: Vec<f32>,
}

impl Case {
    fn rows(&self) -> usize {
        self.labels.len()
    }

    fn scale(&self) -> f32 {
        1.0 / self.rows() as f32
    }

    pub(super) fn on_cpu(&self) -> Results {
        let mut target = self.teacher.clone();
        cpu::corrected_target(&mut target, &self.labels, &self.objective);
        let mut gradient = self.student.clone();
        let mut losses = vec![0.0; self.rows()];
        let mut teacher = self.teacher.clone();
        cpu::loss_and_gradient(
            &mut gradient,
            &mut teacher,
            &self.labels,
            &self.objective,
            self.scale(),
            &mut losses,
        );
        Results {
            target,
            losses,
            gradient,
        }
    }

    fn logits(&self, logits: &[f32], device: &Device) -> Tensor<2> {
        let data = TensorData::new(logits.to_vec(), [self.rows(), self.vocab_size]);
        Tensor::from_data(data, device.tensors())
    }

    fn labels(&self, device: &Device) -> Tensor<1, Int> {
        Tensor::from_data(
            TensorData::new(self.labels.clone(), [self.rows()]),
            device.tensors(),
        )
    }

    pub(super) async fn on_device(&self, device: &Device) -> Result<Results> {
        let (teacher, labels) = (self.logits(&self.teacher, device), self.labels(device));
        let target =
            distillation::corrected_target(teacher.clone(), labels.clone(), &self.objective);
        let (losses, gradient) = distillation::loss_and_gradient(
            self.logits(&self.student, device),
            Some(teacher),
            labels,
            &self.objective,
            self.scale(),
        );
        Ok(Results {
            target: device::read(target).await?,
            losses: device::read(losses).await?,
            gradient: device::read(gradient).await?,
        })
    }

    pub(super) async fn in_tensor_operations(&self, device: &Device) -> Result<Results> {
        let (teacher, labels) = (self.logits(&self.teacher, device), self.labels(device));
        let counts = labels
            .clone()
            .greater_equal_elem(0)
            .float()
            .unsqueeze_dim::<2>(1);
        let target = reference::corrected_target(
            teacher.clone(),
            labels.clone().clamp_min(0),
            &self.objective,
        );
        // The kernels return the teacher's distribution for masked rows.
        let own =
            burn::tensor::activation::softmax(teacher.clone() / self.objective.temperature, 1);
        let target = target * counts.clone() + own * (-counts + 1.0);
        let student = self.logits(&self.student, device).autodiff().require_grad();
        let losses =
            reference::distillation_loss(student.clone(), teacher, labels, &self.objective);
        let gradients = (losses.clone().sum_dim(0) * self.scale()).backward();
        let gradient = student.grad(&gradients).ok_or_else(|| Error::Device {
            message: "autodiff returned no gradient".to_string(),
        })?;
        Ok(Results {
            target: device::read(target).await?,
            losses: device::read(losses.inner()).await?,
            gradient: device::read(gradient).await?,
        })
    }
}

/// Returns random and extreme inputs.
pub(super) fn cases() -> Vec<Case> {
    let mut random = ChaCha8Rng::seed_from_u64(20_250_615);
    let mft = Objective::minifinetuning;
    let warm = Objective {
        temperature: 2.0,
        ..mft(0.25)
    };
    let incorrect = Objective::from(Target::Corrected {
        tau: 0.25,
        scope: Scope::Incorrect,
    });
    let mut cases = vec![
        case("random, V = 2", mft(0.25), [37, 2], 3.0, &mut random),
        case(
            "random, V = 3, temperature 2",
            warm,
            [64, 3],
            3.0,
            &mut random,
        ),
        case(
            "random, V = 257, tau 0",
            mft(0.0),
            [33, 257],
            3.0,
            &mut random,
        ),
        case(
            "random, V = 1,000, finetuning",
            Objective::finetuning(),
            [65, 1000],
            3.0,
            &mut random,
        ),
        case(
            "random, V = 4,099, scope incorrect",
            incorrect,
            [17, 4099],
            3.0,
            &mut random,
        ),
        case(
            "random, V = 4,099, constant mixture",
            Objective::constant_mixture(0.3),
            [17, 4099],
            3.0,
            &mut random,
        ),
        case(
            "random, V = 4,099, selective token masking",
            Target::TokenMasking { threshold: 2e-4 }.into(),
            [17, 4099],
            3.0,
            &mut random,
        ),
        case(
            "random, V = 4,099, dynamic finetuning",
            Target::Dynamic.into(),
            [17, 4099],
            3.0,
            &mut random,
        ),
        case(
            "random, V = 4,099, anchored supervised finetuning",
            Target::Anchored { anchor: 0.1 }.into(),
            [17, 4099],
            3.0,
            &mut random,
        ),
        case(
            "random, V = 4,099, token-adaptive loss reweighting",
            Target::TokenAdaptive { gamma: 0.5 }.into(),
            [17, 4099],
            3.0,
            &mut random,
        ),
        case(
            "random, V = 32,000, entropy-adaptive finetuning",
            Target::EntropyAdaptive { gamma: 1.0 }.into(),
            [16, 32_000],
            6.0,
            &mut random,
        ),
        case(
            "random, V = 32,000",
            mft(0.25),
            [16, 32_000],
            3.0,
            &mut random,
        ),
        case(
            "random, V = 262,144",
            mft(0.25),
            [2, 262_144],
            3.0,
            &mut random,
        ),
        // More rows than a dispatch has workgroups in its first dimension.
        case(
            "random, 33,000 rows",
            mft(0.25),
            [33_000, 5],
            3.0,
            &mut random,
        ),
        case(
            "sharp: logits to ±100",
            mft(0.25),
            [64, 512],
            60.0,
            &mut random,
        ),
        case(
            "extreme: logits to ±10,000",
            mft(0.5),
            [64, 512],
            6000.0,
            &mut random,
        ),
    ];
    let mut shifted = case(
        "shifted: logits near 1,000",
        mft(0.25),
        [64, 512],
        3.0,
        &mut random,
    );
    for logit in shifted.student.iter_mut().chain(&mut shifted.teacher) {
        *logit = (*logit + 1000.0).round();
    }
    let mut flat = case(
        "flat: all logits equal",
        mft(0.25),
        [64, 1000],
        0.0,
        &mut random,
    );
    flat.labels[0] = 0;
    let mut certain = case(
        "certain: the teacher is confident",
        mft(0.25),
        [64, 512],
        3.0,
        &mut random,
    );
    for (row, &label) in certain.labels.clone().iter().enumerate() {
        let favored = if row % 2 == 0 {
            label as usize
        } else {
            511 - label as usize
        };
        certain.teacher[row * 512 + favored] = 80.0;
    }
    let mut masked = case(
        "masked: every third row",
        mft(0.25),
        [64, 1000],
        3.0,
        &mut random,
    );
    for label in masked.labels.iter_mut().step_by(3) {
        *label = MASKED;
    }
    cases.extend([shifted, flat, certain, masked]);
    cases
}

/// Returns a case with random logits within ±2 `spread` and random labels.
fn case(
    name: &str,
    objective: Objective,
    [rows, vocab_size]: [usize; 2],
    spread: f32,
    random: &mut ChaCha8Rng,
) -> Case {
    let mut logits = || -> Vec<f32> {
        let uniform = |random: &mut ChaCha8Rng| random.random_range(-1.0_f32..1.0);
        (0..rows * vocab_size)
            .map(|_| (uniform(random) + uniform(random)) * spread)
            .collect()
    };
    let (student, teacher) = (logits(), logits());
    let labels = (0..rows)
        .map(|_| random.random_range(0..vocab_size as i32))
        .collect();
    Case {
        name: name.to_string(),
        objective,
        vocab_size,
        student,
        teacher,
        labels,
    }
}
