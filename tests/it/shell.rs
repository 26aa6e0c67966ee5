//! The program in a terminal: completions, man pages, and what it says without a command.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::common::names;

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
