//! `minift data`: shows how data is tokenized.

use serde::Serialize;
use serde_json::json;

use super::Ended;
use super::args::DataArguments;
use super::inputs::note_samples;
use super::output::{Output, counted, thousands};
use crate::error::Result;
use crate::text::{EndToken, Record, Sample, SamplePreview, preview};
use crate::train::report::DataSummary;

/// Number of bars of the length histogram.
const BARS: usize = 10;
/// Width of the longest bar in characters.
const BAR_WIDTH: usize = 40;

pub(super) fn run(arguments: &DataArguments, output: &Output) -> Result<Ended> {
    let name = arguments.model.name();
    let model = arguments.model.reader(output)?;
    let reading = arguments.text.reading(&model)?;
    let (found, origin) = reading.records(&arguments.data, output)?;
    let samples = model.samples(&found.records, &reading.preparation, &origin)?;
    note_samples(&samples, output);
    let summary = DataSummary::new(&samples, origin);
    let kinds = kinds(&found.records);
    let lengths: Vec<usize> = samples.samples.iter().map(Sample::len).collect();
    let tokens: usize = lengths.iter().sum();

    let number = |number: usize| thousands(number as f64);
    let line = |title: &str, text: String| output.text(format!("{title:<8} {text}"));
    line("Model", name.clone());
    line("Text", format!("{}: {kinds}", summary.origin));
    line(
        "Samples",
        format!(
            "{} of up to {} tokens, from {}; {} truncated, {} skipped{}",
            number(summary.samples),
            number(reading.preparation.max_length),
            counted(summary.texts + summary.skipped, "text"),
            number(summary.truncated),
            number(summary.skipped),
            match summary.skipped {
                0 => String::new(),
                _ => format!(" ({})", summary.skipped_because()),
            }
        ),
    );
    line(
        "Tokens",
        format!(
            "{} in total: {} predicted, {} context only, {} at the start of a sample",
            number(tokens),
            number(summary.tokens),
            number(summary.given),
            number(tokens - summary.tokens - summary.given)
        ),
    );
    let end = match reading.preparation.end_token {
        EndToken::Auto => model.end_token(),
        EndToken::Never => None,
    };
    let end_token = end
        .map(|id| model.tokenizer().decode_all(&[id]))
        .transpose()?;
    let is_conversation = |record: &Record| matches!(record, Record::Conversation { .. });
    if !found.records.iter().all(is_conversation) {
        line(
            "End",
            match (&end_token, reading.preparation.end_token) {
                (Some(token), _) => format!("{token} after every text that is not truncated"),
                (None, EndToken::Never) => "no end token after texts, as requested".to_string(),
                (None, EndToken::Auto) => {
                    "no end token after texts: the files of the model name none".to_string()
                }
            },
        );
    }
    output.text("\nTokens per sample");
    let bars = histogram(&lengths);
    let most = bars.iter().map(|bar| bar.count).max().unwrap_or(1).max(1);
    for bar in &bars {
        let filled = "█".repeat((bar.count * BAR_WIDTH).div_ceil(most));
        output.text(format!(
            "{:>6} – {:<6} {filled:<BAR_WIDTH$} {}",
            bar.least,
            bar.most,
            number(bar.count)
        ));
    }
    let shown = preview(&samples.samples, model.tokenizer())?;
    output.text("\nSamples, with ⟦predicted tokens⟧ marked");
    for sample in &shown {
        output.text(format!("\n{}", marked(sample)));
    }
    let pieces: Vec<_> = shown.iter().map(|sample| &sample.pieces).collect();
    output.object(&json!({
        "model": name,
        "text": summary,
        "files": found.files,
        "notes": found.notes,
        "end_token": end_token,
        "tokens": tokens,
        "lengths": bars,
        "shown": pieces,
    }));
    Ok(Ended::Success)
}

/// Counts the records of each kind.
fn kinds(records: &[Record]) -> String {
    let kind = |record: &Record| match record {
        Record::Text(_) => ("text", "texts"),
        Record::Document(_) => ("document", "documents"),
        Record::Completion { .. } => ("prompt with completion", "prompts with completions"),
        Record::Question { .. } => ("question with answer", "questions with answers"),
        Record::Conversation { .. } => ("conversation", "conversations"),
    };
    let mut counts: Vec<((&str, &str), usize)> = Vec::new();
    for kind in records.iter().map(kind) {
        match counts.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => counts.push((kind, 1)),
        }
    }
    let counts = counts.iter().map(|((one, many), count)| match count {
        1 => format!("1 {one}"),
        _ => format!("{} {many}", thousands(*count as f64)),
    });
    counts.collect::<Vec<_>>().join(", ")
}

/// A bar of the histogram.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Bar {
    least: usize,
    most: usize,
    count: usize,
}

/// Returns a histogram of the lengths.
fn histogram(lengths: &[usize]) -> Vec<Bar> {
    let least = lengths.iter().min().copied().unwrap_or(0);
    let most = lengths.iter().max().copied().unwrap_or(0);
    let width = (most - least + 1).div_ceil(BARS);
    let bar = |least: usize| {
        let range = least..least + width;
        Bar {
            least,
            most: (range.end - 1).min(most),
            count: lengths
                .iter()
                .filter(|length| range.contains(length))
                .count(),
        }
    };
    (least..=most).step_by(width).map(bar).collect()
}

fn marked(sample: &SamplePreview) -> String {
    let pieces = sample.pieces.iter().map(|piece| match piece.predicted {
        true => format!("⟦{}⟧", piece.text),
        false => piece.text.clone(),
    });
    let rest = if sample.cut { " …" } else { "" };
    format!("{}{rest}", pieces.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_hold_every_length_once() {
        for lengths in [
            vec![5],
            vec![2, 3, 256, 256, 17],
            (1..400).collect(),
            vec![7; 9],
        ] {
            let bars = histogram(&lengths);
            let counted: usize = bars.iter().map(|bar| bar.count).sum();
            assert_eq!(counted, lengths.len());
            assert!(
                bars.len() <= BARS && bars.windows(2).all(|two| two[0].most + 1 == two[1].least)
            );
        }
    }
}
