//! What has to be the same on every rank before a training starts.

use super::checkpoint::{fingerprint, hash_samples};
use super::data::RunData;
use super::run::Run;
use super::settings::TrainSettings;
use crate::device::ranks::Ranks;
use crate::error::{Error, Result};
use crate::model::CausalLm;
use crate::text::Sample;

/// Checks that every rank has the same program, settings, model and samples, by their hashes.
///
/// # Errors
///
/// [`Error::Rank`] for the first rank that differs from rank 0, the same on every rank.
pub(crate) fn check_ranks(
    model: &CausalLm,
    data: &RunData,
    validation: &[Sample],
    settings: &TrainSettings,
) -> Result<()> {
    let ranks = model.device().ranks();
    if ranks.is_single() {
        return Ok(());
    }
    let samples = |(name, list)| {
        let mut hasher = crc32fast::Hasher::new();
        hash_samples(&mut hasher, list);
        (name, hasher.finalize())
    };
    let settings = serde_json::to_vec(settings).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    let weights = fingerprint(model, &RunData::default());
    let mut parts = vec![
        ("version of minift", crc32fast::hash(version)),
        ("settings", crc32fast::hash(&settings)),
        ("model", crc32fast::hash(weights.as_bytes())),
    ];
    parts.extend(data.sets().map(samples));
    parts.push(samples(("validation data", validation)));
    check(ranks, &parts)
}

impl Run {
    /// Checks that every rank resumed from the same state.
    ///
    /// # Errors
    ///
    /// As [`check_ranks`].
    pub(crate) fn check_resumed(&self) -> Result<()> {
        let losses = bytemuck::cast_slice(self.losses());
        let step = (self.steps_done() as u64).to_le_bytes();
        let parts = [
            ("step", crc32fast::hash(&step)),
            ("checkpoint", crc32fast::hash(losses)),
        ];
        check(self.device().ranks(), &parts)
    }
}

