//! `minift compare`: methods, each over its own strength, by a recipe.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::args::CompareArguments;
use super::inputs::{ModelArguments, Reading};
use super::output::{Output, thousands};
use super::setup::{self, Set};
use super::{Ended, summary};
use crate::compare::{
    Cell, Identity, Plan, Recipe, Record, Results, Source, Texts, report_html, write_csv,
};
use crate::data::Sample;
use crate::demo;
use crate::device::{Device, DeviceChoice};
use crate::error::{Error, Result};
use crate::eval::Perplexities;
use crate::files::write_file;
use crate::model::CausalLm;
use crate::train::{Cancel, Ending, Run, drive, fingerprints};

/// Texts that the model writes for replay.
const WRITTEN_TEXTS: usize = 256;

/// A comparison under way.
struct Comparison<'a> {
    out: &'a Path,
    recipe: Recipe,
    plan: Plan,
    results: Results,
    model: CausalLm,
    model_name: String,
    device: Device,
    texts: Vec<Texts>,
    /// What makes each training of the plan the same as another.
    identities: Vec<Identity>,
    /// Of the untouched model, a domain each, once they are known.
    before: Vec<Option<Perplexities>>,
}

/// How a training of a comparison ended.
enum Trained {
    Finished(Box<Record>),
    /// Loss or perplexity is no longer a number.
    Diverged,
    Cancelled,
}

pub async fn run(
    arguments: &CompareArguments,
    device: DeviceChoice,
    output: &Output,
    cancel: &Cancel,
) -> Result<Ended> {
    let (recipe, path) = match &arguments.recipe {
        Some(path) => (Recipe::read(path)?, path.clone()),
        None => (Recipe::embedded()?, PathBuf::from("recipes/embedded.toml")),
    };
    let plan = Plan::new(&recipe, recipe.methods(&path)?)?;
    let results = Results::open(&arguments.out)?;
    let device = setup::device(device, output).await?;
    let model = ModelArguments {
        model: match &recipe.model {
            Source::Path(folder) => Some(folder.clone()),
            Source::Embedded | Source::Model => None,
        },
        revision: None,
    };
    let (model, model_name) = model.announced(&device, output)?;
    // What does not fit the model is better known before the first training than after hours.
    for method in &plan.methods {
        let count = method.settings.trainable_count(&model);
        count.map_err(|error| Error::Recipe {
            path: path.clone(),
            message: format!("method {:?}: {error}", method.name),
        })?;
    }
    let texts = texts(&recipe, &plan, &model, output).await?;
    // So are budgets beyond the data.
    let fingerprint = fingerprints(&model);
    let identities = plan.cells.iter().map(|cell| {
        let data = cell.data(&texts[cell.domain])?;
        Ok(Identity::new(cell, fingerprint(&data)))
    });
    let mut comparison = Comparison {
        identities: identities.collect::<Result<_>>()?,
        out: &arguments.out,
        before: vec![None; texts.len()],
        recipe,
        plan,
        results,
        model,
        model_name,
        device,
        texts,
    };
    let ended = comparison.run(output, cancel).await?;
    comparison.conclude(output)?;
    Ok(ended)
}

