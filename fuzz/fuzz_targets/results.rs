#![no_main]

minift_fuzz::fuzz!("results");