/// Compares hashes over the ranks.
fn check(ranks: &Ranks, parts: &[(&'static str, u32)]) -> Result<()> {
    let hashes: Vec<f64> = parts.iter().map(|&(_, hash)| f64::from(hash)).collect();
    let all = ranks.gather(&hashes)?;
    for (rank, found) in all.iter().enumerate() {
        let differs = |place: &usize| found[*place] != all[0][*place];
        if let Some(place) = (0..parts.len()).find(differs) {
            return Err(Error::Rank {
                rank,
                host: ranks.host(rank).to_string(),
                message: format!(
                    "has different {} than rank 0 on {}: give every rank the same arguments and files",
                    parts[place].0,
                    ranks.host(0)
                ),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use pollster::block_on;

    use super::*;
    use crate::demo;
    use crate::device::Device;
    use crate::device::ranks::{threads, threads_with_phases};
    use crate::kernels::distillation::Objective;
    use crate::kernels::profile::{self, Phase};
    use crate::model::adapter::{AdapterSettings, LoraSettings};
    use crate::text::Preparation;
    use crate::train::flow::SampleWeights;

    fn data(model: &CausalLm) -> RunData {
        let samples = |texts: &[String]| {
            let preparation = Preparation::to_length(24);
            let read = model.reader().samples_of_texts(texts, &preparation, "test");
            read.unwrap().samples
        };
        let (tickets, tales) = (demo::tickets().unwrap(), demo::tales().unwrap());
        RunData {
            train: samples(&tickets[..7]),
            domain: samples(&tickets[500..503]),
            general: samples(&tales[..5]),
            replay: samples(&tales[5..8]),
            consolidation: samples(&tales[8..13]),
        }
    }

    /// Trains to the end. Returns losses, perplexities, and the tokens whose teacher hidden states were computed.
    fn train(ranks: Ranks, settings: TrainSettings) -> (Vec<f32>, Vec<f64>, usize) {
        let device = Device::cpu().with_ranks(ranks);
        let model = CausalLm::embedded(&device).unwrap();
        let data = data(&model);
        check_ranks(&model, &data, &[], &settings).unwrap();
        let mut run = Run::new(model, Arc::new(data), settings).unwrap();
        while block_on(run.next()).unwrap().is_some() {}
        let evaluations = run.evaluations().iter();
        let perplexities = evaluations.flat_map(|found| {
            let kl = found.kl_divergence.unwrap_or(0.0);
            [found.perplexities.domain, found.perplexities.general, kl]
        });
        let computed = run.teacher_cache().map_or(0, |cache| cache.computed_tokens);
        (run.losses().to_vec(), perplexities.collect(), computed)
    }

    #[test]
    fn ranks_train_as_one_process_does() {
        let lora = LoraSettings {
            dropout: 0.2,
            ..LoraSettings::default()
        };
        let base = TrainSettings::default()
            .with_batch_size(3)
            .with_max_steps(Some(6))
            .with_warmup_steps(2)
            .with_ewc(0.5)
            .with_replay_ratio(0.3);
        let cases = [
            base.clone().with_gradient_accumulation(2),
            base.clone()
                .with_adapter(Some(AdapterSettings::Lora(lora)))
                .with_evaluate_every(3),
            base.with_objective(Objective::finetuning())
                .with_sample_weights(SampleWeights::Flow)
                .with_gradient_checkpointing(true),
        ];
        for settings in cases {
            let (losses, perplexities, computed) = train(Ranks::default(), settings.clone());
            let of_rank = |ranks| {
                let settings = settings.clone();
                thread::spawn(move || train(ranks, settings))
            };
            let jobs: Vec<_> = threads(3).into_iter().map(of_rank).collect();
            let found: Vec<_> = jobs.into_iter().map(|job| job.join().unwrap()).collect();
            for of_rank in &found {
                assert_eq!((&of_rank.0, &of_rank.1), (&found[0].0, &found[0].1));
                for (found, expected) in of_rank.0.iter().zip(&losses) {
                    assert!((found / expected - 1.0).abs() < 1e-5, "{found}, {expected}");
                }
                for (found, expected) in of_rank.1.iter().zip(&perplexities) {
                    assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0));
                }
            }
            assert_eq!(found.iter().map(|found| found.2).sum::<usize>(), computed);
        }
    }

    /// Most sums begin while the gradients of earlier layers are not computed yet, also of a step's last batch only.
    #[test]
    fn gradients_are_sent_during_the_backward_pass() {
        let settings = TrainSettings::default()
            .with_batch_size(2)
            .with_gradient_accumulation(2)
            .with_max_steps(Some(1))
            .with_warmup_steps(0);
        let jobs: Vec<_> = threads_with_phases(2)
            .into_iter()
            .map(|(ranks, phases)| {
                let settings = settings.clone();
                thread::spawn(move || {
                    profile::begin();
                    train(ranks, settings);
                    profile::end();
                    let phases = phases.lock().unwrap();
                    let during = phases
                        .iter()
                        .filter(|&&phase| phase == Some(Phase::Backward));
                    (during.count(), phases.len())
                })
            })
            .collect();
        for job in jobs {
            let (during, all) = job.join().unwrap();
            assert!(during > all / 2, "{during} of {all}");
        }
    }

    #[test]
    fn different_data_on_a_rank_is_named() {
        let check = |ranks: Ranks| {
            let rank = ranks.rank();
            let model = CausalLm::embedded(&Device::cpu().with_ranks(ranks)).unwrap();
            let mut data = data(&model);
            if rank == 1 {
                data.general.pop();
            }
            check_ranks(&model, &data, &[], &TrainSettings::default())
        };
        let jobs: Vec<_> = threads(2)
            .into_iter()
            .map(|ranks| thread::spawn(move || check(ranks).unwrap_err().to_string()))
            .collect();
        for job in jobs {
            let message = job.join().unwrap();
            assert!(
                message.contains("rank 1 on here has different general data"),
                "{message}"
            );
        }
    }
}
