//! `minift data`: shows how data is tokenized.

use serde::Serialize;
use serde_json::json;

use super::Ended;
use super::args::DataArguments;
use super::inputs::note_samples;
use super::output::{Output, counted, thousands};
use crate::error::Result;
use crate::model::TextReader;
use crate::text::{EndToken, Record, Sample};
use crate::train::report::DataSummary;

/// Number of samples shown.
const SHOWN: usize = 3;
/// Maximum number of tokens shown per sample.
const SHOWN_TOKENS: usize = 160;
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
    let shown: Vec<Vec<Piece>> = spread(samples.samples.len())
        .into_iter()
        .map(|index| pieces(&samples.samples[index], &model))
        .collect::<Result<_>>()?;
    output.text("\nSamples, with ⟦predicted tokens⟧ marked");
    for pieces in &shown {
        output.text(format!("\n{}", marked(pieces)));
    }
    output.object(&json!({
        "model": name,
        "text": summary,
        "files": found.files,
        "notes": found.notes,
        "end_token": end_token,
        "tokens": tokens,
        "lengths": bars,
        "shown": shown,
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

/// Returns the first, the middle and the last index of `count`.
fn spread(count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..SHOWN)
        .map(|shown| shown * count.saturating_sub(1) / (SHOWN - 1))
        .collect();
    places.dedup();
    places
}

/// Consecutive tokens of a sample that are either all predicted or all context.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Piece {
    text: String,
    predicted: bool,
    tokens: usize,
}

/// Splits the start of a sample into pieces.
fn pieces(sample: &Sample, model: &TextReader) -> Result<Vec<Piece>> {
    let shown = sample.len().min(SHOWN_TOKENS);
    let tokens = sample.tokens()[..shown].iter().zip(sample.loss_mask());
    let tokens: Vec<(u32, bool)> = tokens.map(|(&id, &predicted)| (id, predicted)).collect();
    tokens
        .chunk_by(|a, b| a.1 == b.1)
        .map(|piece| {
            let ids: Vec<u32> = piece.iter().map(|&(id, _)| id).collect();
            Ok(Piece {
                text: model.tokenizer().decode_all(&ids)?,
                predicted: piece[0].1,
                tokens: ids.len(),
            })
        })
        .collect()
}

fn marked(pieces: &[Piece]) -> String {
    let mark = |piece: &Piece| match piece.predicted {
        true => format!("⟦{}⟧", piece.text),
        false => piece.text.clone(),
    };
    let tokens: usize = pieces.iter().map(|piece| piece.tokens).sum();
    let rest = if tokens == SHOWN_TOKENS { " …" } else { "" };
    format!("{}{rest}", pieces.iter().map(mark).collect::<String>())
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

    #[test]
    fn the_first_the_middle_and_the_last_are_shown() {
        assert_eq!(spread(1), [0]);
        assert_eq!(spread(2), [0, 1]);
        assert_eq!(spread(660), [0, 329, 659]);
    }
}
