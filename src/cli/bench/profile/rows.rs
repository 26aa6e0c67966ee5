//! The rows of a profile: the recorded entries by kind, products by shape, and what is left of the step.

use std::collections::HashMap;

use super::super::rates::Rates;
use super::recording::Recording;
use super::{Clock, OperationStats, PhaseStats};
use crate::kernels::profile::{Operation, Phase, Product, Work};
use crate::model::WeightType;

/// Products by shape, and kernels of burn by name, that are listed one by one.
const LISTED: usize = 8;

const PHASES: [(Phase, &str); 6] = [
    (Phase::Teacher, "teacher"),
    (Phase::Forward, "forward"),
    (Phase::Loss, "loss"),
    (Phase::Backward, "backward"),
    (Phase::Optimizer, "optimizer"),
    (Phase::Readback, "readback"),
];

/// What a row sums.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Row {
    Operation(Operation),
    /// A kernel of burn.
    Kernel(String),
    /// On the CPU, what a phase has beside its operations.
    RestOf(Phase),
}

impl Row {
    /// Returns the kind, and what distinguishes the row from others of it.
    fn names(&self) -> (&'static str, Option<String>) {
        match self {
            Self::Operation(Operation::Product(product)) => ("product", Some(name_of(product))),
            Self::Operation(Operation::Attention) => ("attention", None),
            Self::Operation(Operation::Norm) => ("norm", None),
            Self::Operation(Operation::Rotary) => ("rotary", None),
            Self::Operation(Operation::Gate) => ("gate", None),
            Self::Operation(Operation::ShortConv) => ("short_convolution", None),
            Self::Operation(Operation::DeltaRule) => ("delta_rule", None),
            Self::Operation(Operation::SoftCap) => ("soft_cap", None),
            Self::Operation(Operation::Loss) => ("loss", None),
            Self::Operation(Operation::Optimizer) => ("optimizer", None),
            Self::Operation(Operation::Conversion) => ("conversion", None),
            Self::Kernel(name) => ("burn", Some(name.clone())),
            Self::RestOf(phase) => {
                let named = PHASES.iter().find(|(known, _)| known == phase);
                let name = named.map(|(_, name)| name.to_string());
                ("burn_and_autodiff", name)
            }
        }
    }
}

/// Returns rows × inner dimension × columns, with what else distinguishes a product.
fn name_of(product: &Product) -> String {
    let Product {
        batches,
        rows,
        inner,
        columns,
        second,
        adds,
    } = *product;
    let mut name = format!("{rows} × {inner} × {columns}");
    if batches > 1 {
        name = format!("{batches} of {name}");
    }
    if second != WeightType::Float32 {
        name.push_str(&format!(", {second}"));
    }
    if adds {
        name.push_str(", added");
    }
    name
}

/// The sums of a row, per step.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    calls: f64,
    seconds: f64,
    work: Work,
}

impl std::ops::AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.seconds += other.seconds;
        self.work += other.work;
    }
}

/// Returns the operations of a step, largest first, and last the rest of the step.
pub(super) fn operations(recording: &Recording, rates: &Rates) -> Vec<OperationStats> {
    let (of_step, clock) = recording.seconds_and_clock();
    let rows = listed(sums(recording));
    let rest = Sums {
        seconds: (of_step - rows.iter().map(|(.., sums)| sums.seconds).sum::<f64>()).max(0.0),
        ..Sums::default()
    };
    let name = match clock {
        Clock::Host => "other",
        Clock::Device | Clock::HostPerKernel => "idle",
    };
    rows.into_iter()
        .chain([(name, None, rest)])
        .map(|(operation, detail, sums)| {
            let Work { flops, bytes } = sums.work;
            OperationStats {
                operation,
                detail,
                calls: sums.calls,
                seconds: sums.seconds,
                share: sums.seconds / of_step,
                flops,
                bytes,
                seconds_at_peak: (flops / rates.matrix_product).max(bytes / rates.bandwidth),
            }
        })
        .collect()
}

/// Returns the sums of every row.
fn sums(recording: &Recording) -> HashMap<Row, Sums> {
    let of_device = recording.is_of_device();
    let mut rows: HashMap<Row, Sums> = HashMap::new();
    for (entry, calls, seconds, work) in recording.host_entries() {
        // The calls of a device's operations are the host's, their time is not.
        let (row, calls) = match (entry.operation, entry.phase) {
            (Some(operation), _) => (Row::Operation(operation), calls),
            (None, Some(phase)) if !of_device => (Row::RestOf(phase), 0.0),
            (None, _) => continue,
        };
        *rows.entry(row).or_default() += Sums {
            calls,
            seconds: if of_device { 0.0 } else { seconds },
            work,
        };
    }
    for (launch, launches, seconds) in recording.device_entries() {
        let (row, calls) = match (launch.entry.operation, &launch.kernel) {
            (Some(operation), _) => (Row::Operation(operation), 0.0),
            (None, name) => (Row::Kernel(name.clone().unwrap_or_default()), launches),
        };
        *rows.entry(row).or_default() += Sums {
            calls,
            seconds,
            work: Work::default(),
        };
    }
    rows
}

/// Returns the rows by name, largest first, with products and kernels of burn beyond the largest in one row.
fn listed(rows: HashMap<Row, Sums>) -> Vec<(&'static str, Option<String>, Sums)> {
    let largest_first = |rows: &mut Vec<(&'static str, Option<String>, Sums)>| {
        rows.sort_by(|(_, _, a), (_, _, b)| b.seconds.total_cmp(&a.seconds));
    };
    let named = rows.into_iter().map(|(row, sums)| {
        let (kind, detail) = row.names();
        (kind, detail, sums)
    });
    let mut rows: Vec<_> = named.collect();
    largest_first(&mut rows);
    let mut listed = Vec::new();
    let mut counts: HashMap<&'static str, usize> = HashMap::new();
    let mut others: HashMap<&'static str, Sums> = HashMap::new();
    for (kind, detail, sums) in rows {
        let count = counts.entry(kind).or_default();
        *count += 1;
        if *count > LISTED {
            *others.entry(kind).or_default() += sums;
        } else {
            listed.push((kind, detail, sums));
        }
    }
    for (kind, sums) in others {
        let count = counts[kind] - LISTED;
        listed.push((kind, Some(format!("{count} others")), sums));
    }
    largest_first(&mut listed);
    listed
}

/// Returns the time of every phase.
pub(super) fn phases(recording: &Recording) -> Vec<PhaseStats> {
    let of_phase = |phase: Phase, name: &'static str| {
        let mut host_seconds = 0.0;
        for (entry, _, seconds, _) in recording.host_entries() {
            if entry.phase == Some(phase) {
                host_seconds += seconds;
            }
        }
        let mut device_seconds = 0.0;
        for (launch, _, seconds) in recording.device_entries() {
            if launch.entry.phase == Some(phase) {
                device_seconds += seconds;
            }
        }
        PhaseStats {
            phase: name,
            seconds: if recording.is_of_device() {
                device_seconds
            } else {
                host_seconds
            },
            host_seconds,
        }
    };
    PHASES.map(|(phase, name)| of_phase(phase, name)).to_vec()
}
