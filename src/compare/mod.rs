//! Comparisons of methods over their strengths, on the same data with the same number of steps per sample,
//! as described by a recipe.
//!
//! ```text
//! recipe → cells → records (results.jsonl) → statistics → results.csv, report.html
//! ```
//!
//! A scheduler can run the cells in many processes: each then has its record in a file of its own, in `cells/`.

mod cell_files;
mod cells;
mod ids;
mod options;
mod plots;
mod recipe;
mod record;
mod report;
mod results;
mod source;
mod statistics;

pub use cells::{Cell, Plan, Texts};
pub use ids::Shard;
pub use recipe::{Method, Recipe};
pub use record::{ChoiceChange, Identity, Record};
pub use report::report_html;
pub use results::{Results, write_csv};
pub use source::Source;
pub use statistics::{
    BOUNDS, Best, EqualForgetting, Group, Ratio, Spread, Summary, equal_forgetting, format_number,
    summarize, title, verdict,
};
