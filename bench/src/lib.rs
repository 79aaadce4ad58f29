//! What the benches share: the bare loop, the pipeline in memory, bytes, keys, and how a table's cells are written.
//! It knows no sink and no disk; `benches/` says what is timed, `cargo xtask compare` runs whole processes.

mod bare;
mod bare_reads;
mod scale;
mod setting;

use std::convert::Infallible;
use std::env;
use std::path::PathBuf;
use std::time::Duration;

use cofferdam::{Identities, Opener, Recipients, Sealer, WrappingKey};
use harness::{Effort, Summary, Variant, interleaved};

pub use bare::BareLoop;
pub use bare_reads::BareReads;
pub use harness::bytes;
pub use scale::Scale;
pub use setting::{Setting, Work, bare, pipeline};

/// Work that says how long it took; where it cannot be done, it panics.
pub type Timed<'a> = Variant<'a, Duration, Infallible>;

/// The times of each of `variants`, which take turns.
pub fn times(variants: &mut [Timed<'_>], effort: Effort) -> Vec<Vec<Duration>> {
    interleaved(variants, effort).unwrap_or_else(|never| match never {})
}

/// The columns `median GB/s`, `slowest to fastest`: 10^9 bytes of plaintext per second.
pub fn speeds(len: usize, times: &[Duration]) -> String {
    let Summary { median, range: [fastest, slowest], .. } = Summary::of_times(times);
    let speed = |seconds: f64| len as f64 / seconds / 1e9;
    format!("{:.2} | {:.2} to {:.2}", speed(median), speed(slowest), speed(fastest))
}

/// Whether the table `name` was asked for: by a word behind `--`, or by none.
pub fn is_wanted(name: &str) -> bool {
    let mut words = env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|word| word == name)
}

/// Where files go: the directory that `COFFERDAM_BENCH_DIRECTORY` names, else one in memory.
pub fn directory() -> PathBuf {
    env::var_os("COFFERDAM_BENCH_DIRECTORY").map_or_else(|| "/dev/shm".into(), PathBuf::from)
}

/// A sealer with a key that hides nothing.
pub fn sealer() -> Sealer {
    Sealer::new(Recipients::new().wrapping_key(WrappingKey::from_bytes(KEY)))
}

/// An opener of what [`sealer`] seals.
pub fn opener() -> Opener {
    Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes(KEY)))
}

/// The key of [`sealer`] and [`opener`], as a key file has it.
pub const KEY: [u8; 32] = [7; 32];
