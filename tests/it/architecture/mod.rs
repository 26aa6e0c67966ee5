//! The sources follow `ARCHITECTURE.md`: allowed imports between rooms, no import cycles between files, few
//! entries directly under `src`, no long files.
#![allow(clippy::unwrap_used)]

mod cases;
mod source;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use source::{Crate, Reference, Sources};

const MOST_ENTRIES: usize = 18;
const MOST_LINES: usize = 400;
/// Files with a lower limit: the training step fits on a page.
const SHORT_FILES: [(&str, usize); 1] = [("train/step.rs", 200)];
/// The folder of the model families, and the limit of each of its files.
const FAMILIES: (&str, usize) = ("model/family/", 200);
/// Files that belong to no room: the roots of the library and of the program.
const ROOTS: [&str; 2] = ["lib.rs", "main.rs"];

/// The rooms that each room may import.
type Table = BTreeMap<String, BTreeSet<String>>;

/// Reads the table of ARCHITECTURE.md.
fn table(markdown: &str) -> Table {
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim().trim_matches('|');
        line.split('|')
            .map(|cell| cell.trim().to_lowercase())
            .collect()
    };
    let rooms = |cell: &str| -> Vec<String> {
        let quoted = cell.split('`').skip(1).step_by(2);
        quoted
            .map(|room| room.trim_end_matches('/').to_string())
            .collect()
    };
    let mut lines = markdown.lines();
    lines
        .by_ref()
        .find(|line| line.trim().starts_with('|') && cells(line) == ["room", "may import"])
        .expect("ARCHITECTURE.md has a table with the header | room | may import |");
    let mut table = Table::new();
    for line in lines
        .skip(1)
        .take_while(|line| line.trim().starts_with('|'))
    {
        let cells = cells(line);
        for room in rooms(&cells[0]) {
            table.entry(room).or_default().extend(rooms(&cells[1]));
        }
    }
    table
}

/// Returns the room of a file: the first component of its path.
fn room(file: &str) -> &str {
    let first = file.split('/').next().unwrap();
    first.trim_end_matches(".rs")
}

/// Returns every violation of the rules, with file and line.
fn violations(table: &Table, sources: &Sources) -> Vec<String> {
    let mut found = sizes(sources);
    let files = sources
        .keys()
        .filter(|file| !ROOTS.contains(&file.as_str()));
    let rooms: BTreeSet<&str> = files.map(|file| room(file)).collect();
    for room in &rooms {
        if !table.contains_key(*room) {
            found.push(format!(
                "ARCHITECTURE.md: the table has no row for `{room}`"
            ));
        }
    }
    for room in table
        .keys()
        .chain(table.values().flatten())
        .collect::<BTreeSet<_>>()
    {
        if !rooms.contains(room.as_str()) {
            found.push(format!(
                "ARCHITECTURE.md: the table names `{room}`, which src does not have"
            ));
        }
    }
    let tree = Crate::parse(sources);
    found.extend(forbidden_imports(table, &rooms, &tree));
    found.extend(import_cycles(&tree));
    found
}

fn sizes(sources: &Sources) -> Vec<String> {
    let mut found = Vec::new();
    let entries: BTreeSet<&str> = sources
        .keys()
        .map(|file| file.split('/').next().unwrap())
        .collect();
    if entries.len() > MOST_ENTRIES {
        found.push(format!(
            "src: {} entries, at most {MOST_ENTRIES}",
            entries.len()
        ));
    }
    for (file, text) in sources {
        let special = SHORT_FILES.iter().find(|(name, _)| name == file);
        let usual = match file.starts_with(FAMILIES.0) {
            true => FAMILIES.1,
            false => MOST_LINES,
        };
        let most = special.map_or(usual, |&(_, most)| most);
        let lines = text.lines().count();
        if lines > most {
            found.push(format!("src/{file}: {lines} lines, at most {most}"));
        }
    }
    for (file, _) in SHORT_FILES {
        if !sources.contains_key(file) {
            found.push(format!("src/{file}: missing"));
        }
    }
    found
}

