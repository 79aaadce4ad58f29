//! The fuzz target `trailer`: hands each input to its checks.
//! It knows nothing of them; they are in `src/trailer.rs`, where the ordinary tests run them on the vectors too.
#![no_main]

#[path = "../src/trailer.rs"]
mod trailer;

libfuzzer_sys::fuzz_target!(|data: &[u8]| trailer::check(data));
