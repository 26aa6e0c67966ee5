//! The settings of `minift train` from a file and the command line.

use std::path::Path;

use serde_json::{Map, Value};
use toml::de::DeTable;

use super::arguments::TrainArguments;
use super::effective::RECORD_KEY;
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::model::DialProfile;
use crate::train::table::{self, Entry, Fault};

/// Settings that exclude each other: one of the command line replaces the other of a file.
const ALTERNATIVES: [(&str, &str); 7] = [
    ("epochs", "max_steps"),
    ("column", "prompt_column"),
    ("column", "completion_column"),
    ("column", "messages_column"),
    ("messages_column", "prompt_column"),
    ("messages_column", "completion_column"),
    ("dial", "no_dial"),
];

/// Settings that belong to the value of another one: with another value on the command line, those of a file
/// have no meaning.
const BELONGING: [(&str, &[&str]); 2] = [
    (
        "method",
        &["tau", "scope", "alpha", "threshold", "anchor", "gamma"],
    ),
    (
        "adapter",
        &["rank", "lora_alpha", "rslora", "dropout", "target_modules"],
    ),
];

/// Returns the settings of the command line, completed by those of its `--config`.
///
/// # Errors
///
/// [`Error::Io`] and [`Error::Recipe`] for the file, [`Error::InvalidSetting`] for settings that have no effect
/// without others.
pub(super) fn complete(
    given: &TrainArguments,
    device: Option<DeviceChoice>,
) -> Result<TrainArguments> {
    let mut given = given.clone();
    given.device = device;
    if given.by_depth {
        given.training.options.dial = Some(DialProfile::ByDepth);
    }
    let mut settings = given.clone();
    if let Some(path) = &given.config {
        let fault = |error: serde_json::Error| fault(path, error.to_string());
        let own = given.fields().map_err(fault)?;
        let mut fields = read(path)?.fields().map_err(fault)?;
        remove_replaced(&mut fields, &own);
        fields.extend(own);
        settings = TrainArguments {
            force: given.force,
            resume: given.resume,
            config: given.config.clone(),
            print_config: given.print_config,
            ..TrainArguments::of_fields(fields).map_err(fault)?
        };
        settings.training.target = given.training.target;
        settings.training.former_alpha = given.training.former_alpha;
    }
    check(&settings)?;
    Ok(settings)
}

/// Removes what the command line replaces by another setting.
fn remove_replaced(file: &mut Map<String, Value>, given: &Map<String, Value>) {
    for (a, b) in ALTERNATIVES {
        for (given_key, file_key) in [(a, b), (b, a)] {
            if given.contains_key(given_key) {
                file.remove(file_key);
            }
        }
    }
    for (key, belonging) in BELONGING {
        if given
            .get(key)
            .is_some_and(|value| file.get(key) != Some(value))
        {
            file.retain(|other, _| !belonging.contains(&other.as_str()));
        }
    }
}

/// Rejects settings that exclude each other, and those that have no effect without others. The command line
/// alone cannot tell: the others may be in a file.
fn check(arguments: &TrainArguments) -> Result<()> {
    let (options, text) = (&arguments.training.options, &arguments.text);
    let prompts = text.prompt_column.is_some() || text.completion_column.is_some();
    for (key, is_given, expected) in [
        (
            "column",
            text.column.is_some() && (prompts || text.messages_column.is_some()),
            "no value beside other columns",
        ),
        (
            "messages_column",
            text.messages_column.is_some() && prompts,
            "no value beside other columns",
        ),
        (
            "no_dial",
            arguments.no_dial == Some(true) && options.dial.is_some(),
            "no value beside --dial",
        ),
        (
            "ewc_text",
            arguments.ewc_text.is_some() && options.ewc.is_none(),
            "no value without --ewc",
        ),
        (
            "search",
            arguments.search.is_some() && arguments.max_degeneralization.is_none(),
            "no value without --max-degeneralization",
        ),
        (
            "validation",
            arguments.validation.is_some() && arguments.max_degeneralization.is_none(),
            "no value without --max-degeneralization",
        ),
        (
            "best",
            arguments.best == Some(true) && arguments.evaluate_every.is_none(),
            "no value without --evaluate-every",
        ),
    ] {
        if is_given {
            return Err(Error::setting(key, "given", expected));
        }
    }
    for (key, value) in [
        ("keep_checkpoints", arguments.keep_checkpoints),
        ("time_slice", arguments.time_slice),
    ] {
        if value == Some(0) {
            return Err(Error::setting(key, 0, "1 or more"));
        }
    }
    if arguments.data.is_empty() {
        return Err(Error::setting("data", "not given", "the training data"));
    }
    arguments.out().map(drop)
}

