#![no_main]

use libfuzzer_sys::fuzz_target;
use pump_core::testing::fuzz::Target;

fuzz_target!(|bytes: &[u8]| Target::PIPELINE.run(bytes));
