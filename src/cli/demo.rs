//! `minift demo`: finetuning and minifinetuning of the embedded model on the embedded texts.

use std::sync::Arc;

use textwrap::{Options, WordSplitter};

use super::args::DemoArguments;
use super::models::ModelArguments;
use super::output::Output;
use super::{Ended, front, generate, setup, summary};
use crate::demo::{DOMAIN_PROMPT, GENERAL_PROMPT, TRAIN_TICKETS};
use crate::device::DeviceChoice;
use crate::error::Result;
use crate::files::FolderWriter;
use crate::kernels::distillation::{DEFAULT_TAU, Objective};
use crate::model::DialProfile;
use crate::text::Preparation;
use crate::train::report::{DeviceReport, MethodReport, run_json};
use crate::train::{Cancel, Ending, Run, TrainSettings, drive};

/// Columns of the introduction in a wide terminal.
const COLUMNS: usize = 100;

/// Increase of the general perplexity at which the trainings are compared.
const FORGOTTEN: f64 = 0.05;

/// Wraps running text, but no name of a file or an option.
fn wrapped(text: &str) -> String {
    let size = console::Term::stdout().size_checked();
    let columns = size.map_or(COLUMNS, |(_, columns)| usize::from(columns).min(COLUMNS));
    let options = Options::new(columns).word_splitter(WordSplitter::NoHyphenation);
    textwrap::fill(text, options)
}

/// Says what the program does without a command, and how to do the same with other text.
pub(super) fn introduce(output: &Output) {
    let text = format!(
        "minift without a command runs its demonstration: it trains a small embedded model on {TRAIN_TICKETS} repair \
         tickets of a bicycle workshop twice, by finetuning (FT) and by minifinetuning (MFT), and measures what each \
         learns of the tickets and forgets of the tales that the model knows, at full strength and taken back part of \
         the way. It takes a minute or two and writes both \
         models to a new folder, minift-out."
    );
    output.text(wrapped(&text));
    output.text(
        "\nWith your text:    minift train --data notes.txt --out my-model\n\
         All commands:      minift help\n",
    );
}

pub(super) async fn run(
    arguments: &DemoArguments,
    device: DeviceChoice,
    output: &Output,
    cancel: &Cancel,
) -> Result<Ended> {
    let folder = match &arguments.out {
        Some(out) => FolderWriter::new(out, arguments.force)?,
        None => setup::free_folder("minift-out")?,
    };
    let out = folder.place().to_path_buf();
    let device = setup::device(device, output).await?;
    let (model, name) = ModelArguments::default().announced(&device, output)?;
    let preparation = Preparation::to_length(model.reader().sample_length(None)?);
    let (train, domain) = setup::Set::tickets(&model, &preparation)?.split(TRAIN_TICKETS);
    let (general, _) = setup::Set::tales(&model, &preparation)?;
    let sets = setup::Sets {
        pack: false,
        train,
        domain,
        general,
        replay: None,
        consolidation: None,
        validation: None,
    };
    let (data, _, setup) = sets.announce(&model, name, preparation.max_length, output);
    let data = Arc::new(data);
    output.text("");

    let prompts = [DOMAIN_PROMPT, GENERAL_PROMPT];
    let base = generate::continuations(&model, &prompts).await?;
    let methods = [
        ("finetuning", "ft", Objective::finetuning()),
        (
            "minifinetuning, τ 0.25",
            "mft",
            Objective::minifinetuning(DEFAULT_TAU),
        ),
    ];
    let mut before = None;
    let mut reports: Vec<MethodReport> = Vec::new();
    for (title, subfolder, objective) in methods {
        let settings = TrainSettings {
            objective,
            seed: arguments.seed,
            dial: Some(DialProfile::default()),
            ..TrainSettings::default()
        };
        let mut run = Run::new(model.clone(), data.clone(), settings)?;
        if let Some(before) = before {
            run.set_before(before);
        }
        let ending = drive(&mut run, None, cancel, |event| output.event(title, event)).await?;
        output.finish();
        let Ending::Finished(outcome) = ending else {
            break;
        };
        before = Some(outcome.before);
        let trained = run.trained_model();
        trained.write(&folder, subfolder).await?;
        let place = out.join(subfolder).display().to_string();
        let mut report = MethodReport::new(&run, &outcome, place);
        output.object(&report.result);
        report.continuations = generate::continuations(&trained, &prompts).await?;
        reports.push(report);
    }

    let json = run_json(&setup, &DeviceReport::new(&device), &base, &reports);
    folder.write("run.json", format!("{json:#}\n").as_bytes())?;
    if reports.is_empty() {
        output.text("interrupted before the first method was finished: nothing was written");
        return Ok(Ended::Cancelled);
    }
    folder.finish()?;

    let names = ["FT", "MFT, τ 0.25"];
    let mut rows: Vec<summary::Row<'_>> = before.into_iter().map(summary::Row::base).collect();
    let mut models = vec![("base model", base.as_slice())];
    for (name, report) in names.into_iter().zip(&reports) {
        rows.push(summary::Row::trained(name.to_string(), &report.result));
        models.push((name, report.continuations.as_slice()));
    }
    summary::table(output, &rows);
    if let [finetuning, minifinetuning] = &reports[..] {
        output.text(summary::verdict(&finetuning.result, &minifinetuning.result));
    }
    let fronts = names.into_iter().zip(&reports);
    let fronts: Vec<_> = fronts
        .filter_map(|(name, report)| Some((name, report.front.as_ref()?)))
        .collect();
    front::compare(&fronts, FORGOTTEN, output);
    summary::continuations(output, &models);
    output.text(wrapped(
        "\nThese texts take the most likely token each time. MFT keeps a part of the base model's prediction for every \
         token: where a ticket could go on in many ways, the base model's choice often stays the most likely one. What \
         MFT learnt is in the perplexities; with a larger --tau it shows in the text, too.",
    ));
    output.text(format!(
        "\nModels and run.json written to {}",
        out.display()
    ));
    for (name, report) in names.into_iter().zip(&reports) {
        output.text(format!("{name}: {}", summary::speed(&report.result)));
    }
    Ok(if cancel.is_cancelled() {
        Ended::Cancelled
    } else {
        Ended::Success
    })
}