impl Comparison<'_> {
    /// Runs every training that is not done yet.
    async fn run(&mut self, output: &Output, cancel: &Cancel) -> Result<Ended> {
        let cells = self.plan.cells.clone();
        let is_open =
            |&(number, _): &(usize, &Cell)| self.results.find(&self.identities[number]).is_none();
        let open: Vec<(usize, &Cell)> = cells.iter().enumerate().filter(is_open).collect();
        let done = cells.len() - open.len();
        output.text(format!(
            "\n{} trainings{}",
            cells.len(),
            match done {
                0 => String::new(),
                done => format!(", of which {done} are done already"),
            }
        ));
        if self.results.unread() > 0 {
            let lines = self.results.unread();
            output.text(format!(
                "{lines} lines of results.jsonl are no results; they are kept"
            ));
        }
        self.results.begin()?;
        let began = Instant::now();
        let mut cost_left: f64 = open.iter().map(|(_, cell)| cell.cost()).sum();
        let mut cost_done = 0.0;
        let mut diverged = 0;
        for (place, &(number, cell)) in open.iter().enumerate() {
            // Another method with the same settings may have trained it meanwhile.
            if self.results.find(&self.identities[number]).is_some() {
                cost_left -= cell.cost();
                continue;
            }
            let trained = self.train(number, cell, output, cancel).await?;
            cost_done += cell.cost();
            cost_left -= cell.cost();
            let left = began.elapsed().as_secs_f64() * cost_left / cost_done;
            let counter = (done + place + 1, cells.len());
            match trained {
                Trained::Finished(record) => {
                    output.text(line(counter, &record, left));
                    output.object(&json!({ "event": "cell", "number": number, "result": record }));
                    self.results.add(*record)?;
                    self.write_reports()?;
                }
                Trained::Diverged => {
                    diverged += 1;
                    let name = &self.plan.methods[cell.method].name;
                    let title = cell.settings.title();
                    output.text(format!(
                        "{:>3}/{}  {name}, {title}: the loss is no longer a number; left out",
                        counter.0, counter.1
                    ));
                    output
                        .object(&json!({ "event": "diverged", "number": number, "title": title }));
                }
                Trained::Cancelled => {
                    output.object(&json!({ "event": "cancelled" }));
                    output.text("stopped; the same command goes on from here");
                    return Ok(Ended::Cancelled);
                }
            }
        }
        if diverged > 0 {
            output.text(format!(
                "{diverged} trainings went wrong and are left out: give them a smaller learning rate"
            ));
        }
        Ok(Ended::Well)
    }

    async fn train(
        &mut self,
        number: usize,
        cell: &Cell,
        output: &Output,
        cancel: &Cancel,
    ) -> Result<Trained> {
        let data = cell.data(&self.texts[cell.domain])?;
        let method = &self.plan.methods[cell.method];
        let title = cell.settings.title();
        let mut run = Run::new(self.model.clone(), Arc::new(data), cell.settings.clone())?;
        if let Some(before) = self.before[cell.domain] {
            run.set_before(before);
        }
        let show = |event: &_| output.glimpse(&title, event);
        let ending = drive(&mut run, None, cancel, show).await;
        output.clear();
        let outcome = match ending {
            Ok(Ending::Finished(outcome)) => outcome,
            Ok(Ending::Cancelled) => return Ok(Trained::Cancelled),
            Err(Error::NonFiniteLoss { .. }) => return Ok(Trained::Diverged),
            Err(error) => return Err(error),
        };
        self.before[cell.domain] = Some(outcome.before);
        let mut perplexities = run.evaluations().iter().map(|found| found.perplexities);
        if !perplexities.all(|found| found.domain.is_finite() && found.general.is_finite()) {
            return Ok(Trained::Diverged);
        }
        Ok(Trained::Finished(Box::new(Record {
            domain: self.recipe.domain[cell.domain].name.clone(),
            method: method.name.clone(),
            title,
            strength: method.strength,
            value: cell.value,
            budget: cell.budget,
            seed: cell.seed,
            before: outcome.before,
            after: outcome.after,
            metrics: outcome.metrics,
            steps: outcome.steps,
            seconds: outcome.seconds,
            tokens_per_second: outcome.tokens_per_second,
            trainable_parameters: run.trained_model().trainable_count(),
            evaluations: run.evaluations().to_vec(),
            identity: self.identities[number].clone(),
        })))
    }

    /// The cells that are done, with what came out.
    fn records(&self) -> Vec<(&Cell, &Record)> {
        let cells = self.plan.cells.iter().zip(&self.identities);
        cells
            .filter_map(|(cell, identity)| Some((cell, self.results.find(identity)?)))
            .collect()
    }

    fn write_reports(&self) -> Result<()> {
        let records = self.records();
        write_csv(&self.out.join("results.csv"), &self.plan, &records)?;
        let device = self.device.name();
        let html = report_html(&self.plan, &self.model_name, &device, &records);
        write_file(&self.out.join("report.html"), html.as_bytes())
    }

    fn conclude(&self, output: &Output) -> Result<()> {
        self.write_reports()?;
        let records = self.records();
        summary::comparison(output, &self.plan, &records);
        output.text(format!(
            "\nresults.jsonl, results.csv and report.html, which has plots, are in {}",
            self.out.display()
        ));
        Ok(())
    }
}

