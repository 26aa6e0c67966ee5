//! Comparisons of methods over their strengths, on the same data with the same number of steps per sample,
//! as described by a recipe.
//!
//! ```text
//! recipe → cells → records (results.jsonl) → statistics → results.csv, report.html
//! ```

mod cells;
mod options;
mod plots;
mod recipe;
mod report;
mod results;
mod source;
mod statistics;

pub use cells::{Cell, Plan, Texts};
pub use recipe::{Method, Recipe};
pub use report::report_html;
pub use results::{ChoiceChange, Identity, Record, Results, write_csv};
pub use source::Source;
pub use statistics::{
    Best, Group, Ratio, Spread, Summary, format_number, summarize, title, verdict,
};
