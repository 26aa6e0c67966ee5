//! Fronts of gain against forgetting, and the search for a strength within a bound.

use std::sync::Arc;

use minift::Objective;
use minift::device::Device;
use minift::eval::{Front, FrontSearch, LimitSearch, evaluate, evaluate_pair};
use minift::model::adapter::{AdapterSettings, LoraSettings};
use minift::model::{CausalLm, Dial, DialProfile};
use minift::train::{Event, Run, RunData, TrainSettings};
use pollster::block_on;

use crate::common::{run_data, values};

fn finetuning() -> TrainSettings {
    TrainSettings::default()
        .with_objective(Objective::finetuning())
        .with_epochs(2.0)
        .with_batch_size(8)
}

fn run(model: &CausalLm, data: &Arc<RunData>, settings: TrainSettings) -> Run {
    let mut run = Run::new(model.clone(), data.clone(), settings).unwrap();
    while block_on(run.next()).unwrap().is_some() {}
    run
}

fn bits(model: &CausalLm) -> Vec<Vec<u32>> {
    let tensors = model.parameters().into_iter().map(values);
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    tensors.map(bits).collect()
}

fn check_ends(front: &Front, run: &Run) {
    let points = &front.points;
    let weights: Vec<f64> = points.iter().map(|point| point.weight).collect();
    assert!(weights.is_sorted_by(|a, b| a < b), "{weights:?}");
    assert_eq!([weights[0], weights[weights.len() - 1]], [0.0, 1.0]);
    for weight in [0.25, 0.5, 0.75] {
        assert!(weights.contains(&weight), "{weights:?}");
    }
    // Three and the ends, and two where the front bends.
    assert_eq!(weights.len(), 7, "{weights:?}");
    let (first, last) = (&points[0], &points[weights.len() - 1]);
    assert_eq!(first.perplexities, front.untouched);
    assert_eq!(
        [first.metrics.specialization, first.metrics.degeneralization],
        [0.0, 0.0]
    );
    // The whole training gains more than a quarter of it, and that more than nothing.
    let quarter = points.iter().find(|point| point.weight == 0.25).unwrap();
    for (less, more) in [(first, quarter), (quarter, last)] {
        assert!(
            more.metrics.specialization > less.metrics.specialization,
            "{points:?}"
        );
    }
    let outcome = run.outcome().unwrap();
    if front.general_samples == 4 {
        assert_eq!(last.perplexities, outcome.after);
    }
}

#[test]
fn a_run_measures_the_front_that_its_settings_ask_for() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = Arc::new(run_data(&model, 40, [48, 4, 4]));
    let lora = AdapterSettings::Lora(LoraSettings::default());
    for settings in [
        finetuning(),
        finetuning()
            .with_adapter(Some(lora))
            .with_learning_rate(3e-3),
    ] {
        let without = run(&model, &data, settings.clone());
        assert_eq!(without.front(), None);
        let settings = settings.with_dial(Some(DialProfile::Uniform));
        let mut measured = Run::new(model.clone(), data.clone(), settings.clone()).unwrap();
        let (mut points, mut batches) = (Vec::new(), 0);
        while let Some(event) = block_on(measured.next()).unwrap() {
            match event {
                Event::EvaluatingFront { done, total, .. } => {
                    assert!(done <= total && done > batches, "{done} of {total}");
                    batches = done;
                }
                Event::FrontPoint { point } => points.push(point),
                _ => assert!(points.is_empty()),
            }
        }
        let front = measured.front().unwrap();
        check_ends(&front, &measured);
        // The perplexities of the ends are known.
        assert_eq!(points.len(), front.points.len() - 2);
        assert!(points.iter().all(|point| front.points.contains(point)));
        // The training is the same.
        assert_eq!(measured.losses(), without.losses());
        assert_eq!(
            measured.outcome().unwrap().after,
            without.outcome().unwrap().after
        );
        // On request, the same front.
        let mut later = without;
        while block_on(later.advance_front()).unwrap().is_some() {}
        assert_eq!(later.front().unwrap().points, front.points);

        let (half, outcome) = block_on(measured.at_strength(0.5)).unwrap();
        let expected = block_on(evaluate_pair(&half, &data.domain, &data.general, 8)).unwrap();
        assert_eq!(outcome.unwrap().after, expected);
        let of_front = front
            .points
            .iter()
            .find(|point| point.weight == 0.5)
            .unwrap();
        assert_eq!(of_front.perplexities, expected);
        assert_eq!(of_front.metrics, outcome.unwrap().metrics);
    }
}

/// A run frees the weights of the teacher once all of its hidden states are kept; its dial reads them again.
#[test]
fn the_untouched_end_survives_a_run_that_freed_it() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = Arc::new(run_data(&model, 24, [16, 2, 2]));
    let settings = TrainSettings::default().with_epochs(2.0);
    let run = run(&model, &data, settings.clone());
    let dial = run.dial().unwrap();
    assert_eq!(bits(&dial.at(0.0).unwrap()), bits(&model));
    assert_eq!(bits(&dial.at(1.0).unwrap()), bits(&run.trained_model()));
    // Weights that are not those of the files are kept.
    let again = self::run(&run.trained_model(), &data, settings);
    let dial = again.dial().unwrap();
    assert_eq!(bits(&dial.at(0.0).unwrap()), bits(&run.trained_model()));
}

