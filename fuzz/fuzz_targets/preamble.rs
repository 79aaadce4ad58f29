//! The fuzz target `preamble`: hands each input to its checks.
//! It knows nothing of them; they are in `src/preamble.rs`, where the ordinary tests run them on the vectors too.
#![no_main]

#[path = "../src/preamble.rs"]
mod preamble;

libfuzzer_sys::fuzz_target!(|data: &[u8]| preamble::check(data));