fn fault(path: &Path, message: String) -> Error {
    Error::Recipe {
        path: path.to_path_buf(),
        message,
    }
}

/// Reads the settings of a file: TOML, in which relative paths start from its folder, or the record of a run.
///
/// # Errors
///
/// [`Error::Io`], and [`Error::Recipe`] with the line and what is expected there, and for an unknown key with the
/// most similar known one.
fn read(path: &Path) -> Result<TrainArguments> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read the configuration", path))?;
    let of_file = |found: Fault| fault(path, found.in_text(&text));
    // No table in TOML starts so.
    let entries = match text.trim_start().starts_with('{') {
        true => recorded(path, &text)?,
        false => {
            let table = DeTable::parse(&text).map_err(|error| of_file(error.into()))?;
            table::entries(table).map_err(of_file)?
        }
    };
    let check = |fields| TrainArguments::of_fields(fields).map(drop);
    let fields = table::checked(entries, &TrainArguments::keys(), check).map_err(of_file)?;
    let settings = TrainArguments::of_fields(fields);
    let mut settings = settings.map_err(|error| fault(path, error.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    settings.change_paths(|path| folder.join(path));
    Ok(settings)
}

/// Returns the settings in the record of a run.
fn recorded(path: &Path, text: &str) -> Result<Vec<Entry>> {
    let record: Value =
        serde_json::from_str(text).map_err(Error::parse(path, "the record of a run"))?;
    let Some(fields) = record[RECORD_KEY].as_object() else {
        let message = format!(
            "it has no \"{RECORD_KEY}\": expected the run.json of minift train, version 0.2 or later"
        );
        return Err(fault(path, message));
    };
    let fields = fields.clone();
    Ok(fields.into_iter().map(Entry::from).collect())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::{CommandFactory, Parser};

    use super::super::super::args::{Arguments, Command};
    use super::super::effective::{effective, toml};
    use super::*;

    /// Returns the settings of a command line and a file.
    fn settings(line: &str, file: &str) -> Result<TrainArguments> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        std::fs::write(&path, file).unwrap();
        let config = ["--config", path.to_str().unwrap()];
        let line = ["minift", "train"]
            .into_iter()
            .chain(line.split_whitespace());
        let arguments = Arguments::try_parse_from(line.chain(config)).unwrap();
        let Some(Command::Train(train)) = arguments.command else {
            panic!("expected train");
        };
        let mut settings = complete(&train, arguments.device)?;
        settings.change_paths(|path| {
            path.strip_prefix(folder.path())
                .unwrap_or(path)
                .to_path_buf()
        });
        Ok(settings)
    }

    const FILE: &str = r#"
data = ["notes.txt", "more"]
out = "out"
replay = "self"
method = "constant"
alpha = 0.1
adapter = "lora"
rank = 4
epochs = 2
learning_rate = 1e-4
column = "body"
max_degeneralization = "7%"
device = "cpu"
dial = "by-depth"
pack = true
seed = 3
"#;

    #[test]
    fn the_command_line_replaces_settings_of_the_file() {
        let file = settings("", FILE).unwrap();
        assert_eq!(file.data, ["notes.txt", "more"].map(PathBuf::from));
        assert_eq!(file.training.options.lr, Some(1e-4));
        assert_eq!(file.device, Some(DeviceChoice::Cpu));
        assert_eq!(file.max_degeneralization.unwrap().fraction(), 0.07);
        let line = "--data other.txt --lr 0.5 --max-steps 9 --method ft --adapter ia3 --no-dial \
                    --messages-column chat --pack=false --device gpu";
        let both = settings(line, FILE).unwrap();
        let options = &both.training.options;
        assert_eq!(both.data, [PathBuf::from("other.txt")]);
        assert_eq!(
            (options.lr, options.max_steps, options.epochs),
            (Some(0.5), Some(9), None)
        );
        assert_eq!((options.target.alpha, options.adapter.rank), (None, None));
        assert_eq!((options.dial, both.no_dial), (None, Some(true)));
        assert_eq!((both.text.column, both.pack), (None, Some(false)));
        assert_eq!(
            (both.training.seed, both.device),
            (Some(3), Some(DeviceChoice::Gpu))
        );
        // What belongs to the same method stays.
        let same = settings("--method constant", FILE).unwrap();
        assert_eq!(same.training.options.target.alpha, Some(0.1));
    }

    #[test]
    fn faults_of_the_file_have_their_line_and_a_suggestion() {
        for (line, message) in [
            (
                "epocs = 3",
                "line 17: unknown key `epocs`; did you mean epochs?",
            ),
            ("batch-size = 3", "did you mean batch_size?"),
            ("batch_size = \"many\"", "line 17: batch_size: invalid type"),
            ("ewc = nan", "line 17: ewc: expected a finite number"),
            ("schedule = \"linaer\"", "unknown variant `linaer`"),
            ("weights = \"int3\"", "weights: expected auto"),
            ("force = true", "unknown key `force`"),
            ("[training]", "unknown key `training`"),
            ("lr = 1", "duplicate field"),
            ("data = [\"a\"]", "duplicate key"),
            ("time_slice = 0", "invalid time_slice: 0"),
            ("ewc_text = \"self\"", "ewc_text"),
            ("messages_column = \"chat\"", "invalid column"),
        ] {
            let error = settings("", &format!("{FILE}{line}\n")).unwrap_err();
            assert!(
                error.report().contains(message),
                "{line}: {}",
                error.report()
            );
        }
        let error = settings("--out out", "").unwrap_err().report();
        assert!(error.contains("invalid data: not given"), "{error}");
    }

    #[test]
    fn printed_settings_are_read_again() {
        for line in [
            "",
            "--no-dial --weights q8_0",
            "--method eaft --adapter none --seed 9",
        ] {
            let arguments = settings(line, FILE).unwrap();
            let options = arguments.training.options(true).unwrap();
            let no_dial = arguments.no_dial == Some(true);
            let mut trained = options
                .settings()
                .unwrap()
                .with_seed(arguments.training.seed.unwrap());
            trained.dial = trained.dial.filter(|_| !no_dial);
            let fields = effective(&arguments, &trained).unwrap();
            let text = toml(&fields).unwrap();
            let again = settings("", &text).unwrap();
            assert_eq!(again.fields().unwrap(), fields, "{text}");
            assert_eq!(
                again.training.options.settings().unwrap().objective,
                trained.objective
            );
            // Every setting is printed.
            let lines = text.lines().filter(|line| line.contains(" = "));
            assert_eq!(lines.count(), fields.len(), "{text}");
        }
    }

    #[test]
    fn every_key_is_an_argument() {
        let command = Arguments::command();
        let train = command.find_subcommand("train").unwrap();
        let arguments = train.get_arguments().chain(command.get_arguments());
        let ids: Vec<&str> = arguments
            .map(|argument| argument.get_id().as_str())
            .collect();
        for key in TrainArguments::keys() {
            let is_known = ids.contains(&key.as_str());
            assert!(
                is_known || ["dial", "learning_rate"].contains(&key.as_str()),
                "{key}"
            );
        }
    }
}