#[test]
fn there_is_no_front_where_the_general_set_does_not_measure_forgetting() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = run_data(&model, 24, [16, 2, 2]);
    let general = data.train[..2].to_vec();
    let data = Arc::new(RunData { general, ..data });
    let settings = finetuning().with_dial(Some(DialProfile::Uniform));
    let run = run(&model, &data, settings);
    assert!(run.outcome().is_some());
    assert_eq!(run.front(), None);
}

/// A long front is measured on a part of the samples, evenly spread, with ends of its own.
#[test]
fn a_front_takes_a_tenth_of_the_training() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = Arc::new(run_data(&model, 24, [40, 60, 80]));
    let settings = finetuning().with_epochs(1.0);
    let run = run(
        &model,
        &data,
        settings.with_dial(Some(DialProfile::Uniform)),
    );
    let front = run.front().unwrap();
    assert_eq!([front.domain_samples, front.general_samples], [16, 16]);
    check_ends(&front, &run);
    let general: Vec<_> = (0..16)
        .map(|place| data.general[place * 5].clone())
        .collect();
    let expected = block_on(evaluate(&run.trained_model(), &general, 8)).unwrap();
    let last = front.points.last().unwrap();
    assert_eq!(last.perplexities.general, expected.perplexity);
}

fn front(dial: &Dial, data: &RunData, weights: &[f64]) -> Front {
    let search = FrontSearch::new(dial.clone(), &data.domain, &data.general, 8).unwrap();
    let mut search = search.with_weights(weights).unwrap();
    while block_on(search.advance()).unwrap().is_some() {
        assert_eq!(search.front().is_some(), search.clone().front().is_some());
    }
    search.front().unwrap()
}

#[test]
fn a_chosen_strength_is_a_point_of_the_front() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = Arc::new(run_data(&model, 40, [48, 8, 8]));
    let run = run(&model, &data, finetuning());
    let dial = run.dial().unwrap();
    let weights =
        |front: &Front| -> Vec<f64> { front.points.iter().map(|point| point.weight).collect() };
    let with = front(&dial, &data, &[0.6, 0.5, 1.0, 0.0]);
    assert!(weights(&with).contains(&0.6));
    // By depth, the lowest strength is not the untouched model.
    let by_depth = front(&dial.with_profile(DialProfile::ByDepth), &data, &[]);
    assert_eq!(weights(&by_depth)[0], 0.0);
    assert!(by_depth.points[0].metrics.specialization != 0.0);
    assert_eq!(by_depth.untouched, with.untouched);
    let svg = with.svg(0.6);
    assert!(
        svg.starts_with("<svg") && svg.contains("\n0.6\n") && svg.contains("forgotten"),
        "{svg}"
    );
}

fn limit(dial: &Dial, bound: f64, data: &RunData) -> LimitSearch {
    let mut search = LimitSearch::new(dial.clone(), bound, &data.general, 8).unwrap();
    let (mut done, mut trials) = (0, 0);
    while let Some(progress) = block_on(search.advance()).unwrap() {
        assert!(
            progress.done > done && progress.done <= progress.total,
            "{progress:?}"
        );
        done = progress.done;
        trials += usize::from(progress.trial.is_some());
    }
    assert_eq!(trials, search.trials().len());
    search
}

#[test]
fn the_largest_strength_within_a_bound_is_found() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let data = Arc::new(run_data(&model, 40, [48, 8, 16]));
    let run = run(&model, &data, finetuning().with_epochs(4.0));
    let dial = run.dial().unwrap();
    let untouched = block_on(evaluate(&model, &data.general, 8))
        .unwrap()
        .perplexity;
    let degeneralization = |weight: f64| {
        let found = block_on(evaluate(&dial.at(weight).unwrap(), &data.general, 8)).unwrap();
        found.perplexity / untouched - 1.0
    };
    // Forgetting grows with the strength at its upper end.
    assert!(degeneralization(1.0) > degeneralization(0.75));
    assert!(degeneralization(0.75) > degeneralization(0.5));
    for bound in [0.02, 0.05] {
        let search = limit(&dial, bound, &data);
        let taken = search.taken().unwrap();
        assert!(
            taken.within && taken.weight > 0.0 && taken.weight < 1.0,
            "{taken:?}"
        );
        assert!(search.trials().len() <= 7);
        assert!(degeneralization(taken.weight) <= bound);
        // A 64th more exceeds the bound.
        assert!(
            degeneralization(taken.weight + 1.0 / 64.0) > bound,
            "{taken:?}"
        );
    }
    let loose = limit(&dial, 1e3, &data);
    assert_eq!(
        (loose.taken().unwrap().weight, loose.trials().len()),
        (1.0, 1)
    );
    // Even the untouched model is beyond a bound that asks for less than it has.
    let none = limit(&dial, -0.5, &data);
    let taken = none.taken().unwrap();
    assert_eq!((taken.weight, taken.within), (0.0, false));
    assert_eq!(none.trials().len(), 7);
    // By depth, strength 0 is not the untouched model, and is tried.
    let by_depth = dial.clone().with_profile(DialProfile::ByDepth);
    let search = limit(&by_depth, -0.5, &data);
    let taken = search.taken().unwrap();
    assert_eq!((taken.weight, taken.within), (0.0, false));
    assert_eq!(search.trials().len(), 2);
}
