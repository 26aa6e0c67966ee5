//! Settings of the library as flags of the command line.

use clap::CommandFactory;

use super::args::Arguments;
use crate::error::Error;

/// Settings whose flag has another name.
const FLAGS: [(&str, &str); 5] = [
    ("learning_rate", "lr"),
    ("warmup_steps", "warmup"),
    ("gradient_accumulation", "grad-accumulation"),
    ("gradient_clip", "clip"),
    ("alpha", "mix-alpha"),
];

/// Returns the message of an error, with the flag of an invalid setting where `command` has one.
pub(super) fn message(error: &Error, command: &str) -> String {
    match error {
        Error::InvalidSetting {
            name,
            value,
            expected,
        } => match flag(name, command) {
            Some(flag) => format!("invalid {name} (--{flag}): {value}, expected {expected}"),
            None => error.report(),
        },
        Error::OutputExists { .. } if flag("force", command).is_some() => {
            format!("{error}: choose another folder, or pass --force to replace it")
        }
        _ => error.report(),
    }
}

/// Returns the flag of a setting, if `command` has one.
fn flag(setting: &str, command: &str) -> Option<String> {
    let known = FLAGS.iter().find(|(name, _)| *name == setting);
    let flag = known.map_or_else(|| setting.replace('_', "-"), |(_, flag)| flag.to_string());
    let arguments = Arguments::command();
    let of_command = arguments.find_subcommand(command)?.get_arguments();
    of_command
        .chain(arguments.get_arguments())
        .any(|argument| argument.get_long() == Some(flag.as_str()))
        .then_some(flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_setting_and_flag() {
        for (setting, command, expected) in [
            ("batch_size", "train", "batch_size (--batch-size): 0"),
            ("learning_rate", "train", "learning_rate (--lr): 0"),
            ("alpha", "train", "alpha (--mix-alpha): 0"),
            ("lora_alpha", "train", "lora_alpha (--lora-alpha): 0"),
            // Settings of a recipe have no flag.
            ("max_length", "compare", "max_length: 0"),
            ("HF_TOKEN", "eval", "HF_TOKEN: 0"),
        ] {
            let error = Error::setting(setting, 0, "more");
            let expected = format!("invalid {expected}, expected more");
            assert_eq!(message(&error, command), expected);
        }
    }

    #[test]
    fn every_flag_of_the_table_exists() {
        for (setting, name) in FLAGS {
            assert_eq!(flag(setting, "train").as_deref(), Some(name));
        }
    }
}
