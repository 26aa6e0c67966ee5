//! A custom training loop over [`Trainer`], with its own batches, learning-rate schedule and early stopping
//! on the held-out perplexity: `cargo run --release --example custom_loop`

use minift::demo;
use minift::device::{Device, DeviceChoice};
use minift::eval::evaluate;
use minift::model::{Batch, CausalLm, epoch_batches};
use minift::text::{Preparation, Sample};
use minift::train::{Schedule, TrainSettings, Trainer};

fn main() -> minift::Result<()> {
    let trained = pollster::block_on(train())?;
    println!("trained {} parameters", trained.trainable_count());
    Ok(())
}

/// Trains the embedded model until the held-out perplexity stops improving, and returns the best model.
async fn train() -> minift::Result<CausalLm> {
    let device = Device::open(DeviceChoice::Auto).await?;
    let model = CausalLm::embedded(&device)?;
    let tickets = demo::tickets()?;
    let train = tokenize(&model, &tickets[..64])?;
    let held_out = tokenize(&model, &tickets[demo::TRAIN_TICKETS..][..16])?;

    const EPOCHS: usize = 8;
    let settings = TrainSettings::default()
        .with_epochs(EPOCHS as f64)
        .with_schedule(Schedule::Cosine);
    let (batch_size, seed) = (settings.batch_size, settings.seed);
    let steps = settings.steps(train.len())?;
    let mut trainer = Trainer::new(model, settings)?;

    let mut best = (f64::INFINITY, trainer.model());
    let mut step = 0;
    for epoch in 0..EPOCHS {
        let mut loss = 0.0;
        let batches = epoch_batches(&train, train.len(), 0, batch_size, seed, epoch);
        for samples in &batches {
            let batch = Batch::new(&train, samples.clone());
            let learning_rate = trainer.settings().learning_rate_at(step, steps);
            let measured = trainer.step(&[batch], learning_rate).await?;
            // A step with a non-finite loss leaves the parameters unchanged.
            if !measured.is_finite() {
                eprintln!("step {step}: loss {}, skipped", measured.loss);
            }
            loss += measured.loss;
            step += 1;
        }

        let model = trainer.model();
        let perplexity = evaluate(&model, &held_out, batch_size).await?.perplexity;
        println!(
            "epoch {}: loss {:.3}, held-out perplexity {perplexity:.2}",
            epoch + 1,
            loss / batches.len() as f32
        );
        if perplexity > best.0 {
            println!("no improvement: stopping early");
            break;
        }
        best = (perplexity, model);
    }
    Ok(best.1)
}

fn tokenize(model: &CausalLm, texts: &[String]) -> minift::Result<Vec<Sample>> {
    Ok(model
        .reader()
        .samples_of_texts(texts, &Preparation::to_length(64), "tickets")?
        .samples)
}
