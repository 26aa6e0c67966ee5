//! Invalid settings of training and generation.

use minift::device::Device;
use minift::model::adapter::{AdapterSettings, Ia3Settings, LoraSettings};
use minift::model::{CausalLm, Sampling};
use minift::train::TrainSettings;
use pollster::block_on;

use super::{Case, no_faults, refusal};

fn lora(change: impl FnOnce(&mut LoraSettings)) -> Option<AdapterSettings> {
    let mut lora = LoraSettings::default();
    change(&mut lora);
    Some(AdapterSettings::Lora(lora))
}

#[test]
fn training_settings_out_of_range_are_named() {
    let cases: &[Case<'_, fn(&mut TrainSettings)>] = &[
        (
            "learning rate of 0",
            |s| s.learning_rate = 0.0,
            &["learning_rate", "above 0"],
        ),
        (
            "negative learning rate",
            |s| s.learning_rate = -1.0,
            &["learning_rate", "-1"],
        ),
        (
            "NaN learning rate",
            |s| s.learning_rate = f64::NAN,
            &["learning_rate", "NaN"],
        ),
        (
            "negative weight decay",
            |s| s.weight_decay = -1.0,
            &["weight_decay", "-1"],
        ),
        (
            "NaN gradient clip",
            |s| s.gradient_clip = f64::NAN,
            &["gradient_clip", "NaN"],
        ),
        ("no epochs", |s| s.epochs = 0.0, &["epochs", "above 0"]),
        (
            "too many epochs",
            |s| s.epochs = f64::MAX,
            &["epochs", "above 0"],
        ),
        (
            "batch size of 0",
            |s| s.batch_size = 0,
            &["batch_size", "1 to "],
        ),
        (
            "no accumulation",
            |s| s.gradient_accumulation = 0,
            &["gradient_accumulation", "1 to "],
        ),
        (
            "negative ewc",
            |s| s.ewc = -1.0,
            &["ewc", "-1", "0 or more"],
        ),
        ("NaN ewc", |s| s.ewc = f64::NAN, &["ewc", "NaN"]),
        (
            "replay ratio of 1",
            |s| s.replay_ratio = 1.0,
            &["replay_ratio", "1", "below 1"],
        ),
        (
            "negative replay ratio",
            |s| s.replay_ratio = -0.1,
            &["replay_ratio", "-0.1", "0 or more"],
        ),
        (
            "rank of 0",
            |s| s.adapter = lora(|lora| lora.rank = 0),
            &["rank", "0", "1 to 65536"],
        ),
        (
            "alpha of 0",
            |s| s.adapter = lora(|lora| lora.alpha = 0.0),
            &["alpha", "0", "more than 0"],
        ),
        (
            "dropout of 1",
            |s| s.adapter = lora(|lora| lora.dropout = 1.0),
            &["dropout", "1", "below 1"],
        ),
    ];
    no_faults(cases.iter().map(|(name, change, fragments)| {
        let mut settings = TrainSettings::default();
        settings.validate().unwrap();
        change(&mut settings);
        (name.to_string(), refusal(settings.validate(), fragments))
    }));
}

#[test]
fn settings_that_do_not_fit_the_model_are_rejected() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let length = |length| {
        refusal(
            model.reader().sample_length(Some(length)),
            &["max_length", "2 to 256"],
        )
    };
    let adapter = Some(AdapterSettings::Ia3(Ia3Settings {
        target_modules: vec!["q_proj".to_string(), "c_attn".to_string()],
    }));
    let settings = TrainSettings::default().with_adapter(adapter);
    no_faults([
        ("length 0".to_string(), length(0)),
        ("length 1".to_string(), length(1)),
        (
            "a length beyond the model's maximum".to_string(),
            length(100_000),
        ),
        (
            "target modules".to_string(),
            refusal(
                settings.trainable_count(&model),
                &["c_attn", "q_proj, k_proj", "down_proj"],
            ),
        ),
    ]);
}

#[test]
fn generation_settings_out_of_range_are_named() {
    let model = CausalLm::embedded(&Device::cpu()).unwrap();
    let long = "The cat sat on the mat. ".repeat(60);
    type Change = fn(&mut Sampling);
    let cases: &[(&str, Change, &[&str])] = &[
        ("A cat", |s| s.temperature = -1.0, &["temperature", "-1"]),
        (
            "A cat",
            |s| s.temperature = f32::NAN,
            &["temperature", "NaN"],
        ),
        ("A cat", |s| s.top_p = 0.0, &["top_p", "above 0"]),
        ("A cat", |s| s.top_p = 1.5, &["top_p", "1.5"]),
        (long.as_str(), |_| (), &["prompt", "255 tokens"]),
    ];
    no_faults(cases.iter().map(|(prompt, change, fragments)| {
        let mut sampling = Sampling::default();
        change(&mut sampling);
        let generated = block_on(model.generate(prompt, 4, &sampling, |_| ()));
        (fragments.join(" "), refusal(generated, fragments))
    }));
}
