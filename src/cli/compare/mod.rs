//! `minift compare`: compares methods over their strengths, as described by a recipe.

mod arguments;
mod part;
mod texts;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

pub(super) use arguments::CompareArguments;

use super::models::ModelArguments;
use super::output::{Output, counted};
use super::{Ended, eval, setup, summary};
use crate::compare::{
    Cell, ChoiceChange, Identity, Plan, Recipe, Record, Results, Source, Texts, report_html,
    write_csv,
};
use crate::device::{Device, DeviceChoice};
use crate::error::{Error, Result};
use crate::eval::{Accuracy, ChoiceQuestion, FrontSearch, Perplexities, choose};
use crate::files::write_file;
use crate::model::CausalLm;
use crate::train::{Cancel, Ending, Run, drive, fingerprints};

/// A running comparison.
struct Comparison<'a> {
    out: &'a Path,
    recipe: Recipe,
    plan: Plan,
    results: Results,
    model: CausalLm,
    model_name: String,
    device: Device,
    texts: Vec<Texts>,
    /// The name of each training of the plan.
    ids: Vec<String>,
    /// The identity of each training of the plan.
    identities: Vec<Identity>,
    /// The numbers of the trainings that this process runs.
    part: Vec<usize>,
    /// Perplexities of the base model per domain, once known.
    before: Vec<Option<Perplexities>>,
    /// The choice of continuations per domain, if the recipe asks for it.
    choices: Option<Vec<Choices>>,
    /// Whether a warning about the warmup was printed.
    warned: bool,
}

/// The choice of continuations of the held-out texts of a domain.
struct Choices {
    questions: Vec<ChoiceQuestion>,
    /// The accuracy of the base model, once known.
    before: Option<Accuracy>,
}

/// The result of a training.
enum Trained {
    Finished(Box<Record>),
    /// Loss or perplexity became NaN or infinite.
    Diverged,
    Cancelled,
}

pub(super) async fn run(
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
    let ids = plan.ids();
    if arguments.part.list {
        part::list(&plan, &ids, output);
        return Ok(Ended::Success);
    }
    let part = part::select(&plan, &ids, &arguments.part)?;
    let mut results = Results::open(&arguments.out)?;
    let device = setup::device(device, output).await?;
    let model = ModelArguments {
        model: match &recipe.model {
            Source::Path(folder) => Some(folder.clone()),
            Source::Embedded | Source::Model => None,
        },
        weights: recipe.weights,
        ..ModelArguments::default()
    };
    let (model, model_name) = model.announced(&device, output)?;
    // Fail before the first training if settings do not fit the model.
    for method in &plan.methods {
        let count = method.settings.trainable_count(&model);
        count.map_err(|error| Error::Recipe {
            path: path.clone(),
            message: format!("method {:?}: {}", method.name, error.report()),
        })?;
    }
    let texts = texts::read(&recipe, &plan, &model, output).await?;
    // The same for more choices than there are texts.
    let choices = recipe.choices.map(|count| {
        let of_domain = texts.iter().map(|texts| {
            let found = eval::questions(&texts.held_out, count, &model, output)?;
            Ok(Choices {
                questions: found.questions,
                before: None,
            })
        });
        of_domain.collect::<Result<Vec<_>>>()
    });
    // The same for budgets beyond the data.
    let fingerprint = fingerprints(&model);
    let identities = plan.cells.iter().map(|cell| {
        let data = cell.data(&texts[cell.domain])?;
        Ok(Identity::new(cell, fingerprint(&data), &recipe))
    });
    let identities = identities.collect::<Result<Vec<_>>>()?;
    let shares = arguments.part.cell.is_some() || arguments.part.shard.is_some();
    if shares {
        results.begin_shared()?;
    } else if arguments.part.collect {
        results.collect(&identities)?;
    } else {
        results.begin(&identities)?;
    }
    let mut comparison = Comparison {
        ids,
        identities,
        part,
        out: &arguments.out,
        before: vec![None; texts.len()],
        choices: choices.transpose()?,
        warned: false,
        recipe,
        plan,
        results,
        model,
        model_name,
        device,
        texts,
    };
    if arguments.part.collect {
        comparison.tell_missing(output);
        comparison.conclude(output)?;
        return Ok(Ended::Success);
    }
    let ended = comparison.run(output, cancel).await?;
    match shares {
        // Other processes may be writing.
        true => comparison.tell_share(output),
        false => comparison.conclude(output)?,
    }
    Ok(ended)
}

