//! A profile as a table.

use super::super::time;
use super::{Clock, OperationStats, Profile, Training};
use crate::cli::output::thousands;

/// Returns a profile as text: operations by kind, those of a kind below it, and the phases.
pub(in crate::cli::bench) fn table(profile: &Profile) -> String {
    let training = match profile.training {
        Training::Full => "full finetuning",
        Training::Lora => "LoRA",
    };
    let clock = match profile.clock {
        Clock::Host => "times by the host's clock",
        Clock::Device => {
            "times by the device's timestamps; idle is the rest of a step without them"
        }
        Clock::HostPerKernel => {
            "times by the host's clock around every kernel, since the device has no timestamps"
        }
    };
    let mut lines = vec![
        format!(
            "\nMFT step of {}, {training}: {} tokens in {}",
            profile.shape.name(),
            thousands(profile.tokens as f64),
            time(profile.seconds).trim()
        ),
        clock.to_string(),
        format!(
            "{:<38} {:>6}  {:>10}  {:>6}  {:>9}  {:>9}  {:>9}  {:>7}  {:>7}",
            "operation", "calls", "time", "share", "GFLOP", "MB", "GFLOP/s", "GB/s", "of peak"
        ),
    ];
    for rows in by_kind(&profile.operations) {
        let kind = rows[0].operation.replace('_', " ");
        match rows[..] {
            [row] => lines.push(line(&kind, row)),
            _ => {
                lines.push(line(&kind, &total(rows.iter().copied())));
                let details = rows.iter();
                lines.extend(details.map(|row| {
                    let detail = row.detail.as_deref().unwrap_or_default();
                    line(&format!("  {detail}"), row)
                }));
            }
        }
    }
    lines.push(line("sum", &total(profile.operations.iter())));
    let phases = profile.phases.iter().map(|phase| {
        let name = phase.phase;
        let (seconds, host) = (time(phase.seconds), time(phase.host_seconds));
        match profile.clock {
            Clock::Host => format!("{name} {}", seconds.trim()),
            _ => format!("{name} {} (host {})", seconds.trim(), host.trim()),
        }
    });
    lines.push(format!("phases: {}", phases.collect::<Vec<_>>().join(", ")));
    lines.join("\n")
}

/// Returns the rows of each kind, the largest kind first and the rest of the step last.
fn by_kind(rows: &[OperationStats]) -> Vec<Vec<&OperationStats>> {
    let Some((rest, rows)) = rows.split_last() else {
        return Vec::new();
    };
    let mut kinds: Vec<Vec<&OperationStats>> = Vec::new();
    for row in rows {
        match kinds
            .iter_mut()
            .find(|kind| kind[0].operation == row.operation)
        {
            Some(kind) => kind.push(row),
            None => kinds.push(vec![row]),
        }
    }
    let seconds = |kind: &[&OperationStats]| kind.iter().map(|row| row.seconds).sum::<f64>();
    kinds.sort_by(|a, b| seconds(b).total_cmp(&seconds(a)));
    kinds.push(vec![rest]);
    kinds
}

fn total<'a>(rows: impl Iterator<Item = &'a OperationStats>) -> OperationStats {
    let nothing = OperationStats {
        operation: "",
        detail: None,
        calls: 0.0,
        seconds: 0.0,
        share: 0.0,
        flops: 0.0,
        bytes: 0.0,
        seconds_at_peak: 0.0,
    };
    rows.fold(nothing, |sum, row| OperationStats {
        calls: sum.calls + row.calls,
        seconds: sum.seconds + row.seconds,
        share: sum.share + row.share,
        flops: sum.flops + row.flops,
        bytes: sum.bytes + row.bytes,
        seconds_at_peak: sum.seconds_at_peak + row.seconds_at_peak,
        ..sum
    })
}

fn line(name: &str, row: &OperationStats) -> String {
    // Blank where there is nothing to say.
    let number = |number: f64, digits: usize| match number {
        0.0 => String::new(),
        number => format!("{number:.digits$}"),
    };
    let rate = |amount: f64| {
        if row.seconds > 0.0 {
            amount / row.seconds
        } else {
            0.0
        }
    };
    let of_peak = number(100.0 * rate(row.seconds_at_peak), 0);
    let percent = if of_peak.is_empty() { "" } else { " %" };
    let line = format!(
        "{name:<38} {:>6}  {:>10}  {:>4.1} %  {:>9}  {:>9}  {:>9}  {:>7}  {:>7}",
        number(row.calls, 0),
        time(row.seconds),
        100.0 * row.share,
        number(row.flops / 1e9, 3),
        number(row.bytes / 1e6, 1),
        number(rate(row.flops) / 1e9, 1),
        number(rate(row.bytes) / 1e9, 1),
        of_peak + percent
    );
    line.trim_end().to_string()
}
