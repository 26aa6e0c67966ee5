//! The front of gain against forgetting over the strengths of a training: measured, and in the terminal.

use super::output::{Output, counted};
use super::summary::perplexity;
use crate::device::Device;
use crate::error::Result;
use crate::eval::{Front, FrontSearch, format_weight};
use crate::train::{Cancel, Event};

/// Name of the plot in an output folder.
pub(super) const FILE: &str = "dial.svg";

/// Measures a front; `None` if cancelled.
pub(super) async fn measure(
    mut search: FrontSearch,
    device: &Device,
    title: &str,
    output: &Output,
    cancel: &Cancel,
) -> Result<Option<Front>> {
    while let Some(progress) = search.advance().await? {
        if cancel.is_agreed(device)? {
            output.finish();
            output.text("interrupted: the front of gain against forgetting is not measured");
            return Ok(None);
        }
        output.event(title, &Event::from(progress));
    }
    output.finish();
    Ok(search.front())
}

/// Prints a front as a table and a chart. `training` is the seconds that the training took.
pub(super) fn print(front: &Front, chosen: f64, training: Option<f64>, output: &Output) {
    output.text(format!(
        "\nThe same training at smaller strengths, on {} and {}",
        counted(front.domain_samples, "domain sample"),
        counted(front.general_samples, "general sample")
    ));
    output.text(format!(
        "{:>8}  {:>8}  {:>8}  {:>8}  {:>8}  {:>8}  {:>9}",
        "w", "domain", "general", "S", "DG", "Δ domain", "Δ general"
    ));
    for (point, (lost, gained)) in front.points.iter().zip(front.nats()) {
        let mark = match point.weight == chosen {
            true => "→",
            false => "",
        };
        output.text(format!(
            "{mark:<2}{:>6}  {:>8}  {:>8}  {:>8}  {:>8}  {:>+8.2}  {lost:>+9.2}",
            format_weight(point.weight),
            perplexity(point.perplexities.domain),
            perplexity(point.perplexities.general),
            perplexity(point.metrics.specialization),
            perplexity(point.metrics.degeneralization),
            -gained,
        ));
    }
    for line in chart(front) {
        output.text(line);
    }
    let share = training.filter(|&seconds| seconds > 0.0);
    let share =
        share.map(|seconds| format!(", {:.0} % of the training", 100.0 * front.seconds / seconds));
    output.text(format!(
        "measured in {:.1} s{}; `minift dial` writes the model at another strength",
        front.seconds,
        share.unwrap_or_default()
    ));
}

/// Prints the fronts of several trainings side by side, at the strengths that were measured for each, and the best
/// strength of each within a relative increase of the general perplexity.
pub(super) fn compare(fronts: &[(&str, &Front)], bound: f64, output: &Output) {
    let Some((_, first)) = fronts.first() else {
        return;
    };
    output.text(format!(
        "\nStrengths chosen after training, base + w (trained − base), on {} and {}",
        counted(first.domain_samples, "domain sample"),
        counted(first.general_samples, "general sample")
    ));
    let mut lines = [format!("{:>6}", ""), format!("{:>6}", "w")];
    for (name, _) in fronts {
        lines[0] += &format!("  {name:^18}");
        lines[1] += &format!("  {:>8}  {:>8}", "domain", "general");
    }
    for line in lines {
        output.text(line.trim_end());
    }
    for point in &first.points {
        let of = |(_, front): &(&str, &Front)| {
            let mut points = front.points.iter();
            let same = points.find(|other| other.weight == point.weight)?;
            let found = same.perplexities;
            let [domain, general] = [found.domain, found.general].map(perplexity);
            Some(format!("  {domain:>8}  {general:>8}"))
        };
        if let Some(columns) = fronts.iter().map(of).collect::<Option<String>>() {
            output.text(format!("{:>6}{columns}", format_weight(point.weight)));
        }
    }
    let best = |(name, front): &(&str, &Front)| {
        let points = front.nats().zip(&front.points);
        let within = points.filter(|((lost, _), _)| *lost <= bound.ln_1p());
        let best = within.max_by(|((_, a), _), ((_, b), _)| a.total_cmp(b));
        best.map(|((_, gained), point)| {
            let weight = format_weight(point.weight);
            format!("{name} gains {gained:.2} nats per token (w = {weight})")
        })
    };
    let best: Vec<String> = fronts.iter().filter_map(best).collect();
    output.text(format!(
        "At no more than {:.0} % of the general perplexity forgotten, {}.",
        100.0 * bound,
        best.join(", ")
    ));
}

