//! The documentation: the size of the README, links, anchors, and paths in the prose.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Limits of the README.
const README_LINES: usize = 200;
const README_COLUMNS: usize = 120;

/// Folders without documents of this repository: build outputs, dependencies, test inputs.
const SKIPPED: [&str; 9] = [
    ".git",
    "target",
    "node_modules",
    "web/dist",
    "web/package",
    "web/wasm",
    "web/wasm-tests",
    "web/test-results",
    "fuzz/seeds",
];

/// Folders at the top level: a path in backquotes that starts with one of them is a path of this
/// repository.
const FOLDERS: [&str; 14] = [
    ".ci",
    ".github",
    "assets",
    "benches",
    "docs",
    "examples",
    "fuzz",
    "include",
    "packaging",
    "recipes",
    "shaders",
    "src",
    "tests",
    "web",
];

/// Documents whose paths in backquotes must exist.
const WITH_PATHS: [&str; 2] = ["ARCHITECTURE.md", "CONTRIBUTING.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every Markdown file with its text, by its path from the root.
fn documents() -> BTreeMap<PathBuf, String> {
    let mut documents = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a readable folder") {
            let entry = entry.expect("a readable folder");
            let path = folder.join(entry.file_name());
            let is_skipped = SKIPPED.iter().any(|skipped| {
                path == Path::new(skipped) || path.file_name() == Some(skipped.as_ref())
            });
            let kind = entry.file_type().expect("a file type");
            if kind.is_dir() && !is_skipped {
                folders.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|ending| ending == "md") {
                let text = fs::read_to_string(root().join(&path)).expect("a text in UTF-8");
                documents.insert(path, text);
            }
        }
    }
    documents
}

/// Returns the lines outside fenced code blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_block = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            return None;
        }
        (!in_block).then_some((index + 1, line))
    })
}

/// Splits a line into its text and its code spans.
fn without_code(line: &str) -> (String, Vec<&str>) {
    let (mut text, mut code) = (String::new(), Vec::new());
    for (index, part) in line.split('`').enumerate() {
        match index % 2 {
            0 => text.push_str(part),
            _ => code.push(part),
        }
    }
    (text, code)
}

/// Returns the targets of the links and images of a line, and of its reference definition.
fn targets(line: &str) -> Vec<String> {
    let (text, _) = without_code(line);
    let mut targets: Vec<String> = text
        .match_indices("](")
        .filter_map(|(start, opening)| {
            let rest = &text[start + opening.len()..];
            rest.find(')').map(|end| rest[..end].to_string())
        })
        .collect();
    if text.starts_with('[')
        && let Some((_, target)) = text.split_once("]: ")
    {
        targets.push(target.trim().to_string());
    }
    targets
}

/// Returns the anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let headings = prose(text).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        let level = line.len() - title.len();
        (1..=6)
            .contains(&level)
            .then(|| title.strip_prefix(' '))
            .flatten()
    });
    headings
        .map(|title| {
            let kept = title.trim().chars().filter_map(|letter| match letter {
                ' ' => Some('-'),
                '-' | '_' => Some(letter),
                _ if letter.is_alphanumeric() => Some(letter),
                _ => None,
            });
            let anchor: String = kept.flat_map(char::to_lowercase).collect();
            let count = seen.entry(anchor.clone()).or_default();
            *count += 1;
            match *count {
                1 => anchor,
                count => format!("{anchor}-{}", count - 1),
            }
        })
        .collect()
}

/// Resolves `..` in a relative path; `None` if it leaves the repository.
fn normalized(path: &Path) -> Option<PathBuf> {
    let mut normalized = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => normalized.push(name),
            Component::CurDir => {}
            Component::ParentDir if normalized.pop() => {}
            _ => return None,
        }
    }
    Some(normalized)
}