impl Comparison<'_> {
    /// Runs every training without a result.
    async fn run(&mut self, output: &Output, cancel: &Cancel) -> Result<Ended> {
        let cells = self.plan.cells.clone();
        let is_open = |number: &usize| self.results.find(&self.identities[*number]).is_none();
        let part = self.part.iter().copied();
        let open: Vec<(usize, &Cell)> = part
            .filter(is_open)
            .map(|number| (number, &cells[number]))
            .collect();
        let all = self.part.len();
        let done = all - open.len();
        output.text(format!(
            "\n{}{}",
            counted(all, "training"),
            match done {
                0 => String::new(),
                done => format!(", {done} already complete"),
            }
        ));
        if self.results.unread() > 0 {
            let lines = self.results.unread();
            output.text(format!(
                "Note     {} of the results cannot be read and will be kept",
                counted(lines, "line")
            ));
        }
        let began = Instant::now();
        let mut cost_left: f64 = open.iter().map(|(_, cell)| cell.cost()).sum();
        let mut cost_done = 0.0;
        let mut diverged = 0;
        for (place, &(number, cell)) in open.iter().enumerate() {
            // Another method with the same settings may have trained it in the meantime.
            if self.results.find(&self.identities[number]).is_some() {
                cost_left -= cell.cost();
                continue;
            }
            let trained = self.train(number, cell, output, cancel).await?;
            cost_done += cell.cost();
            cost_left -= cell.cost();
            let left = began.elapsed().as_secs_f64() * cost_left / cost_done;
            let counter = (done + place + 1, all);
            match trained {
                Trained::Finished(record) => {
                    output.text(line(counter, &record, left));
                    output.object(&json!({ "event": "cell", "number": number, "result": record }));
                    self.results.add(&self.ids[number], *record)?;
                    match self.checkpoints(number, cell)? {
                        Some(checkpoints) => checkpoints.remove()?,
                        None => self.write_reports()?,
                    }
                }
                Trained::Diverged => {
                    diverged += 1;
                    let name = &self.plan.methods[cell.method].name;
                    let title = cell.settings.title();
                    output.text(format!(
                        "{:>3}/{}  {name}, {title}: the loss diverged, skipped",
                        counter.0, counter.1
                    ));
                    output
                        .object(&json!({ "event": "diverged", "number": number, "title": title }));
                }
                Trained::Cancelled => {
                    output.object(&json!({ "event": "cancelled" }));
                    output.text("interrupted: run the same command to resume");
                    return Ok(Ended::Cancelled);
                }
            }
        }
        if diverged > 0 {
            output.text(format!(
                "{} diverged and {} skipped: use a smaller learning rate",
                counted(diverged, "training"),
                if diverged == 1 { "was" } else { "were" }
            ));
        }
        Ok(Ended::Success)
    }

    async fn train(
        &mut self,
        number: usize,
        cell: &Cell,
        output: &Output,
        cancel: &Cancel,
    ) -> Result<Trained> {
        let data = cell.data(&self.texts[cell.domain])?;
        let title = cell.settings.title();
        let mut run = Run::new(self.model.clone(), Arc::new(data), cell.settings.clone())?;
        if !self.warned && cell.settings.warmup_steps > run.steps() {
            self.warned = true;
            setup::warn_of_warmup(&cell.settings, run.steps(), output);
        }
        if let Some(before) = self.before[cell.domain] {
            run.set_before(before);
        }
        let checkpoints = self.checkpoints(number, cell)?;
        if let Some(checkpoints) = &checkpoints
            && !checkpoints.files()?.is_empty()
            && let Err(error) = checkpoints.restore(&mut run)
        {
            // Of other settings or data, or damaged.
            output.text(format!(
                "Note     {} starts over: {}",
                self.ids[number],
                error.report()
            ));
            checkpoints.remove()?;
        }
        let show = |event: &_| output.glimpse(&title, event);
        let ending = drive(&mut run, checkpoints.as_ref(), cancel, show).await;
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
        let trained = run.trained_model();
        let choices = self.choose(cell, &trained).await?;
        let front = match &self.recipe.dial[..] {
            [] => run.front(),
            weights => {
                let texts = &self.texts[cell.domain];
                let (held_out, general) = (&texts.held_out, &texts.general);
                let batch_size = cell.settings.batch_size;
                let search = FrontSearch::new(run.dial()?, held_out, general, batch_size)?;
                let mut search = search.at(weights, outcome.before, outcome.after)?;
                while let Some(progress) = search.advance().await? {
                    output.glimpse(&title, &progress.into());
                    if cancel.is_cancelled() {
                        output.clear();
                        return Ok(Trained::Cancelled);
                    }
                }
                output.clear();
                search.front()
            }
        };
        let method = &self.plan.methods[cell.method];
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
            kl_divergence: outcome.kl_divergence,
            choices,
            steps: outcome.steps,
            seconds: outcome.seconds,
            tokens_per_second: outcome.tokens_per_second,
            trainable_parameters: trained.trainable_count(),
            evaluations: run.evaluations().to_vec(),
            front,
            identity: self.identities[number].clone(),
        })))
    }

    /// Lets the base model and a trained one choose continuations, if the recipe asks for it.
    async fn choose(&mut self, cell: &Cell, trained: &CausalLm) -> Result<Option<ChoiceChange>> {
        let Some(choices) = &mut self.choices else {
            return Ok(None);
        };
        let Choices { questions, before } = &mut choices[cell.domain];
        let batch_size = cell.settings.batch_size;
        let before = match before {
            Some(before) => *before,
            None => *before.insert(choose(&self.model, questions, batch_size).await?),
        };
        Ok(Some(ChoiceChange {
            before,
            after: choose(trained, questions, batch_size).await?,
        }))
    }

    /// Returns the completed cells with their results.
    fn records(&self) -> Vec<(&Cell, &Record)> {
        let cells = self.plan.cells.iter().zip(&self.identities);
        cells
            .filter_map(|(cell, identity)| Some((cell, self.results.find(identity)?)))
            .collect()
    }

    fn write_reports(&self) -> Result<()> {
        let records = self.records();
        write_csv(self.out.join("results.csv"), &self.plan, &records)?;
        let device = self.device.name();
        let html = report_html(&self.plan, &self.model_name, &device, &records);
        write_file(self.out.join("report.html"), html.as_bytes())
    }

    fn conclude(&self, output: &Output) -> Result<()> {
        self.write_reports()?;
        let records = self.records();
        summary::comparison(output, &self.plan, &records);
        output.text(format!(
            "\nresults.jsonl, results.csv and report.html written to {}",
            self.out.display()
        ));
        Ok(())
    }
}

/// Describes a finished training.
fn line((number, of): (usize, usize), record: &Record, seconds_left: f64) -> String {
    let strength = record.strength.describe(record.value);
    let method = format!("{} ({strength})", record.method);
    let left = Duration::from_secs_f64(seconds_left.clamp(0.0, 1e9).round());
    let left = match number == of {
        true => "done".to_string(),
        false => format!("{:#} left", indicatif::HumanDuration(left)),
    };
    format!(
        "{number:>3}/{of}  {left:<8}  {method:<30}  S {:>7.2}  DG {:>6.2}  S/DG {:<17}  {}, {}, seed {}",
        record.metrics.specialization,
        record.metrics.degeneralization,
        record.metrics.ratio_in_words(),
        record.domain,
        counted(record.budget, "sample"),
        record.seed,
    )
}
