//! The setters of the training settings.

use super::flow::SampleWeights;
use super::schedule::Schedule;
use super::settings::TrainSettings;
use super::teacher::KeptStates;
use crate::kernels::distillation::Objective;
use crate::model::DialProfile;
use crate::model::adapter::AdapterSettings;

/// Declares a setter for each field.
macro_rules! setters {
    ($($setter:ident: $field:ident: $type:ty,)*) => {
        impl TrainSettings {
            $(
                #[doc = concat!("Returns the settings with another [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub fn $setter(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}

setters! {
    with_objective: objective: Objective,
    with_adapter: adapter: Option<AdapterSettings>,
    with_sample_weights: sample_weights: SampleWeights,
    with_replay_ratio: replay_ratio: f64,
    with_ewc: ewc: f64,
    with_epochs: epochs: f64,
    with_max_steps: max_steps: Option<usize>,
    with_batch_size: batch_size: usize,
    with_gradient_accumulation: gradient_accumulation: usize,
    with_gradient_checkpointing: gradient_checkpointing: bool,
    with_learning_rate: learning_rate: f64,
    with_warmup_steps: warmup_steps: usize,
    with_schedule: schedule: Schedule,
    with_weight_decay: weight_decay: f64,
    with_gradient_clip: gradient_clip: f64,
    with_seed: seed: u64,
    with_evaluate_every: evaluate_every: usize,
    with_tile_bytes: tile_bytes: usize,
    with_teacher_cache_bytes: teacher_cache_bytes: usize,
    with_teacher_host_bytes: teacher_host_bytes: usize,
    with_teacher_states: teacher_states: KeptStates,
    with_dial: dial: Option<DialProfile>,
}
