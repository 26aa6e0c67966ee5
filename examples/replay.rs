//! Minifinetuning with and without 25 % replay of general text, and how much each forgets:
//! `cargo run --release --example replay`

use std::sync::Arc;

use minift::Objective;
use minift::demo;
use minift::device::{Device, DeviceChoice};
use minift::model::CausalLm;
use minift::text::{Preparation, Sample};
use minift::train::{Outcome, Run, RunData, TrainSettings};

fn main() -> minift::Result<()> {
    pollster::block_on(async {
        let device = Device::open(DeviceChoice::Auto).await?;
        let model = CausalLm::embedded(&device)?;
        let data = Arc::new(data(&model)?);
        for replay_ratio in [0.0, 0.25] {
            let settings = TrainSettings::default()
                .with_objective(Objective::minifinetuning(0.25))
                .with_replay_ratio(replay_ratio);
            let outcome = train(&model, &data, settings).await?;
            println!(
                "replay {:>2.0} %: domain perplexity {:.2} -> {:.2}, general {:.2} -> {:.2}, S/DG {}",
                replay_ratio * 100.0,
                outcome.before.domain,
                outcome.after.domain,
                outcome.before.general,
                outcome.after.general,
                outcome.metrics.ratio_in_words()
            );
        }
        Ok(())
    })
}

async fn train(
    model: &CausalLm,
    data: &Arc<RunData>,
    settings: TrainSettings,
) -> minift::Result<Outcome> {
    let mut run = Run::new(model.clone(), data.clone(), settings)?;
    while run.next().await?.is_some() {}
    Ok(run.outcome().expect("the run is finished"))
}

/// Replayed and evaluated tales are disjoint: replay must not train on the evaluation set.
fn data(model: &CausalLm) -> minift::Result<RunData> {
    let samples = |texts: &[String], origin: &str| -> minift::Result<Vec<Sample>> {
        Ok(model
            .reader()
            .samples_of_texts(texts, &Preparation::to_length(64), origin)?
            .samples)
    };
    let (tickets, tales) = (demo::tickets()?, demo::tales()?);
    Ok(RunData {
        train: samples(&tickets[..64], "training tickets")?,
        domain: samples(&tickets[demo::TRAIN_TICKETS..][..16], "held-out tickets")?,
        general: samples(&tales[..16], "held-out tales")?,
        replay: samples(&tales[16..80], "replayed tales")?,
        ..RunData::default()
    })
}
