//! `minift merge`: merges an adapter into its model.

use serde_json::json;

use super::Ended;
use super::args::MergeArguments;
use super::output::Output;
use super::{models, setup};
use crate::device::DeviceChoice;
use crate::error::Result;
use crate::files::FolderWriter;

pub(super) async fn run(
    arguments: &MergeArguments,
    device: DeviceChoice,
    output: &Output,
) -> Result<Ended> {
    let adapter = arguments.adapter_dir.as_path();
    let given = [Some(adapter), arguments.model.folder()];
    setup::apart(&arguments.out, given.into_iter().flatten())?;
    let say = |note: String| output.text(note);
    let named = arguments.model.or_base_of(Some(adapter), &say)?;
    setup::apart(&arguments.out, named.folder().into_iter())?;
    let folder = FolderWriter::new(&arguments.out, arguments.force)?;
    let device = setup::device(device, output).await?;
    let (model, name) = named.announced(&device, output)?;
    let model = models::adapted(model, Some(adapter), &say)?.try_merged()?;
    let model = model.with_save_type(arguments.save_type);
    model.write(&folder, "").await?;
    folder.finish()?;
    output.object(&json!({
        "event": "merged",
        "model": name,
        "adapter": adapter.display().to_string(),
        "out": arguments.out.display().to_string(),
    }));
    output.text(format!(
        "\nMerged {} into {name}, written to {}",
        adapter.display(),
        arguments.out.display()
    ));
    Ok(Ended::Success)
}
