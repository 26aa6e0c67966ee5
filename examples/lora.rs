//! Trains a LoRA adapter on the embedded tickets, saves it in PEFT's format, loads it and generates with
//! it: `cargo run --release --example lora`

use std::path::PathBuf;
use std::sync::Arc;

use minift::demo;
use minift::device::{Device, DeviceChoice};
use minift::files::FolderWriter;
use minift::model::adapter::{AdapterSettings, LoraSettings};
use minift::model::{CausalLm, Sampling};
use minift::text::{Preparation, Sample};
use minift::train::{Event, Run, RunData, TrainSettings};

fn main() -> minift::Result<()> {
    pollster::block_on(async {
        let device = Device::open(DeviceChoice::Auto).await?;
        let model = CausalLm::embedded(&device)?;
        let folder = train(&model).await?;

        let adapted = model.load_adapter(&folder)?;
        for (title, model) in [("original", &model), ("adapted", &adapted)] {
            let prompt = demo::DOMAIN_PROMPT;
            let text = model
                .generate(prompt, 32, &Sampling::default(), |_| {})
                .await?;
            println!("\n{title}: {prompt}{text}");
        }
        Ok(())
    })
}

/// Trains an adapter, saves it and returns its folder.
async fn train(model: &CausalLm) -> minift::Result<PathBuf> {
    let lora = AdapterSettings::Lora(LoraSettings {
        rank: 8,
        alpha: 16.0,
        ..LoraSettings::default()
    });
    let settings = TrainSettings::default()
        .with_learning_rate(lora.learning_rate())
        .with_adapter(Some(lora));
    println!(
        "training {} of {} parameters",
        settings.trainable_count(model)?,
        model.parameter_count()
    );

    let mut run = Run::new(model.clone(), Arc::new(data(model)?), settings)?;
    while let Some(event) = run.next().await? {
        if let Event::Evaluated { perplexities, .. } = event {
            println!(
                "domain perplexity {:.2}, general perplexity {:.2}",
                perplexities.domain, perplexities.general
            );
        }
    }

    let folder = std::env::temp_dir().join("minift-lora");
    let writer = FolderWriter::new(&folder, true)?;
    run.trained_model().write(&writer, "").await?; // only the adapter
    writer.finish()?;
    println!("saved to {}", folder.display());
    Ok(folder)
}

fn data(model: &CausalLm) -> minift::Result<RunData> {
    let samples = |texts: &[String], origin: &str| -> minift::Result<Vec<Sample>> {
        Ok(model
            .reader()
            .samples_of_texts(texts, &Preparation::to_length(64), origin)?
            .samples)
    };
    let (tickets, tales) = (demo::tickets()?, demo::tales()?);
    Ok(RunData {
        train: samples(&tickets[..192], "training tickets")?,
        domain: samples(&tickets[demo::TRAIN_TICKETS..][..16], "held-out tickets")?,
        general: samples(&tales[..16], "tales")?,
        ..RunData::default()
    })
}
