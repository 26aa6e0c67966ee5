#![no_main]

minift_fuzz::fuzz!("chat_template");
