//! Invalid arguments of the program.

use super::{Scratch, fault, no_faults, run};

#[test]
fn invalid_options_are_named() {
    let scratch = Scratch::new();
    scratch.write("empty.txt", "\n\n");
    let train: &[(&[&str], &[&str])] = &[
        (&["--tau", "1.5"], &["tau", "1.5", "0 to 1"]),
        (&["--tau=-0.1"], &["tau", "-0.1", "0 to 1"]),
        (&["--tau", "nan"], &["tau", "NaN"]),
        (&["--tau", "much"], &["--tau", "much"]),
        (&["--temperature", "0"], &["temperature", "above 0"]),
        (&["--temperature", "inf"], &["temperature", "inf"]),
        (&["--lr", "0"], &["lr", "above 0"]),
        (&["--lr=-1"], &["lr", "-1", "above 0"]),
        (&["--epochs", "0"], &["epochs", "above 0"]),
        (&["--epochs", "two"], &["--epochs", "two"]),
        (
            &["--samples", "0"],
            &["samples (--samples): 0", "1 or more"],
        ),
        (
            &["--samples", "4"],
            &["4 samples", "domain.txt", "3 usable"],
        ),
        (
            &["--samples", "100000"],
            &["100000 samples", "domain.txt", "3 usable"],
        ),
        (
            &["--samples", "100000", "--held-out", "general.txt"],
            &["100000 samples", "domain.txt", "4 usable"],
        ),
        (
            &["--max-length", "1"],
            &["max_length (--max-length): 1", "2 to 256"],
        ),
        (
            &["--max-length", "100000"],
            &["max_length (--max-length): 100000", "2 to 256"],
        ),
        (
            &["--method", "ft", "--tau", "0.25"],
            &["tau (--tau)", "none with finetuning"],
        ),
        (
            &["--method", "ft", "--scope", "all"],
            &["scope (--scope)", "none with finetuning"],
        ),
        (&["--method", "lora"], &["--method", "lora"]),
        (&["--adapter", "qlora"], &["--adapter", "qlora"]),
        (
            &["--adapter", "ia3", "--rank", "4"],
            &["rank (--rank)", "LoRA or DoRA adapter"],
        ),
        (
            &["--rslora"],
            &["rslora (--rslora)", "LoRA or DoRA adapter"],
        ),
        (&["--alpha", "0.3"], &["lora_alpha", "LoRA or DoRA adapter"]),
        (
            &["--adapter", "lora", "--alpha", "8", "--lora-alpha", "8"],
            &["alpha"],
        ),
        (
            &["--target", "constant", "--alpha", "1.5"],
            &["alpha (--mix-alpha): 1.5", "0 to 1"],
        ),
        (
            &["--target", "constant", "--tau", "0.5"],
            &["tau (--tau)", "none with constant mixture"],
        ),
        (
            &["--method", "ft", "--target", "constant"],
            &["target", "none with finetuning"],
        ),
        (&["--target", "soft"], &["--target", "soft"]),
        (&["--ewc=-1"], &["ewc (--ewc): -1", "0 or more"]),
        (
            &["--ewc-text", "self"],
            &["ewc_text (--ewc-text)", "without --ewc"],
        ),
        (
            &["--replay-ratio", "0.5"],
            &["replay_ratio", "--replay FILE"],
        ),
        (
            &["--replay", "general.txt", "--replay-ratio", "0.9999999999"],
            &["replay_ratio (--replay-ratio)", "a smaller share"],
        ),
        (
            &["--replay", "nowhere.txt"],
            &["nowhere.txt", "No such file"],
        ),
        (
            &["--replay", "empty.txt"],
            &["empty.txt", "no usable sample"],
        ),
        (
            &["--ewc", "1", "--ewc-text", "empty.txt"],
            &["empty.txt", "no usable sample"],
        ),
        (
            &["--max-degeneralization", "5"],
            &["--max-degeneralization", "5%"],
        ),
        (
            &["--max-degeneralization=-5%"],
            &["--max-degeneralization", "0%"],
        ),
        (
            &[
                "--max-degeneralization",
                "5%",
                "--search",
                "trainings",
                "--resume",
            ],
            &["resume (--resume)", "--search trainings"],
        ),
        (
            &["--validation", "general.txt"],
            &["validation (--validation)", "--max-degeneralization"],
        ),
        (
            &["--target-modules", "q_proj"],
            &["target_modules (--target-modules)", "without an adapter"],
        ),
    ];
    let eval: &[(&[&str], &[&str])] = &[
        (
            &["--samples", "100000"],
            &["100000 samples", "domain.txt", "4 usable"],
        ),
        (&["--batch-size", "0"], &["batch-size", "1 or more"]),
        (
            &["--max-length", "1"],
            &["max_length (--max-length): 1", "2 to 256"],
        ),
        (
            &["--max-length", "100000"],
            &["max_length (--max-length): 100000", "2 to 256"],
        ),
        (
            &["--adapter", "nowhere"],
            &["nowhere", "adapter_config.json", "No such file"],
        ),
    ];
    let train = train.iter().map(|(given, fragments)| {
        (
            format!("train {}", given.join(" ")),
            scratch.train_fault(given, fragments),
        )
    });
    let eval = eval.iter().map(|(given, fragments)| {
        let arguments = [&["--data", "domain.txt"], *given].concat();
        (
            format!("eval {}", given.join(" ")),
            scratch.eval_fault(&arguments, fragments),
        )
    });
    no_faults(train.chain(eval));
}