/// Returns imports of rooms that the table does not allow.
fn forbidden_imports(table: &Table, rooms: &BTreeSet<&str>, tree: &Crate) -> Vec<String> {
    let mut found = Vec::new();
    let mut reported = BTreeSet::new();
    for reference in &tree.references {
        let Reference {
            file, line, path, ..
        } = reference;
        if ROOTS.contains(&file.as_str()) {
            continue;
        }
        // Re-exports of the crate's root belong to the room that defines them.
        let named = path
            .first()
            .map(String::as_str)
            .filter(|room| rooms.contains(room));
        let Some(imported) = named.or_else(|| tree.definition(path).map(room)) else {
            continue;
        };
        let own = room(file);
        let allowed = table
            .get(own)
            .is_some_and(|allowed| allowed.contains(imported));
        let is_root = ROOTS.iter().any(|root| room(root) == imported);
        if imported != own && !is_root && !allowed && reported.insert((file, line, imported)) {
            found.push(format!(
                "src/{file}:{line}: `{own}` may not import `{imported}` (crate::{})",
                path.join("::")
            ));
        }
    }
    found
}

/// Returns import cycles between files: a shortest one per group of files that import each other. A module
/// may use its child modules.
fn import_cycles(tree: &Crate) -> Vec<String> {
    let mut edges: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for reference in tree
        .references
        .iter()
        .filter(|reference| !reference.leads_below())
    {
        let Some(to) = tree.definition(&reference.path) else {
            continue;
        };
        let from = reference.file.as_str();
        if from != to && !ROOTS.contains(&from) && !ROOTS.contains(&to) {
            edges
                .entry(from)
                .or_default()
                .entry(to)
                .or_insert(reference.line);
        }
    }
    let mut found = Vec::new();
    let mut reported: BTreeSet<&str> = BTreeSet::new();
    for &start in edges.keys() {
        if reported.contains(start) {
            continue;
        }
        if let Some(cycle) = shortest_cycle(&edges, start) {
            reported.extend(&cycle);
            let steps = cycle.iter().zip(cycle.iter().cycle().skip(1));
            let steps =
                steps.map(|(from, to)| format!("src/{from}:{} → src/{to}", edges[from][to]));
            found.push(format!(
                "import cycle: {}",
                steps.collect::<Vec<_>>().join(", ")
            ));
        }
    }
    found
}

/// Returns a shortest path from a file back to itself.
fn shortest_cycle<'a>(
    edges: &BTreeMap<&'a str, BTreeMap<&'a str, usize>>,
    start: &'a str,
) -> Option<Vec<&'a str>> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut row = vec![start];
    while !row.is_empty() {
        let mut next = Vec::new();
        for &from in &row {
            for &to in edges.get(from).into_iter().flat_map(BTreeMap::keys) {
                if to == start {
                    let mut cycle = vec![from];
                    while let Some(&earlier) = before.get(cycle.last().unwrap()) {
                        cycle.push(earlier);
                    }
                    cycle.reverse();
                    return Some(cycle);
                }
                if to != start && !before.contains_key(to) {
                    before.insert(to, from);
                    next.push(to);
                }
            }
        }
        row = next;
    }
    None
}

/// Reads every Rust file below a folder.
fn read(folder: &Path) -> Sources {
    let mut sources = Sources::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
                sources.insert(name.replace('\\', "/"), fs::read_to_string(&path).unwrap());
            }
        }
    }
    sources
}

/// Checks this repository, or the one that the environment variable `MINIFT_SRC` names.
#[test]
fn the_sources_follow_the_architecture() {
    let root = std::env::var_os("MINIFT_SRC").map(PathBuf::from);
    let root = root.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let table = table(&fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap());
    let found = violations(&table, &read(&root.join("src")));
    assert!(
        found.is_empty(),
        "{} violations:\n{}",
        found.len(),
        found.join("\n")
    );
}
