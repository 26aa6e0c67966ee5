#![no_main]

minift_fuzz::fuzz!("tokenizer_files");
