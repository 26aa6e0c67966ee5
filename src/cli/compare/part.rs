//! The part of a comparison that a process does.

use serde_json::json;

use crate::cli::args::PartArguments;
use crate::cli::output::Output;
use crate::compare::Plan;
use crate::error::{Error, Result};

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
