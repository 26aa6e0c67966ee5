//! `minift export`: writes a model or an adapter as a GGUF file.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::models::{self, ModelArguments};
use super::output::Output;
use super::{Ended, setup};
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::files::{FileWriter, is_occupied, write_file};
use crate::model::CausalLm;
use crate::model::export::Provenance;
use crate::model::export::modelfile::modelfile;
use crate::quantization::WeightType;

/// Name of the file with which Ollama imports a model.
const MODELFILE: &str = "Modelfile";
/// Ending of GGUF files.
const ENDING: &str = "gguf";

/// A type of exported weights, by llama.cpp's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ExportType {
    /// 32-bit floats
    #[value(alias = "float32")]
    F32,
    /// 16-bit floats
    #[value(alias = "float16")]
    F16,
    /// 16-bit brain floats
    #[value(alias = "bfloat16")]
    Bf16,
    /// Blocks of 8-bit integers: 8.5 bits per weight
    #[value(name = "q8_0")]
    Q8_0,
    /// Blocks of 4-bit integers: 4.5 bits per weight
    #[value(name = "q4_0")]
    Q4_0,
}

impl From<ExportType> for WeightType {
    fn from(kind: ExportType) -> Self {
        match kind {
            ExportType::F32 => Self::Float32,
            ExportType::F16 => Self::Float16,
            ExportType::Bf16 => Self::Bfloat16,
            ExportType::Q8_0 => Self::Q8_0,
            ExportType::Q4_0 => Self::Q4_0,
        }
    }
}

#[derive(Clone, Debug, Args)]
pub(super) struct ExportArguments {
    #[command(flatten)]
    pub model: ModelArguments,
    /// Adapter folder: the adapter is merged into its model
    #[arg(long, alias = "adapter", value_name = "DIR", help_heading = "Model")]
    pub adapter_dir: Option<PathBuf>,
    /// Output file; a Modelfile for Ollama is written beside it
    #[arg(long, value_name = "FILE.gguf", help_heading = "Output")]
    pub out: PathBuf,
    /// Type of the weights [default: that of the model; f32 with --adapter-only]
    #[arg(
        long = "type",
        value_enum,
        value_name = "TYPE",
        help_heading = "Output"
    )]
    pub kind: Option<ExportType>,
    /// Export the LoRA adapter alone, to be applied to an exported base model
    #[arg(long, requires = "adapter_dir", help_heading = "Output")]
    pub adapter_only: bool,
    /// Replace the output file and the Modelfile beside it if they exist
    #[arg(long, help_heading = "Output")]
    pub force: bool,
}

pub(super) async fn run(
    arguments: &ExportArguments,
    device: DeviceChoice,
    output: &Output,
) -> Result<Ended> {
    let out = arguments.out.as_path();
    check(arguments)?;
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    }
    let mut file = FileWriter::new(out)?;
    let adapter = arguments.adapter_dir.as_deref();
    let say = |note: String| output.text(note);
    let named = arguments.model.or_base_of(adapter, &say)?;
    let device = setup::device(device, output).await?;
    let (model, name) = named.announced(&device, output)?;
    let model = models::adapted(model, adapter, &say)?;
    let provenance = provenance(&model, &name, named.folder(), adapter);

    let mut bytes = 0;
    let mut put = |part: &[u8]| {
        bytes += part.len();
        file.write(part)
    };
    let kind = match (arguments.kind, adapter.filter(|_| arguments.adapter_only)) {
        (kind, Some(folder)) => {
            let kind = kind.map_or(WeightType::Float32, WeightType::from);
            model
                .write_gguf_adapter(kind, &provenance, folder, &mut put)
                .await?;
            kind
        }
        (kind, None) => {
            let model = model.try_merged()?;
            let kind = kind.map_or_else(|| model.export_type(), |kind| Ok(kind.into()))?;
            for note in model.write_gguf(kind, &provenance, &mut put).await? {
                output.text(format!("Note     {note}"));
            }
            let text = modelfile(model.reader(), &file_name(out))?;
            write_file(beside(out), text.as_bytes())?;
            kind
        }
    };
    file.finish()?;
    output.object(&json!({
        "event": "exported",
        "model": name,
        "adapter": adapter.map(|folder| folder.display().to_string()),
        "adapter_only": arguments.adapter_only,
        "type": kind.name(),
        "bytes": bytes,
        "out": out.display().to_string(),
        "modelfile": (!arguments.adapter_only).then(|| beside(out).display().to_string()),
    }));
    let size = bytes as f64 / 1e6;
    let what = format!(
        "\n{} written to {}, {size:.1} MB of {kind}",
        title(arguments),
        out.display()
    );
    output.text(match arguments.adapter_only {
        true => format!(
            "{what}\nllama.cpp applies it with --lora {0}, and Ollama with a line ADAPTER ./{1} in a Modelfile",
            out.display(),
            file_name(out)
        ),
        false => format!(
            "{what}\nFor Ollama: ollama create NAME -f {}",
            beside(out).display()
        ),
    });
    Ok(Ended::Success)
}

