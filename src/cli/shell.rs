//! `minift completions` and `minift man`: what packages ship beside the program.

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::Ended;
use super::args::{Arguments, CompletionsArguments, ManArguments};
use super::output::{Output, counted};
use crate::error::{Error, Result};
use crate::files::write_file;

/// Prints the completions of a shell.
pub(super) fn completions(arguments: &CompletionsArguments, output: &Output) -> Ended {
    let mut command = Arguments::command();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "minift", &mut script);
    output.text(String::from_utf8_lossy(&script).trim_end());
    Ended::Success
}

/// Writes a man page of the program and one of each command.
pub(super) fn man(arguments: &ManArguments, output: &Output) -> Result<Ended> {
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let mut program = Arguments::command().disable_help_subcommand(true);
    program.build();
    let commands: Vec<Command> = program.get_subcommands().cloned().collect();
    let count = 1 + commands.len();
    for command in std::iter::once(program).chain(commands) {
        let page = Man::new(command);
        let path = folder.join(page.get_filename());
        let mut roff = Vec::new();
        page.render(&mut roff).map_err(Error::io("write", &path))?;
        write_file(&path, &roff)?;
    }
    output.text(format!(
        "{} written to {}",
        counted(count, "man page"),
        folder.display()
    ));
    Ok(Ended::Success)
}