/// Width and height of the chart in characters.
const CHART: (usize, usize) = (56, 11);

/// Draws the points of a front: gained over forgotten, in nats per token.
fn chart(front: &Front) -> Vec<String> {
    let points = front.nats().zip(&front.points);
    let points = points.map(|((x, y), point)| (x, y, point.weight));
    let points: Vec<(f64, f64, f64)> = points
        .filter(|(x, y, _)| x.is_finite() && y.is_finite())
        .collect();
    let range = |value: fn(&(f64, f64, f64)) -> f64| {
        let values = points.iter().map(value);
        let (least, most) = values.fold((0.0_f64, 0.0_f64), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        (least, (most - least).max(1e-9))
    };
    let ((left, width), (bottom, height)) = (range(|point| point.0), range(|point| point.1));
    let cell = |value: f64, (least, size): (f64, f64), cells: usize| {
        ((value - least) / size * (cells - 1) as f64).round() as usize
    };
    let mut rows = vec![vec![' '; CHART.0 + 6]; CHART.1];
    let place = |x: f64, y: f64| {
        let row = CHART.1 - 1 - cell(y, (bottom, height), CHART.1);
        (row, cell(x, (left, width), CHART.0))
    };
    for &(x, y, _) in &points {
        let (row, column) = place(x, y);
        rows[row][column] = '●';
    }
    for &(x, y, weight) in &points {
        let (row, column) = place(x, y);
        let label: Vec<char> = format_weight(weight).chars().collect();
        let start = column + 2;
        let end = start + label.len();
        // A label that would cover another one or a point is left out: the table has them all.
        let is_free = rows[row]
            .get(column + 1..end)
            .is_some_and(|cells| cells.iter().all(|&c| c == ' '));
        if is_free {
            rows[row][start..end].copy_from_slice(&label);
        }
    }
    let mut lines = vec![String::new(), "gained, nats per token".to_string()];
    for (number, row) in rows.iter().enumerate() {
        let label = match number {
            0 => format!("{:.2}", bottom + height),
            last if last == CHART.1 - 1 => format!("{bottom:.2}"),
            _ => String::new(),
        };
        let row: String = row.iter().collect();
        lines.push(format!("{label:>6} │{}", row.trim_end()));
    }
    lines.push(format!("{:>6} └{}", "", "─".repeat(CHART.0)));
    let (from, to) = (format!("{left:.2}"), format!("{:.2}", left + width));
    let middle = "forgotten, nats per token";
    let space = CHART.0 - from.len() - to.len();
    lines.push(format!("{:>7}{from}{middle:^space$}{to}", ""));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{FrontPoint, Perplexities};
    use crate::model::DialProfile;

    #[test]
    fn the_chart_has_the_ends_in_its_corners() {
        let perplexities = |domain, general| Perplexities { domain, general };
        let untouched = perplexities(500.0, 20.0);
        let point = |(weight, domain, general)| {
            FrontPoint::new(weight, untouched, perplexities(domain, general))
        };
        let front = Front {
            profile: DialProfile::Uniform,
            domain_samples: 16,
            general_samples: 16,
            seconds: 1.0,
            untouched,
            points: [(0.0, 500.0, 20.0), (0.5, 60.0, 22.0), (1.0, 20.0, 40.0)]
                .map(point)
                .to_vec(),
        };
        let lines = chart(&front);
        let rows = &lines[2..2 + CHART.1];
        assert!(
            rows[0].starts_with("  3.22 │") && rows[0].ends_with("● 1"),
            "{rows:?}"
        );
        assert!(rows[CHART.1 - 1].starts_with("  0.00 │● 0"), "{rows:?}");
        assert!(rows.iter().any(|row| row.ends_with("● 0.5")), "{rows:?}");
        // A point whose perplexity is not finite has no place.
        let diverged = Front {
            points: vec![point((1.0, f64::INFINITY, f64::NAN))],
            ..front
        };
        assert!(!chart(&diverged).concat().contains('●'));
    }
}
