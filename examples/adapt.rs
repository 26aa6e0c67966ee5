//! Adapts a model folder to a text file and writes the adapted model:
//! `cargo run --release --example adapt -- MODEL_FOLDER TEXT_FILE OUT_FOLDER`

use std::path::Path;
use std::sync::Arc;

use minift::device::{Device, DeviceChoice};
use minift::files::FolderWriter;
use minift::model::CausalLm;
use minift::text::{Preparation, ReadOptions, Record, read_records};
use minift::train::{Event, Run, RunData, TrainSettings};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, text, out] = &arguments[..] else {
        return Err("usage: adapt MODEL_FOLDER TEXT_FILE OUT_FOLDER".into());
    };
    pollster::block_on(adapt(Path::new(folder), Path::new(text), Path::new(out)))?;
    Ok(())
}

async fn adapt(folder: &Path, text: &Path, out: &Path) -> minift::Result<()> {
    // Check the output folder and the text file before the slow steps.
    let writer = FolderWriter::new(out, false)?;
    let records = read_records(text, &ReadOptions::default())?.records;
    let device = Device::open(DeviceChoice::Auto).await?;
    let model = CausalLm::load(folder, &device)?;
    let length = model.config().decoder.max_length.min(256);
    let samples = |records: &[Record], origin: &str| {
        let preparation = Preparation::to_length(length);
        let found = model.reader().samples(records, &preparation, origin);
        found.map(|found| found.samples)
    };
    let (train, held_out) = records.split_at(records.len() - records.len().div_ceil(10));
    let tales: Vec<Record> = minift::demo::tales()?
        .into_iter()
        .map(Record::Text)
        .collect();
    let data = RunData {
        train: samples(train, "training texts")?,
        domain: samples(held_out, "held-out texts")?,
        general: samples(&tales, "general texts")?,
        ..RunData::default()
    };

    let mut run = Run::new(model, Arc::new(data), TrainSettings::default())?;
    while let Some(event) = run.next().await? {
        if let Event::Step {
            step, steps, loss, ..
        } = event
        {
            eprintln!("step {step} of {steps}: loss {loss:.3}");
        }
    }
    if let Some(outcome) = run.outcome() {
        println!(
            "domain perplexity {:.1} → {:.1}",
            outcome.before.domain, outcome.after.domain
        );
        println!(
            "general perplexity {:.1} → {:.1}",
            outcome.before.general, outcome.after.general
        );
    }
    run.trained_model().write(&writer, "").await?;
    writer.finish()
}
