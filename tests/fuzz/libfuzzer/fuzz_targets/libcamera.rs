#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (coldshoe_fuzz::named("libcamera").run)(bytes));