#[test]
fn eval_rejects_zero_samples() {
    let arguments = ["--data", "domain.txt", "--samples", "0"];
    let fault = Scratch::new().eval_fault(&arguments, &["samples (--samples): 0", "1 or more"]);
    no_faults([("eval --samples 0".to_string(), fault)]);
}

/// A negative value is not parsed as an option: `--lr -1` is an invalid learning rate.
#[test]
fn negative_settings_are_named() {
    let scratch = Scratch::new();
    let generate = ["generate", "--prompt", "A cat", "--temperature", "-1"];
    no_faults([
        (
            "--tau -0.1".to_string(),
            scratch.train_fault(&["--tau", "-0.1"], &["tau", "-0.1"]),
        ),
        (
            "--lr -1".to_string(),
            scratch.train_fault(&["--lr", "-1"], &["lr", "-1"]),
        ),
        (
            "--epochs -1".to_string(),
            scratch.train_fault(&["--epochs", "-1"], &["epochs", "-1"]),
        ),
        (
            "generate --temperature -1".to_string(),
            scratch.fault(&["temperature", "-1"], |scratch| scratch.minift(&generate)),
        ),
    ]);
}

#[test]
fn overlong_prompts_are_rejected_before_training() {
    let scratch = Scratch::new();
    let long = "The cat sat on the mat. ".repeat(60);
    no_faults([(
        "long".to_string(),
        scratch.train_fault(&["--prompt", &long], &["prompt", "255 tokens"]),
    )]);
}

#[test]
fn unknown_and_missing_devices_are_rejected() {
    let scratch = Scratch::new();
    let cases: [(&str, &[&str]); 4] = [
        ("gpu:99", &["adapter"]),
        ("gpu:x", &["device", "gpu:x", "gpu:N"]),
        ("banana", &["device", "banana", "cpu"]),
        ("", &["device", "cpu"]),
    ];
    no_faults(cases.into_iter().map(|(device, fragments)| {
        let arguments = ["eval", "--data", "domain.txt", "--device", device];
        let fault = scratch.fault(fragments, |scratch| run(scratch.0.path(), &arguments));
        (format!("--device {device}"), fault)
    }));
}

#[test]
fn invalid_reference_values_are_rejected() {
    let scratch = Scratch::with_model();
    scratch.write("garbage.safetensors", "not a safetensors file");
    let cases: [(&str, &[&str]); 3] = [
        ("missing.safetensors", &["missing.safetensors"]),
        ("garbage.safetensors", &["garbage.safetensors"]),
        ("model/model.safetensors", &["model/model.safetensors"]),
    ];
    no_faults(cases.into_iter().map(|(file, fragments)| {
        let arguments = ["doctor", "--vectors", file];
        (
            file.to_string(),
            scratch.fault(fragments, |scratch| scratch.minift(&arguments)),
        )
    }));
}

#[test]
fn a_huge_batch_size_does_not_panic() {
    // Sixteen times this number overflows 64 bits to 0.
    let output = Scratch::new().train(&["--batch-size", "1152921504606846976"]);
    if !output.status.success() {
        assert_eq!(fault(&output, &["batch-size"]), None);
    }
}

#[test]
fn a_huge_number_of_epochs_is_rejected() {
    let output = Scratch::new().train(&["--epochs", "18446744073709551615"]);
    assert_eq!(fault(&output, &["epochs", "above 0"]), None);
}
