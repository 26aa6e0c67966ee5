#![no_main]

minift_fuzz::fuzz!("recipe");
