//! The fuzz target `splitter`: hands each input to its checks.
//! It knows nothing of them; they are in `src/splitter.rs`, where the ordinary tests run them on the vectors too.
#![no_main]

#[path = "../src/splitter.rs"]
mod splitter;

libfuzzer_sys::fuzz_target!(|data: &[u8]| splitter::check(data));
