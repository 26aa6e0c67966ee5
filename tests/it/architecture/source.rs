//! A small parser of Rust sources: the module tree, the items and re-exports of each module, and every path
//! that refers to another file. Comments and `#[cfg(test)]` items are skipped.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::{Token, is_name, tokens};

/// Sources by their path below `src`, such as `train/step.rs`.
pub type Sources = BTreeMap<String, String>;

/// A path that a file refers to, such as `crate::model::CausalLm`.
#[derive(Clone, Debug)]
pub struct Reference {
    pub file: String,
    pub line: usize,
    /// Segments from the root of the crate, without the leading `crate`.
    pub path: Vec<String>,
    /// The module that contains it.
    module: Vec<String>,
}

impl Reference {
    /// Returns whether a module refers to one of its descendants, which is always allowed.
    pub fn leads_below(&self) -> bool {
        self.path.starts_with(&self.module)
    }
}

#[derive(Debug, Default)]
struct Module {
    file: String,
    items: BTreeSet<String>,
    /// Imported names and their paths.
    imports: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// Names of its child modules.
    children: BTreeSet<String>,
}

/// The modules of a crate by path, and their references.
#[derive(Debug, Default)]
pub struct Crate {
    modules: BTreeMap<Vec<String>, Module>,
    pub references: Vec<Reference>,
}

impl Crate {
    /// Reads `lib.rs` and every module that it declares.
    pub fn parse(sources: &Sources) -> Self {
        let mut found = Self::default();
        found.read(sources, "lib.rs", Vec::new());
        found
    }

    /// Returns the file that defines the item of a path, resolving imports and re-exports.
    pub fn definition(&self, path: &[String]) -> Option<&str> {
        self.resolve(path, &mut BTreeSet::new())
    }

    fn resolve(&self, path: &[String], seen: &mut BTreeSet<Vec<String>>) -> Option<&str> {
        if !seen.insert(path.to_vec()) {
            return None;
        }
        let depth = (0..=path.len()).rfind(|&n| self.modules.contains_key(&path[..n]))?;
        let module = &self.modules[&path[..depth]];
        let Some(name) = path.get(depth) else {
            return Some(&module.file);
        };
        if module.items.contains(name) {
            return Some(&module.file);
        }
        let rest = &path[depth + 1..];
        if let Some(target) = module.imports.get(name) {
            return self.resolve(&[target, rest].concat(), seen);
        }
        let globs = module.globs.iter();
        globs
            .filter_map(|glob| {
                let target = [glob, &path[depth..]].concat();
                let module = self.modules.get(glob)?;
                let known = module.items.contains(name)
                    || module.imports.contains_key(name)
                    || module.children.contains(name);
                known.then(|| self.resolve(&target, seen)).flatten()
            })
            .next()
            .or(Some(&module.file))
    }

    fn read(&mut self, sources: &Sources, file: &str, module: Vec<String>) {
        let Some(text) = sources.get(file) else {
            return;
        };
        let tokens = tokens(text);
        let mut reader = Reader {
            file,
            tokens: &tokens,
            found: self,
            declared: Vec::new(),
        };
        // Two passes, since imports may start with the names of modules declared further down.
        reader.items(0..tokens.len(), &module, true);
        reader.declared.clear();
        reader.items(0..tokens.len(), &module, true);
        reader.items(0..tokens.len(), &module, false);
        let declared = reader.declared;
        for (path, given) in declared {
            let name = path.last().unwrap();
            let folder = folder_of(file, path.len() - 1 - module.len(), &path);
            let candidates = match given {
                Some(given) => vec![join(&parent(file), &given)],
                None => vec![
                    join(&folder, &format!("{name}.rs")),
                    join(&folder, &format!("{name}/mod.rs")),
                ],
            };
            if let Some(found) = candidates
                .into_iter()
                .find(|name| sources.contains_key(name))
            {
                self.read(sources, &found, path);
            }
        }
    }
}

/// Returns the folder of a file's child modules, for a module nested in `inline` modules of the file.
fn folder_of(file: &str, inline: usize, path: &[String]) -> String {
    let stem = file.rsplit('/').next().unwrap().trim_end_matches(".rs");
    let mut folder = parent(file);
    if !["lib", "main", "mod"].contains(&stem) {
        folder = join(&folder, stem);
    }
    let parents = &path[..path.len() - 1];
    for name in &parents[parents.len() - inline..] {
        folder = join(&folder, name);
    }
    folder
}

