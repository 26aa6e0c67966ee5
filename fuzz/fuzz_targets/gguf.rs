#![no_main]

minift_fuzz::fuzz!("gguf");
