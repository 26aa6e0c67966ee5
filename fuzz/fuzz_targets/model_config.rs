#![no_main]

minift_fuzz::fuzz!("model_config");
