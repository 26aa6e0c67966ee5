//! The settings of a run of `minift train` as a configuration file that repeats it.

use clap::CommandFactory;
use serde_json::{Map, Value};

use super::super::args::Arguments;
use super::arguments::TrainArguments;
use crate::error::{Error, Result};
use crate::train::{TrainOptions, TrainSettings};

/// The key of the settings in run.json.
pub(super) const RECORD_KEY: &str = "config";

/// Returns all settings of a run, including defaults, so that a file with them repeats it. Paths are absolute.
///
/// # Errors
///
/// [`Error::InvalidSetting`] for a path that is not valid Unicode.
pub(super) fn effective(
    arguments: &TrainArguments,
    settings: &TrainSettings,
) -> Result<Map<String, Value>> {
    let mut all = arguments.clone();
    let searches = arguments.max_degeneralization.is_some();
    all.model.give_defaults();
    all.text.train_on.get_or_insert_default();
    all.text.end_token.get_or_insert_default();
    all.training.options = TrainOptions::from(settings);
    all.training.seed = Some(settings.seed);
    all.evaluate_every = Some(settings.evaluate_every);
    all.checkpoint_every = Some(arguments.checkpoint_every());
    all.search = searches.then(|| arguments.search());
    all.no_dial = settings.dial.is_none().then_some(true);
    all.device.get_or_insert_default();
    if all.training.options.ewc.is_none() {
        all.ewc_text = None;
    }
    all.change_paths(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()));
    all.fields()
        .map_err(|error| Error::setting("config", error, "paths in valid Unicode"))
}

/// Writes settings as TOML, grouped as the help of the command.
///
/// # Errors
///
/// [`Error::InvalidSetting`] for a number that TOML cannot hold.
pub(super) fn toml(fields: &Map<String, Value>) -> Result<String> {
    let command = Arguments::command();
    let train = command.find_subcommand("train");
    let of_train = train.into_iter().flat_map(clap::Command::get_arguments);
    let mut groups: Vec<(&str, String)> = Vec::new();
    for argument in of_train.chain(command.get_arguments()) {
        let key = match argument.get_id().as_str() {
            // A flag for one of its values.
            "by_depth" => "dial",
            key => key,
        };
        let Some(value) = fields.get(key) else {
            continue;
        };
        let value = toml::Value::try_from(value).map_err(|_| {
            let setting = format!("{key} = {value}");
            Error::setting("config", setting, "numbers below 2^63, which TOML holds")
        })?;
        let heading = argument.get_help_heading().unwrap_or_default();
        let line = format!("{key} = {value}\n");
        match groups.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, lines)) => lines.push_str(&line),
            None => groups.push((heading, line)),
        }
    }
    let groups = groups.iter();
    let groups: Vec<String> = groups
        .map(|(heading, lines)| format!("# {heading}\n{lines}"))
        .collect();
    Ok(groups.join("\n"))
}