fn title(arguments: &ExportArguments) -> &'static str {
    match (arguments.adapter_only, &arguments.adapter_dir) {
        (true, _) => "Adapter",
        (false, Some(_)) => "Merged model",
        (false, None) => "Model",
    }
}

/// Checks the arguments before anything is loaded.
fn check(arguments: &ExportArguments) -> Result<()> {
    let out = arguments.out.as_path();
    if out.extension().is_none_or(|ending| ending != ENDING) {
        let expected = format!("the name of a file that ends with .{ENDING}");
        return Err(Error::setting("out", out.display(), expected));
    }
    let blocks = matches!(arguments.kind, Some(ExportType::Q8_0 | ExportType::Q4_0));
    if let (true, true, Some(kind)) = (arguments.adapter_only, blocks, arguments.kind) {
        let expected = "f32, f16 or bf16 for an adapter";
        let name = WeightType::from(kind);
        return Err(Error::setting("type", name, expected));
    }
    let mut outputs = vec![out.to_path_buf()];
    if !arguments.adapter_only {
        outputs.push(beside(out));
    }
    if let Some(model) = arguments.model.folder() {
        let same = |path: &PathBuf| path.canonicalize().ok() == model.canonicalize().ok();
        if outputs.iter().any(|path| path.exists() && same(path)) {
            let expected = "another file than that of the model";
            return Err(Error::setting("out", out.display(), expected));
        }
    }
    match outputs.into_iter().find(|path| is_occupied(path)) {
        Some(path) if !arguments.force => Err(Error::OutputExists { path }),
        _ => Ok(()),
    }
}

/// Returns the path of the Modelfile of an output.
fn beside(out: &Path) -> PathBuf {
    out.with_file_name(MODELFILE)
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Returns where the exported weights come from, as far as files beside them say: `run.json` of a training, and
/// the model card.
fn provenance(
    model: &CausalLm,
    model_name: &str,
    model_folder: Option<&Path>,
    adapter: Option<&Path>,
) -> Provenance {
    let trained = adapter.or(model_folder);
    let run = trained.and_then(|folder| fs::read(folder.join("run.json")).ok());
    let run: Value = run
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_string);
    // The record of a demo is of two models, in subfolders.
    let runs = run["runs"].as_array();
    let method = runs
        .filter(|runs| runs.len() == 1)
        .and_then(|runs| text(&runs[0]["result"]["method"]));
    let base = match adapter {
        Some(_) => Some(model_name.to_string()),
        None => text(&run["setup"]["model"]),
    };
    let folders = [adapter, model_folder].into_iter().flatten();
    let license = folders
        .filter_map(|folder| fs::read_to_string(folder.join("README.md")).ok())
        .find_map(|card| license(&card));
    Provenance {
        name: trained.map_or_else(|| model.name(), file_name),
        license,
        base,
        data: text(&run["setup"]["train"]["origin"]),
        method,
    }
}

/// Returns the license that a model card names in its first lines.
fn license(card: &str) -> Option<String> {
    let mut lines = card.lines();
    lines.next().filter(|line| line.trim() == "---")?;
    let header = lines.take_while(|line| line.trim() != "---");
    let mut found = header.filter_map(|line| line.strip_prefix("license:"));
    let name = found.next()?.trim().trim_matches(['"', '\'']);
    (!name.is_empty()).then(|| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::license;

    #[test]
    fn a_model_card_names_its_license() {
        let card = "---\nlicense: apache-2.0\nlanguage: en\n---\n# Model\nlicense: mit\n";
        assert_eq!(license(card).as_deref(), Some("apache-2.0"));
        assert_eq!(license("# Model\nlicense: mit"), None);
        assert_eq!(license("---\nlanguage: en\n---\nlicense: mit"), None);
    }
}
