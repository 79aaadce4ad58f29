//! The fuzz target `serve`: hands each input to its checks.
//! It knows nothing of them; they are in `src/serve.rs`, where the ordinary tests run them too.
#![no_main]

#[path = "../src/serve.rs"]
mod serve;

libfuzzer_sys::fuzz_target!(|data: &[u8]| serve::check(data));