/// Returns the fault of a link in a document, if any.
fn broken(
    documents: &BTreeMap<PathBuf, String>,
    document: &Path,
    target: &str,
) -> Option<&'static str> {
    if target.starts_with("https://") || target.starts_with("http://") {
        return None;
    }
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (target, None),
    };
    let linked = match path {
        "" => document.to_path_buf(),
        _ => match normalized(&document.parent().unwrap_or(Path::new("")).join(path)) {
            Some(linked) => linked,
            None => return Some("leads out of the repository"),
        },
    };
    if !root().join(&linked).exists() {
        return Some("no such file");
    }
    match (anchor, documents.get(&linked)) {
        (None, _) => None,
        (Some(anchor), Some(text)) if anchors(text).iter().any(|known| known == anchor) => None,
        (Some(_), Some(_)) => Some("no such heading"),
        (Some(_), None) => Some("an anchor into a file that is not Markdown"),
    }
}

#[test]
fn the_readme_fits_on_a_page() {
    let text = fs::read_to_string(root().join("README.md")).expect("a README");
    let lines = text.lines().count();
    assert!(
        lines <= README_LINES,
        "README.md has {lines} lines, more than {README_LINES}"
    );
    for (index, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        assert!(
            columns <= README_COLUMNS,
            "README.md:{}: {columns} characters, more than {README_COLUMNS}",
            index + 1
        );
    }
}

#[test]
fn every_relative_link_resolves() {
    let documents = documents();
    for expected in [
        "README.md",
        "docs/guide.md",
        "web/README.md",
        "fuzz/README.md",
    ] {
        assert!(
            documents.contains_key(Path::new(expected)),
            "{expected} was not found"
        );
    }
    let mut links = 0;
    let mut faults = Vec::new();
    for (document, text) in &documents {
        for (number, line) in prose(text) {
            for target in targets(line) {
                links += 1;
                if let Some(fault) = broken(&documents, document, &target) {
                    faults.push(format!(
                        "{}:{number}: {target}: {fault}",
                        document.display()
                    ));
                }
            }
        }
    }
    assert!(links > 50, "only {links} links were found");
    assert!(faults.is_empty(), "broken links:\n{}", faults.join("\n"));
}

#[test]
fn paths_in_backquotes_exist() {
    let mut paths = 0;
    let mut faults = Vec::new();
    for document in WITH_PATHS {
        let text = fs::read_to_string(root().join(document)).expect("a document");
        for (number, line) in prose(&text) {
            let (_, code) = without_code(line);
            for word in code.iter().flat_map(|code| code.split_whitespace()) {
                let is_path = match word.split_once('/') {
                    Some((folder, _)) => FOLDERS.contains(&folder),
                    None => [".md", ".toml", ".sh"]
                        .iter()
                        .any(|end| word.ends_with(end)),
                };
                if !is_path {
                    continue;
                }
                paths += 1;
                let path = root().join(word);
                let exists = if word.ends_with('/') {
                    path.is_dir()
                } else {
                    path.exists()
                };
                if !exists {
                    faults.push(format!("{document}:{number}: {word}"));
                }
            }
        }
    }
    assert!(paths > 20, "only {paths} paths were found");
    assert!(faults.is_empty(), "no such files:\n{}", faults.join("\n"));
}

#[test]
fn links_anchors_and_code_are_told_apart() {
    assert_eq!(
        targets("[a](b.md#c) and ![d](e.png), `[f](g)`"),
        ["b.md#c", "e.png"]
    );
    assert_eq!(targets("[h]: https://example.org"), ["https://example.org"]);
    assert_eq!(
        anchors("# run.json\n```\n# not this\n```\n## Train an adapter, and merge it\n## run.json"),
        ["runjson", "train-an-adapter-and-merge-it", "runjson-1"]
    );
    assert_eq!(
        normalized(Path::new("docs/../README.md")),
        Some("README.md".into())
    );
    assert_eq!(normalized(Path::new("../README.md")), None);
}
