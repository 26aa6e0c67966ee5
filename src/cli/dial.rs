//! `minift dial`: chooses the strength of a finetuning after training.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::inputs::TextArguments;
use super::models::{self, LoadArguments, ModelArguments};
use super::output::Output;
use super::setup::{self, Set};
use super::training::Percentage;
use super::{Ended, front, limit};
use crate::device::{Device, DeviceChoice};
use crate::error::{Error, Result};
use crate::eval::{Front, FrontSearch, format_weight};
use crate::files::FolderWriter;
use crate::model::{Dial, DialProfile, SaveType};
use crate::text::Sample;
use crate::train::Cancel;

#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)] // so that the error names the setting
pub(super) struct DialArguments {
    #[command(flatten)]
    pub model: LoadArguments,
    /// Model that was trained from it with any program: a folder, GGUF file, or name on the Hub
    #[arg(
        long,
        value_name = "DIR|FILE|NAME",
        required_unless_present = "adapter_dir",
        conflicts_with = "adapter_dir",
        help_heading = "Model"
    )]
    pub trained: Option<PathBuf>,
    /// Adapter folder, instead of a trained model
    #[arg(long, alias = "adapter", value_name = "DIR", help_heading = "Model")]
    pub adapter_dir: Option<PathBuf>,
    /// Strength of the model to write: from 0, the base model, to 1, the trained model
    #[arg(
        long,
        value_name = "W",
        conflicts_with = "max_degeneralization",
        help_heading = "Dial"
    )]
    pub weight: Option<f64>,
    /// Write the model at the largest strength that raises the perplexity of --general by at most PERCENT
    #[arg(
        long,
        value_name = "PERCENT",
        requires = "general",
        help_heading = "Dial"
    )]
    pub max_degeneralization: Option<Percentage>,
    /// Let strengths grow linearly with depth, up to 1 in the last layer (LiNeS)
    #[arg(long, help_heading = "Dial")]
    pub by_depth: bool,
    /// Text of the domain, to measure what each strength gains
    #[arg(
        long,
        value_name = "FILE",
        num_args = 1..,
        help_heading = "Data"
    )]
    pub data: Vec<PathBuf>,
    /// General text, to measure what each strength forgets
    #[arg(long, value_name = "FILE", help_heading = "Data")]
    pub general: Option<PathBuf>,
    #[command(flatten)]
    pub text: TextArguments,
    /// Batch size
    #[arg(
        long,
        default_value_t = 8,
        value_name = "N",
        help_heading = "Evaluation"
    )]
    pub batch_size: usize,
    /// Output folder for the model or adapter at the chosen strength
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Type of the saved weights [default: that of the trained model]
    #[arg(long, value_enum, value_name = "DTYPE", help_heading = "Output")]
    pub save_type: Option<SaveType>,
    /// Replace the output folder if it exists, once the new one is complete
    #[arg(long, help_heading = "Output")]
    pub force: bool,
}

pub(super) async fn run(
    arguments: &DialArguments,
    device: DeviceChoice,
    output: &Output,
    cancel: &Cancel,
) -> Result<Ended> {
    check(arguments)?;
    let folder = arguments
        .out
        .as_deref()
        .map(|out| FolderWriter::new(out, arguments.force))
        .transpose()?;
    let device = setup::device(device, output).await?;
    let dial = dial(arguments, &device, output)?;
    if let Some(weight) = arguments.weight {
        dial.at(weight)?;
    }
    let reading = arguments.text.reading(dial.trained().reader())?;
    let announced = |title: &str, set: Set| {
        setup::describe(output, title, &set.summary());
        set.samples.samples
    };
    let domain = match arguments.data.as_slice() {
        [] => None,
        paths => Some(announced(
            "Domain",
            Set::read_all(paths, dial.trained(), &reading, output)?,
        )),
    };
    let general = match &arguments.general {
        None => None,
        Some(path) => Some(announced(
            "General",
            Set::read(path, dial.trained(), &reading.of_general(), output)?,
        )),
    };

    let mut weight = arguments.weight;
    if let (Some(bound), Some(general)) = (arguments.max_degeneralization, &general) {
        let search = limit::search(
            dial.clone(),
            bound.fraction(),
            general,
            arguments.batch_size,
            output,
            cancel,
        );
        let Some(limited) = search.await? else {
            return Ok(cancelled(output));
        };
        weight = Some(limited.weight);
    }
    let mut measured = None;
    if let (Some(domain), Some(general)) = (&domain, &general) {
        let front = measure(&dial, domain, general, weight, arguments, output, cancel);
        let Some(front) = front.await? else {
            return Ok(cancelled(output));
        };
        front::print(&front, weight.unwrap_or(1.0), None, output);
        output.object(&json!({ "event": "front", "front": front }));
        measured = Some(front);
    }
    let (Some(weight), Some(folder)) = (weight, folder) else {
        return Ok(Ended::Success);
    };
    let model = dial.at(weight)?.with_save_type(arguments.save_type);
    model.write(&folder, "").await?;
    if let Some(front) = measured {
        folder.write(front::FILE, front.svg(weight).as_bytes())?;
    }
    let out = folder.place().display().to_string();
    folder.finish()?;
    output.object(&json!({ "event": "dialled", "weight": weight, "out": out }));
    output.text(format!(
        "\n{} at w {} written to {out}",
        match model.adapter() {
            Some(_) => "Adapter",
            None => "Model",
        },
        format_weight(weight)
    ));
    Ok(Ended::Success)
}

