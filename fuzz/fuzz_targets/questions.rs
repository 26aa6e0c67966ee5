#![no_main]

minift_fuzz::fuzz!("questions");
