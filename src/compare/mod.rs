//! Comparisons: methods, each over its own strength, on the same data with the same number of steps a
//! sample, by a recipe that people write and read.
//!
//! ```text
//! recipe → cells → records (results.jsonl) → statistics → results.csv, report.html
//! ```

mod cells;
mod plots;
mod recipe;
mod report;
mod results;
mod statistics;

pub use cells::{Cell, Plan, Texts};
pub use recipe::{Method, Recipe, Source};
pub use report::report_html;
pub use results::{Identity, Record, Results, write_csv};
pub use statistics::{Best, Group, Ratio, Spread, Summary, figures, summarize, title, verdict};
