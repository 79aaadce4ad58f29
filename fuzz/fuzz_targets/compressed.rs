//! The fuzz target `compressed`: hands each input to its checks.
//! It knows nothing of them; they are in `src/compressed.rs`, where the ordinary tests run them on the vectors too.
#![no_main]

#[path = "../src/compressed.rs"]
mod compressed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| compressed::check(data));
