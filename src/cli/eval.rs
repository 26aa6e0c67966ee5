//! `minift eval`: measures the perplexity of a model, and how well it answers.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::Ended;
use super::args::EvalArguments;
use super::models;
use super::output::{Output, counted};
use super::setup::{self, Set};
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::eval::{
    Accuracy, ChoiceEvaluation, ChoiceQuestion, Continuations, Evaluation, ExactMatch,
};
use crate::model::CausalLm;
use crate::text::{Sample, TestAnswer, read_test};

/// Seed of the continuations to choose from: the same in every evaluation, so that models are comparable.
const CHOICE_SEED: u64 = 0;

pub(super) async fn run(
    arguments: &EvalArguments,
    device: DeviceChoice,
    output: &Output,
) -> Result<Ended> {
    if arguments.batch_size == 0 {
        return Err(Error::setting("batch_size", 0, "1 or more"));
    }
    let device = setup::device(device, output).await?;
    let adapter = arguments.adapter_dir.as_deref();
    let say = |note: String| output.text(note);
    let named = arguments.model.model().or_base_of(adapter, &say)?;
    let (model, _) = named.announced(&device, output)?;
    let model = models::adapted(model, adapter, &say)?;
    let mut found = Found::default();
    if !arguments.data.is_empty() {
        on_data(arguments, &model, output, &mut found).await?;
    }
    if let Some(path) = &arguments.test {
        on_test(path, arguments.batch_size, &model, output, &mut found).await?;
    }
    output.finish();
    output.object(&Value::Object(found.object));
    output.text(format!("\n{}", found.lines.join("\n")));
    Ok(Ended::Success)
}

/// What was measured: the JSON object, and lines of text.
#[derive(Default)]
struct Found {
    object: Map<String, Value>,
    lines: Vec<String>,
}

impl Found {
    fn add(&mut self, key: &str, value: Value, line: String) {
        self.object.insert(key.to_string(), value);
        self.lines.push(line);
    }
}

/// Evaluates a model on texts.
async fn on_data(
    arguments: &EvalArguments,
    model: &CausalLm,
    output: &Output,
    found: &mut Found,
) -> Result<()> {
    let reading = arguments.text.reading(model.reader())?;
    let reading = match arguments.data.as_slice() {
        // The test split, unlike the one that ends a training.
        [folder] => reading.of_split(folder, &["test", "validation"])?,
        _ => reading,
    };
    let mut set = Set::read_all(&arguments.data, model, &reading, output)?;
    if let Some(count) = arguments.samples {
        if count == 0 {
            return Err(Error::setting("samples", count, "1 or more"));
        }
        if count > set.len() {
            return Err(Error::TooFewSamples {
                available: set.len(),
                origin: set.origin,
                requested: count,
            });
        }
        (set, _) = set.split(count);
    }
    let summary = set.summary();
    setup::describe(output, "Text", &summary);
    let samples = set.samples.samples;
    // Fail before the evaluation if there are too few texts to choose from.
    let choices = arguments.choices;
    let questions = choices.map(|choices| questions(&samples, choices, model, output));
    let questions = questions.transpose()?;
    let mut evaluation = Evaluation::new(&samples, arguments.batch_size)?;
    let perplexity = loop {
        if let Some(found) = evaluation.advance(model, &samples).await? {
            break found;
        }
        let (done, total) = evaluation.progress();
        output.progress("evaluating", done, total, &[]);
    };
    let tokens = counted(perplexity.tokens, "predicted token");
    found.add(
        "perplexity",
        json!(perplexity.perplexity),
        format!("Perplexity {:.4} over {tokens}", perplexity.perplexity),
    );
    for (key, count) in [
        ("tokens", perplexity.tokens),
        ("samples", summary.samples),
        ("given", summary.given),
        ("skipped", summary.skipped),
        ("truncated", summary.truncated),
    ] {
        found.object.insert(key.to_string(), count.into());
    }
    if let Some(Continuations { questions, skipped }) = questions {
        let accuracy = choose(model, &questions, arguments.batch_size, output).await?;
        let mut value = json!(accuracy);
        value["skipped"] = skipped.into();
        let line = described("Continuations", &accuracy);
        found.add("choices", value, line);
    }
    Ok(())
}

/// Makes questions of texts, and says how many cannot be used.
pub(super) fn questions(
    samples: &[Sample],
    choices: usize,
    model: &CausalLm,
    output: &Output,
) -> Result<Continuations> {
    let found = Continuations::new(samples, choices, CHOICE_SEED, model.reader())?;
    if found.skipped > 0 {
        output.text(format!(
            "Note     {} too short, or without enough others that differ, to choose its continuation: skipped",
            counted(found.skipped, "text")
        ));
    }
    Ok(found)
}

/// Returns the accuracy of a model on questions with choices.
async fn choose(
    model: &CausalLm,
    questions: &[ChoiceQuestion],
    batch_size: usize,
    output: &Output,
) -> Result<Accuracy> {
    let mut evaluation = ChoiceEvaluation::new(questions, batch_size)?;
    loop {
        if let Some(accuracy) = evaluation.advance(model).await? {
            return Ok(accuracy);
        }
        let (done, total) = evaluation.progress();
        output.progress("choosing", done, total, &[]);
    }
}

/// Evaluates a model on the questions of a test.
async fn on_test(
    path: &Path,
    batch_size: usize,
    model: &CausalLm,
    output: &Output,
    found: &mut Found,
) -> Result<()> {
    let test = read_test(path)?;
    let choices = test
        .iter()
        .map(|q| ChoiceQuestion::of_test(q, model.reader()));
    let choices = choices.collect::<Result<Vec<_>>>()?;
    let choices: Vec<ChoiceQuestion> = choices.into_iter().flatten().collect();
    output.text(format!(
        "Test     {}, {} with choices: {}",
        counted(test.len(), "question"),
        choices.len(),
        path.display()
    ));
    if !choices.is_empty() {
        let accuracy = choose(model, &choices, batch_size, output).await?;
        let line = described("Multiple choice", &accuracy);
        found.add("multiple_choice", json!(accuracy), line);
    }
    let mut exact_match = ExactMatch::new(model)?;
    let texts = test.iter().filter_map(|question| match &question.answer {
        TestAnswer::Text(answer) => Some((question, answer)),
        TestAnswer::Choice { .. } => None,
    });
    let texts: Vec<_> = texts.collect();
    let mut right = Vec::with_capacity(texts.len());
    for &(question, answer) in &texts {
        right.push(exact_match.is_right(question, answer).await?);
        output.progress("answering", right.len(), texts.len(), &[]);
    }
    if let Some(accuracy) = Accuracy::of(&right, None) {
        let line = described("Exact match", &accuracy);
        found.add("exact_match", json!(accuracy), line);
    }
    Ok(())
}

/// Describes an accuracy.
fn described(what: &str, found: &Accuracy) -> String {
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    let error = found
        .standard_error
        .map_or_else(String::new, |error| format!(" ± {}", percent(error)));
    let chance = found.chance.map_or_else(String::new, |chance| {
        format!(", chance {} %", percent(chance))
    });
    format!(
        "{what} {}{error} % ({} of {} right{chance})",
        percent(found.accuracy),
        found.correct,
        counted(found.questions, "question")
    )
}
