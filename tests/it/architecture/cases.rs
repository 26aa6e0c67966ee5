//! The rules, tested on small crates.

use super::{table, violations};

const TABLE: &str = "
Text before.

| room | may import |
|---|---|
| `base`, `error` | |
| `top` | `base`, `error` |
| `train` | `base`, `top` |

Text after with `other` rooms.
";

const LIB: &str = "
pub mod base;
pub mod error;
pub mod top;
pub mod train;
pub use error::{Error, Result};
";

/// Returns the violations of a small crate that contains these files.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let default = [
        ("lib.rs", LIB),
        ("base.rs", "pub struct Base;"),
        (
            "error.rs",
            "pub struct Error; pub type Result<T> = std::result::Result<T, Error>;",
        ),
        (
            "top/mod.rs",
            "mod high; mod low; pub use high::High; pub(crate) use low::{Low, low as lowest};",
        ),
        (
            "top/high.rs",
            "use super::low::Low; use crate::{Error, base::Base}; pub struct High(Low);",
        ),
        ("top/low.rs", "pub struct Low; pub fn low() {}"),
        ("train/mod.rs", "pub mod step;"),
        (
            "train/step.rs",
            "use crate::{base::{self, Base}, top::{High, *}}; fn step() { crate::top::lowest() }",
        ),
    ];
    let sources = default.iter().chain(files);
    let sources = sources.map(|(name, text)| (name.to_string(), text.to_string()));
    violations(&table(TABLE), &sources.collect())
}

/// Asserts that exactly one violation contains all these words.
fn one(found: Vec<String>, words: &[&str]) {
    let fits = |line: &&String| words.iter().all(|word| line.contains(word));
    assert_eq!(
        found.iter().filter(fits).count(),
        1,
        "{words:?} in {found:#?}"
    );
}

#[test]
fn valid_imports_pass() {
    assert_eq!(found(&[]), Vec::<String>::new());
    let excluded = "
        //! [`crate::top::High`] and \"
        /* use crate::top::High; /* */ use crate::train::step; */
        const TEXT: (&str, char, &str) = (\"use crate::top::High;\", '\"', r#\"crate::top::High \" \"#);
        pub struct Base<'a>(&'a str);
        #[cfg(test)]
        use crate::top::High;
        #[cfg(test)]
        fn helper<A, B>() { crate::top::lowest() }
        #[cfg(all(test, unix))]
        mod tests { use super::*; use crate::top::High; }
        #[cfg(test)]
        mod more_tests;
    ";
    let tests = ("base/more_tests.rs", "use crate::top::High;");
    assert_eq!(found(&[("base.rs", excluded), tests]), Vec::<String>::new());
}

#[test]
fn forbidden_imports_are_found() {
    let words = ["src/base.rs:2", "`base` may not import `top`"];
    one(
        found(&[(
            "base.rs",
            "pub struct Base;\nuse crate::{error, top::High as Other};",
        )]),
        &words,
    );
    one(
        found(&[(
            "base.rs",
            "\nfn f() -> crate::top::High {} pub struct Base;",
        )]),
        &words,
    );
    one(
        found(&[("base.rs", "\nuse super::top::High; pub struct Base;")]),
        &words,
    );
    one(
        found(&[(
            "base.rs",
            "pub struct Base; mod inner {\n use super::super::top::High; }",
        )]),
        &words,
    );
    one(
        found(&[(
            "base.rs",
            "pub struct Base;\n#[cfg(not(test))] use crate::top::High;",
        )]),
        &words,
    );
    // Re-exports of the root belong to the room that defines them.
    let step = "use crate::Error;";
    one(
        found(&[("train/step.rs", step)]),
        &["`train` may not import `error`"],
    );
}

#[test]
fn import_cycles_are_found() {
    let words = [
        "import cycle",
        "src/top/high.rs:1 → src/top/low.rs",
        "src/top/low.rs:2 → src/top/high.rs",
    ];
    for import in [
        "use super::high::High;",
        "use crate::top::High;",
        "use super::*; fn f(high: super::High) {}",
    ] {
        let low = format!("pub struct Low; pub fn low() {{}}\n{import}");
        one(found(&[("top/low.rs", &low)]), &words);
    }
    // A parent may use its child modules, even if they use its items.
    let parent =
        "mod high;\nmod low;\npub use high::High; use low::Low; fn low() {} pub fn lowest() {}";
    let low = "pub struct Low; use super::lowest;";
    let files = [("top/mod.rs", parent), ("top/low.rs", low)];
    assert_eq!(found(&files), Vec::<String>::new());
}

#[test]
fn sizes_and_the_table_are_checked() {
    let long = "\n".repeat(201);
    one(
        found(&[("train/step.rs", &long)]),
        &["src/train/step.rs: 201 lines, at most 200"],
    );
    let long = format!("{}pub struct Base;\n", "\n".repeat(400));
    one(
        found(&[("base.rs", &long)]),
        &["src/base.rs: 401 lines, at most 400"],
    );
    one(found(&[("cellar.rs", "")]), &["no row for `cellar`"]);
    let names: Vec<String> = (0..14).map(|n| format!("top{n}.rs")).collect();
    let more: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    assert!(found(&more)[0].contains("src: 19 entries, at most 18"));
}
