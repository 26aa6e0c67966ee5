//! Tests of questions.

use minift::text::{TestAnswer, TestQuestion, parse_test};
use serde_json::{Value, json};

use super::check_error;

/// Reads a test. Accepted files have an answer to every question, and round-trip.
pub fn file(data: &[u8]) -> bool {
    let questions = match parse_test(data, "a.jsonl") {
        Ok(questions) => questions,
        Err(error) => {
            check_error(&error, data.len());
            return false;
        }
    };
    assert!(!questions.is_empty(), "a test has a question");
    assert!(questions.is_sorted_by(|a, b| a.place.line < b.place.line));
    for question in &questions {
        let texts = match &question.answer {
            TestAnswer::Text(answer) => std::slice::from_ref(answer),
            TestAnswer::Choice { choices, right } => {
                assert!(*right < choices.len() && choices.len() > 1);
                choices
            }
        };
        let mut texts = texts.iter().chain([&question.question]);
        assert!(texts.all(|text| !text.trim().is_empty()));
    }
    let written: String = questions
        .iter()
        .map(|question| format!("{}\n", to_json(question)))
        .collect();
    let again =
        parse_test(written.as_bytes(), "again.jsonl").expect("serialized output can be read");
    let content = |questions: Vec<TestQuestion>| -> Vec<(String, TestAnswer)> {
        let questions = questions.into_iter();
        questions
            .map(|found| (found.question, found.answer))
            .collect()
    };
    assert_eq!(content(again), content(questions), "round trip");
    true
}

/// Serializes a question as a line of JSON.
fn to_json(question: &TestQuestion) -> Value {
    match &question.answer {
        TestAnswer::Text(answer) => json!({ "question": question.question, "answer": answer }),
        TestAnswer::Choice { choices, right } => {
            json!({ "question": question.question, "choices": choices, "answer": right })
        }
    }
}