fn parent(file: &str) -> String {
    file.rsplit_once('/')
        .map_or("", |(folder, _)| folder)
        .to_string()
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_string()
    } else {
        format!("{folder}/{name}")
    }
}

struct Reader<'a> {
    file: &'a str,
    tokens: &'a [Token],
    found: &'a mut Crate,
    /// Modules in separate files, with the file name given by `#[path]`, if any.
    declared: Vec<(Vec<String>, Option<String>)>,
}

impl Reader<'_> {
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    /// Reads items: in one pass their definitions, in another their references.
    fn items(&mut self, range: std::ops::Range<usize>, module: &[String], definitions: bool) {
        if definitions {
            let entry = self.found.modules.entry(module.to_vec()).or_default();
            entry.file = self.file.to_string();
        }
        let mut at = range.start;
        // Only items outside blocks belong to the module.
        let mut depth = 0;
        let (mut is_test, mut given, mut is_exported) = (false, None, false);
        while at < range.end {
            let (token, next) = (self.text(at).to_string(), self.text(at + 1).to_string());
            if token == "#" && (next == "[" || next == "!" && self.text(at + 2) == "[") {
                let end = self.matching(at + if next == "[" { 1 } else { 2 });
                let attribute: Vec<&str> = (at..end).map(|at| self.text(at)).collect();
                is_test |= attribute[2..].starts_with(&["cfg", "(", "test"])
                    || attribute[2..].starts_with(&["cfg", "(", "all", "(", "test"]);
                is_exported |= attribute.contains(&"macro_export");
                if attribute.get(2) == Some(&"path") {
                    given = attribute
                        .get(4)
                        .map(|name| name.trim_matches('"').to_string());
                }
                at = end + 1;
                continue;
            }
            if token == "pub" {
                at = if next == "(" {
                    self.matching(at + 1) + 1
                } else {
                    at + 1
                };
                continue;
            }
            let defines = definitions && depth == 0;
            if is_test {
                at = self.end_of_item(at);
            } else {
                at = match token.as_str() {
                    "{" => {
                        depth += 1;
                        at + 1
                    }
                    "}" => {
                        depth -= 1;
                        at + 1
                    }
                    "use" if definitions && !defines => self.end_of_item(at),
                    "use" => self.imports(at, module, definitions),
                    "mod" if self.text(at + 2) == "{" => {
                        let end = self.matching(at + 2);
                        let path = [module, &[next]].concat();
                        if definitions {
                            self.child(module, path.last().unwrap());
                        }
                        self.items(at + 3..end, &path, definitions);
                        end + 1
                    }
                    "mod" if self.text(at + 2) == ";" => {
                        if defines {
                            self.child(module, &next);
                            self.declared
                                .push(([module, &[next]].concat(), given.take()));
                        }
                        at + 3
                    }
                    "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static"
                    | "macro_rules" => {
                        let name = if token == "macro_rules" {
                            self.text(at + 2)
                        } else {
                            &next
                        };
                        let name = name.to_string();
                        let home = if is_exported { &[] } else { module };
                        if defines && is_name(&name) {
                            self.module(home).items.insert(name);
                        }
                        at + 1
                    }
                    _ => self.path(at, module, definitions),
                };
            }
            (is_test, given, is_exported) = (false, None, false);
        }
    }

    fn module(&mut self, path: &[String]) -> &mut Module {
        self.found.modules.entry(path.to_vec()).or_default()
    }

    fn child(&mut self, module: &[String], name: &str) {
        self.module(module).children.insert(name.to_string());
    }

    /// Returns the index of the matching closing bracket.
    fn matching(&self, open: usize) -> usize {
        let mut depth = 0;
        for at in open..self.tokens.len() {
            match self.text(at) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return at;
            }
        }
        self.tokens.len()
    }

    /// Returns the index after an item: after its `;` or its block.
    fn end_of_item(&self, begin: usize) -> usize {
        let is_use = self.text(begin) == "use";
        // Generics of an item contain commas; fields, variants and match arms end with one.
        let is_item = [
            "async",
            "const",
            "enum",
            "extern",
            "fn",
            "impl",
            "macro_rules",
            "mod",
            "static",
            "struct",
            "trait",
            "type",
            "union",
            "unsafe",
            "use",
        ]
        .contains(&self.text(begin));
        let mut at = begin;
        while at < self.tokens.len() {
            match self.text(at) {
                ";" => return at + 1,
                "," if !is_item => return at + 1,
                "{" if !is_use => return self.matching(at) + 1,
                "(" | "[" | "{" => at = self.matching(at),
                ")" | "]" | "}" => return at,
                _ => {}
            }
            at += 1;
        }
        at
    }

    /// Returns the path from the crate's root that starts here, if it refers to the crate.
    fn absolute(&self, first: &str, module: &[String]) -> Option<Vec<String>> {
        match first {
            "crate" => Some(Vec::new()),
            "self" => Some(module.to_vec()),
            "super" => Some(module[..module.len().checked_sub(1)?].to_vec()),
            name => {
                let children = &self.found.modules.get(module)?.children;
                children
                    .contains(name)
                    .then(|| [module, &[name.to_string()]].concat())
            }
        }
    }

    /// Reads a `use` item.
    fn imports(&mut self, at: usize, module: &[String], definitions: bool) -> usize {
        let end = self.end_of_item(at);
        let mut leaves = Vec::new();
        self.tree(at + 1, None, module, &mut leaves);
        for (line, path, name) in leaves {
            if !definitions {
                self.found.references.push(Reference {
                    file: self.file.to_string(),
                    line,
                    path,
                    module: module.to_vec(),
                });
            } else if name == "*" {
                self.module(module).globs.push(path);
            } else {
                self.module(module).imports.insert(name, path);
            }
        }
        end
    }

    /// Reads a tree of a `use` item into its leaves: line, path and name. Returns the index after it.
    fn tree(
        &self,
        mut at: usize,
        mut prefix: Option<Vec<String>>,
        module: &[String],
        leaves: &mut Vec<(usize, Vec<String>, String)>,
    ) -> usize {
        let is_nested = prefix.is_some();
        let mut begun = false;
        loop {
            let line = self.tokens.get(at).map_or(0, |token| token.line);
            match self.text(at) {
                "{" => {
                    let end = self.matching(at);
                    at += 1;
                    while at < end {
                        // A tree at the start: `use {crate::a, crate::b};`.
                        at = self.tree(at, prefix.clone(), module, leaves);
                        at += usize::from(self.text(at) == ",");
                    }
                    return end + 1;
                }
                "*" => {
                    if let Some(path) = prefix {
                        leaves.push((line, path, "*".to_string()));
                    }
                    return at + 1;
                }
                "::" => at += 1,
                segment => {
                    if !is_nested && !begun {
                        prefix = self.absolute(segment, module);
                    } else if let Some(path) = &mut prefix {
                        match segment {
                            "super" => drop(path.pop()),
                            "self" => {}
                            name => path.push(name.to_string()),
                        }
                    }
                    begun = true;
                    at += 1;
                    if self.text(at) == "::" {
                        continue;
                    }
                    let renamed = self.text(at) == "as";
                    if let Some(path) = prefix {
                        let last = path.last().cloned().unwrap_or_default();
                        let name = if renamed {
                            self.text(at + 1).to_string()
                        } else {
                            last
                        };
                        leaves.push((line, path, name));
                    }
                    return at + if renamed { 2 } else { 0 };
                }
            }
        }
    }

    /// Reads a path outside `use`, if one starts here. Returns the index after it.
    fn path(&mut self, at: usize, module: &[String], definitions: bool) -> usize {
        let begins = self.text(at + 1) == "::"
            && (at == 0 || self.text(at - 1) != "::")
            && is_name(self.text(at));
        if !begins {
            return at + 1;
        }
        let Some(mut path) = self.absolute(self.text(at), module) else {
            return at + 1;
        };
        let line = self.tokens[at].line;
        let mut end = at + 1;
        while self.text(end) == "::" && is_name(self.text(end + 1)) {
            match self.text(end + 1) {
                "super" => drop(path.pop()),
                name => path.push(name.to_string()),
            }
            end += 2;
        }
        if !definitions {
            self.found.references.push(Reference {
                file: self.file.to_string(),
                line,
                path,
                module: module.to_vec(),
            });
        }
        end
    }
}
