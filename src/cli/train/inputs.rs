//! What `minift train` reads: the model and the data sets.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::output::{Output, counted};
use super::super::trained::DataAndValidation;
use super::super::{samples, setup};
use super::arguments::TrainArguments;
use crate::device::Device;
use crate::error::Result;
use crate::model::CausalLm;
use crate::train::report::Setup;
use crate::train::{MemoryEstimate, TrainSettings, check_ranks};

/// The model and the data of a training, announced and checked.
pub(super) struct Inputs {
    pub model: CausalLm,
    pub sets: DataAndValidation,
    pub setup: Setup,
    /// Number of trained parameters.
    pub trainable: usize,
    /// Number of training steps.
    pub steps: usize,
    memory: MemoryEstimate,
}

impl Inputs {
    /// Reads the model and the data sets, and announces both.
    ///
    /// # Errors
    ///
    /// Those of unreadable files, and of settings that suit neither the model nor the data.
    pub(super) async fn read(
        arguments: &TrainArguments,
        settings: &TrainSettings,
        device: &Device,
        output: &Output,
    ) -> Result<Self> {
        let load = || arguments.model.model().announced(device, output);
        let (model, name) = device.ranks().in_turn(load)?;
        let model = model.with_save_type(arguments.save_type);
        let reading = arguments.text.reading(model.reader())?;
        let max_length = reading.preparation.max_length;
        // Fail before any text is read or generated if the settings do not fit the model.
        let trainable = settings.trainable_count(&model)?;
        let read = || samples::read(arguments, &model, &reading, output);
        let mut sets = device.ranks().in_turn(read)?;
        let of_general = reading.of_general();
        samples::add_general_text(&mut sets, arguments, settings, &model, &of_general, output)
            .await?;
        let (data, validation, setup) = sets.announce(&model, name, max_length, output);
        let data = Arc::new(data);
        if let Some(adapter) = &settings.adapter {
            output.text(format!(
                "Adapter  {}, {}",
                adapter.name(),
                counted(trainable, "trainable parameter")
            ));
        }
        let memory = MemoryEstimate::new(&model, &data, settings)?;
        setup::memory(&memory, &model, &data, settings, output)?;
        check_ranks(&model, &data, &validation, settings)?;
        Ok(Self {
            steps: settings.steps(data.train.len())?,
            sets: (data, validation),
            model,
            setup,
            trainable,
            memory,
        })
    }

    /// Returns the event of the start, after `steps_done` steps of an earlier process.
    pub(super) fn started(&self, settings: &TrainSettings, steps_done: usize) -> Value {
        let device = self.model.device();
        json!({
            "event": "started",
            "method": settings.objective.target.method(),
            "trainable_parameters": self.trainable,
            "settings": settings,
            "steps": self.steps,
            "steps_done": steps_done,
            "setup": self.setup,
            "memory": self.memory,
            "device": device.name(),
            "ranks": device.ranks().count(),
        })
    }
}
