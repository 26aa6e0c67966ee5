//! The program in a terminal: completions, man pages, and what it says without a command.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::common::{names, write_tickets};

fn minift(folder: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_minift"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

#[test]
fn completions_name_commands_and_options() {
    let scratch = tempfile::tempdir().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = minift(scratch.path(), &["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        for word in [
            "print-config",
            "compare",
            "max-degeneralization",
            "bfloat16",
        ] {
            assert!(script.contains(word), "{word} for {shell}");
        }
        #[cfg(unix)]
        if shell == "bash" {
            let path = scratch.path().join("minift.bash");
            std::fs::write(&path, &script).unwrap();
            let checked = Command::new("bash").arg("-n").arg(&path).output().unwrap();
            assert!(checked.status.success(), "{checked:?}");
        }
    }
}

#[test]
fn every_command_has_a_man_page() {
    let scratch = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        minift(scratch.path(), &["man", "share/man"]);
    }
    let help = minift(scratch.path(), &["help"]);
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, commands) = help.split_once("Commands:").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let of_line = |line: &str| line.split_whitespace().next().map(str::to_string);
    // Descriptions may take several lines.
    let commands = commands.lines().filter(|line| !line.starts_with("   "));
    let mut expected: Vec<String> = commands
        .filter_map(of_line)
        .filter(|name| name != "help")
        .map(|name| format!("minift-{name}.1"))
        .collect();
    expected.push("minift.1".to_string());
    expected.sort();
    let pages = scratch.path().join("share/man");
    assert_eq!(names(&pages), expected);
    let train = std::fs::read_to_string(pages.join("minift-train.1")).unwrap();
    assert!(
        train.contains(".TH") && train.contains("print\\-config"),
        "{train}"
    );
}

#[test]
fn the_demonstration_is_announced() {
    let scratch = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_minift"))
        .current_dir(scratch.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let lines = lines.map(Result::unwrap);
    let said: Vec<String> = lines
        .take_while(|line| !line.starts_with("Device"))
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let said = said.join("\n");
    for words in [
        "minift-out",
        "tickets of a bicycle",
        "minift train --data",
        "minift help",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
}

/// Runs the program in a terminal of 60 columns, and returns what it shows.
#[cfg(target_os = "linux")]
fn in_terminal(folder: &Path, variables: &[(&str, &str)], arguments: &str) -> String {
    let program = env!("CARGO_BIN_EXE_minift");
    let command = format!("stty rows 24 cols 60 && exec '{program}' {arguments}");
    let mut script = Command::new("script");
    // What asks for colours or forbids them; a CI service's variable counts as a request.
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
        script.env_remove(variable);
    }
    let output = script
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .current_dir(folder)
        .env("TERM", "xterm-256color")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn progress_fits_a_narrow_terminal_and_a_dumb_one_gets_lines() {
    let scratch = tempfile::tempdir().unwrap();
    write_tickets(scratch.path(), 24);
    let train = |terminal: &str, out: &str| {
        let arguments = format!(
            "--device cpu train --data tickets.jsonl --max-length 32 --max-steps 4 --no-dial --out {out}"
        );
        in_terminal(scratch.path(), &[("TERM", terminal)], &arguments)
    };
    let shown = train("xterm-256color", "replaced");
    assert!(shown.contains('\x1b'), "{shown}");
    // A line that stays is filled up to the terminal's width, and the next one follows it.
    let progress: Vec<&str> = shown
        .split(['\r', '\n'])
        .filter(|line| line.contains("/4 ") && !line.contains("evaluating"))
        .collect();
    assert!(!progress.is_empty(), "{shown}");
    for line in progress {
        assert!(
            console::measure_text_width(line.trim_end()) < 60,
            "{line:?}"
        );
    }
    let shown = train("dumb", "lines");
    assert!(shown.contains("4/4"), "{shown}");
    let controls = |c: char| c.is_control() && c != '\n';
    assert!(!shown.replace("\r\n", "\n").contains(controls), "{shown:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn help_is_coloured_unless_no_color_is_set() {
    let scratch = tempfile::tempdir().unwrap();
    let help = |variables: &[(&str, &str)]| in_terminal(scratch.path(), variables, "train --help");
    assert!(help(&[]).contains("\x1b["));
    for variables in [[("NO_COLOR", "1")], [("TERM", "dumb")]] {
        let shown = help(&variables);
        assert!(!shown.contains('\x1b'), "{variables:?}: {shown:?}");
    }
}
