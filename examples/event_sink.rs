//! An event sink that writes the metrics of a run as CSV, for a spreadsheet or pandas:
//! `cargo run --release --example event_sink > metrics.csv`

use std::io::{self, Write, stdout};
use std::sync::Arc;

use minift::demo;
use minift::device::{Device, DeviceChoice};
use minift::model::CausalLm;
use minift::text::{Preparation, Sample};
use minift::train::{Cancel, Event, Run, RunData, TrainSettings, drive};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sink = CsvSink::new(stdout().lock())?;
    let mut written = Ok(());
    pollster::block_on(async {
        let mut run = new_run().await?;
        let cancel = Cancel::default();
        drive(&mut run, None, &cancel, |event| {
            written = sink.record(event);
            if written.is_err() {
                cancel.cancel(); // for example, a closed pipe
            }
        })
        .await
    })?;
    Ok(written?)
}

/// One row per step or evaluation; columns that do not apply are empty.
struct CsvSink<W> {
    out: W,
}

impl<W: Write> CsvSink<W> {
    fn new(mut out: W) -> io::Result<Self> {
        writeln!(
            out,
            "step,loss,gradient_norm,learning_rate,domain_perplexity,general_perplexity"
        )?;
        Ok(Self { out })
    }

    fn record(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Step {
                step,
                loss,
                gradient_norm,
                learning_rate,
                ..
            } => writeln!(self.out, "{step},{loss},{gradient_norm},{learning_rate},,"),
            Event::Evaluated {
                step, perplexities, ..
            } => {
                let (domain, general) = (perplexities.domain, perplexities.general);
                writeln!(self.out, "{step},,,,{domain},{general}")
            }
            _ => Ok(()),
        }
    }
}

async fn new_run() -> minift::Result<Run> {
    let device = Device::open(DeviceChoice::Auto).await?;
    let model = CausalLm::embedded(&device)?;
    let samples = |texts: &[String], origin: &str| -> minift::Result<Vec<Sample>> {
        Ok(model
            .reader()
            .samples_of_texts(texts, &Preparation::to_length(64), origin)?
            .samples)
    };
    let (tickets, tales) = (demo::tickets()?, demo::tales()?);
    let data = RunData {
        train: samples(&tickets[..64], "training tickets")?,
        domain: samples(&tickets[demo::TRAIN_TICKETS..][..16], "held-out tickets")?,
        general: samples(&tales[..16], "tales")?,
        ..RunData::default()
    };
    let settings = TrainSettings::default().with_evaluate_every(8);
    Run::new(model, Arc::new(data), settings)
}
