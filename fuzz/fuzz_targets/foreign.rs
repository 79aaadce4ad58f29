//! The fuzz target `foreign`: hands each input to its checks.
//! It knows nothing of them; they are in `src/foreign.rs`, where the ordinary tests run them too.
#![no_main]

#[path = "../src/foreign.rs"]
mod foreign_checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| foreign_checks::check(data));
