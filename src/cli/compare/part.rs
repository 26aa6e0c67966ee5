//! The part of a comparison that a process does.

use serde_json::json;

use super::Comparison;
use super::arguments::PartArguments;
use crate::cli::output::{Output, counted};
use crate::compare::{Cell, Plan};
use crate::error::{Error, Result};
use crate::train::Checkpoints;

/// Prints the names of the trainings.
pub(super) fn list(plan: &Plan, ids: &[String], output: &Output) {
    for number in plan.distinct() {
        let (id, cell) = (&ids[number], &plan.cells[number]);
        output.text(id);
        output.object(&json!({
            "event": "listed",
            "cell": id,
            "domain": plan.domains[cell.domain],
            "method": plan.methods[cell.method].name,
            "value": cell.value,
            "budget": cell.budget,
            "seed": cell.seed,
        }));
    }
}

/// Returns the numbers of the trainings that this process runs.
pub(super) fn select(plan: &Plan, ids: &[String], arguments: &PartArguments) -> Result<Vec<usize>> {
    if arguments.collect {
        return Ok(Vec::new());
    }
    if let Some(name) = &arguments.cell {
        let number = ids.iter().position(|id| id == name).ok_or_else(|| {
            let expected = "the name of a training of the recipe, as --list prints it";
            Error::setting("cell", name, expected)
        })?;
        return Ok(vec![number]);
    }
    let Some(shard) = arguments.shard else {
        return Ok((0..ids.len()).collect());
    };
    let distinct = plan.distinct().into_iter().enumerate();
    let own = distinct.filter(|&(place, _)| shard.contains(place));
    Ok(own.map(|(_, number)| number).collect())
}

impl Comparison<'_> {
    /// Returns how the checkpoints of a training are kept, if other processes may write to the folder: a
    /// scheduler can end a process at any time.
    pub(super) fn checkpoints(&self, number: usize, cell: &Cell) -> Result<Option<Checkpoints>> {
        /// Number of checkpoints of a training.
        const CHECKPOINTS: usize = 5;
        let Some(path) = self.results.checkpoint(&self.ids[number]) else {
            return Ok(None);
        };
        let every = cell.settings.steps(cell.budget)?.div_ceil(CHECKPOINTS);
        Ok(Some(Checkpoints {
            every,
            ..Checkpoints::new(path)
        }))
    }

    /// Says what is left after a share of the trainings.
    pub(super) fn tell_share(&self, output: &Output) {
        output.text(format!(
            "\n{} of {} complete in {}: minift compare --collect writes the tables and the report",
            self.records().len(),
            counted(self.plan.cells.len(), "training"),
            self.out.display()
        ));
    }

    /// Prints the trainings without a result.
    pub(super) fn tell_missing(&self, output: &Output) {
        let missing = self.ids.iter().zip(&self.identities);
        let missing = missing.filter(|(_, identity)| self.results.find(identity).is_none());
        let missing: Vec<&String> = missing.map(|(id, _)| id).collect();
        output.object(&json!({ "event": "collected", "missing": missing }));
        let all = counted(self.plan.cells.len(), "training");
        match missing.len() {
            0 => output.text(format!("\n{all}, all complete")),
            some => output.text(format!("\n{all}, {some} missing:")),
        }
        for id in missing {
            output.text(format!("  {id}"));
        }
    }
}
