#![no_main]

minift_fuzz::fuzz!("expected_logits");