/// A line about a finished training.
fn line((number, of): (usize, usize), record: &Record, seconds_left: f64) -> String {
    let strength = record.strength.describe(record.value);
    let method = format!("{} ({strength})", record.method);
    let left = Duration::from_secs_f64(seconds_left.clamp(0.0, 1e9).round());
    let left = match number == of {
        true => "done".to_string(),
        false => format!("{:#} left", indicatif::HumanDuration(left)),
    };
    format!(
        "{number:>3}/{of}  {left:<8}  {method:<30}  S {:>7.2}  DG {:>6.2}  S/DG {:<17}  {}, {} \
         samples, seed {}",
        record.metrics.specialization,
        record.metrics.degeneralization,
        record.metrics.ratio_in_words(),
        record.domain,
        thousands(record.budget as f64),
        record.seed,
    )
}

/// The samples of every domain.
async fn texts(
    recipe: &Recipe,
    plan: &Plan,
    model: &CausalLm,
    output: &Output,
) -> Result<Vec<Texts>> {
    let reading = Reading::to_length(recipe.max_length, model.reader())?;
    let max_length = reading.preparation.max_length;
    let read = |path: &Path| Set::read(path, model, &reading, output);
    let most = recipe.evaluation_samples.unwrap_or(usize::MAX);
    let first = |set: Set| -> Vec<Sample> {
        let mut samples = set.samples.samples;
        samples.truncate(most);
        samples
    };
    let (general, for_replay) = match &recipe.general {
        Source::Path(path) => (read(path)?, None),
        Source::Embedded | Source::Model => {
            let (general, rest) = Set::tales(model, max_length)?;
            (general, Some(rest))
        }
    };
    setup::describe(output, "General", &general.summary());
    let general = Arc::new(first(general));
    let mut settings = plan.cells.iter().map(|cell| &cell.settings);
    let replays = settings.any(|settings| settings.replay_ratio > 0.0 || settings.ewc > 0.0);
    let mut replay = Vec::new();
    if replays {
        let set = match &recipe.replay {
            Source::Path(path) => read(path)?,
            Source::Model => Set::written(model, WRITTEN_TEXTS, max_length, 0, output).await?,
            Source::Embedded => match for_replay {
                Some(rest) => rest,
                None => Set::tales(model, max_length)?.1,
            },
        };
        setup::describe(output, "Replay", &set.summary());
        // What measures forgetting is not trained on.
        let mut samples = set.samples.samples;
        samples.retain(|sample| !general.contains(sample));
        if samples.is_empty() {
            return Err(Error::NoSamples {
                origin: "the text to replay, without what measures forgetting,".to_string(),
                skipped: 0,
            });
        }
        replay = samples;
    }
    let replay = Arc::new(replay);
    let mut all = Vec::new();
    for domain in &recipe.domain {
        let (set, usual) = match &domain.data {
            Source::Path(path) => (read(path)?, None),
            Source::Embedded | Source::Model => {
                let set = Set::tickets(model, max_length)?;
                let held_out = set.len() - demo::TRAIN_TICKETS;
                (set, Some(held_out))
            }
        };
        setup::describe(output, "Domain", &set.summary());
        let (pool, held_out) = match &domain.held_out {
            Some(path) => (set, read(path)?),
            None => {
                let available = set.len();
                let count = domain.hold_out.or(usual).unwrap_or(available.div_ceil(10));
                if count == 0 || count >= available {
                    let expected = format!("1 to {} for domain {:?}", available - 1, domain.name);
                    return Err(Error::setting("hold_out", count, expected));
                }
                set.split(available - count)
            }
        };
        all.push(Texts {
            domain: domain.name.clone(),
            pool: pool.samples.samples,
            held_out: first(held_out),
            general: general.clone(),
            replay: replay.clone(),
        });
    }
    Ok(all)
}
