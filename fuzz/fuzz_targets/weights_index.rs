#![no_main]

minift_fuzz::fuzz!("weights_index");
