//! The fuzz target `tree`: hands each input to its checks.
//! It knows nothing of them; they are in `src/tree.rs`, where the ordinary tests run them on the vectors too.
#![no_main]

#[path = "../src/tree.rs"]
mod tree;

libfuzzer_sys::fuzz_target!(|data: &[u8]| tree::check(data));