fn cancelled(output: &Output) -> Ended {
    output.object(&json!({ "event": "cancelled" }));
    output.text("interrupted: nothing was written");
    Ended::Cancelled
}

/// Checks the arguments before anything is loaded.
fn check(arguments: &DialArguments) -> Result<()> {
    if arguments.batch_size == 0 {
        return Err(Error::setting("batch_size", 0, "1 or more"));
    }
    let chooses = arguments.weight.is_some() || arguments.max_degeneralization.is_some();
    let measures = !arguments.data.is_empty() && arguments.general.is_some();
    match &arguments.out {
        None if chooses => {
            let expected = "an output folder for the model at the chosen strength";
            return Err(Error::setting("out", "not given", expected));
        }
        Some(out) if !chooses => {
            let expected =
                "none without a strength to write: --weight W, or --max-degeneralization PERCENT";
            return Err(Error::setting("out", out.display(), expected));
        }
        None if !measures => {
            let expected = "a strength to write, or --data and --general to measure what each strength gains and \
                            forgets";
            return Err(Error::setting("weight", "not given", expected));
        }
        _ => {}
    }
    let Some(out) = &arguments.out else {
        return Ok(());
    };
    let model = arguments.model.model();
    let single = [
        &arguments.trained,
        &arguments.adapter_dir,
        &arguments.general,
    ];
    let inputs = single.into_iter().flatten().chain(&arguments.data);
    let inputs = inputs.map(PathBuf::as_path).chain(model.folder());
    setup::apart(out, inputs)
}

/// Loads the base model and the trained one.
fn dial(arguments: &DialArguments, device: &Device, output: &Output) -> Result<Dial> {
    let say = |note: String| output.text(note);
    let named = arguments.model.model();
    let profile = match arguments.by_depth {
        true => DialProfile::ByDepth,
        false => DialProfile::Uniform,
    };
    let Some(trained) = &arguments.trained else {
        let adapter = arguments.adapter_dir.as_deref();
        let (model, _) = named.or_base_of(adapter, &say)?.announced(device, output)?;
        let dial = Dial::of_adapter(models::adapted(model, adapter, &say)?)?;
        return Ok(dial.with_profile(profile));
    };
    let trained = ModelArguments::of_path(trained, named.weights);
    let base = match (&named.model, trained.base_in_record()?) {
        (None, Some(base)) => {
            output.text(format!("Base     {}, named by run.json", base.name()));
            base
        }
        (None, None) => {
            let expected = "the base model of the trained one, which has no run.json that names it";
            return Err(Error::setting("model", "not given", expected));
        }
        (Some(_), _) => named,
    };
    if let Some(out) = &arguments.out {
        setup::apart(out, base.folder().into_iter())?;
    }
    let (base, _) = base.announced(device, output)?;
    let model = trained.load(device, output, &say)?;
    output.text(format!("Trained  {}", trained.name()));
    Ok(Dial::new(base, model)?.with_profile(profile))
}

/// Measures the front on all samples, with the chosen strength among its points; `None` if cancelled.
async fn measure(
    dial: &Dial,
    domain: &[Sample],
    general: &[Sample],
    weight: Option<f64>,
    arguments: &DialArguments,
    output: &Output,
    cancel: &Cancel,
) -> Result<Option<Front>> {
    let search = FrontSearch::new(dial.clone(), domain, general, arguments.batch_size)?;
    let search = search.with_weights(weight.as_slice())?;
    front::measure(
        search,
        dial.trained().device(),
        "the training",
        output,
        cancel,
    )
    .await
}
