#![no_main]

minift_fuzz::fuzz!("teacher_states");
