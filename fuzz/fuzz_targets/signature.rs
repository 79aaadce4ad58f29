//! The fuzz target `signature`: hands each input to its checks.
//! It knows nothing of them; they are in `src/signature.rs`, where the ordinary tests run them on signatures and keys too.
#![no_main]

#[path = "../src/signature.rs"]
mod signature;

libfuzzer_sys::fuzz_target!(|data: &[u8]| signature::check(data));
