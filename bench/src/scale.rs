//! How much a bench works on.
//! It knows one argument, `--bench`, by which cargo says that times are wanted.

use std::num::NonZeroUsize;
use std::thread;

/// Whether to measure, or only to prove that everything runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scale {
    /// Enough bytes and rounds for times that mean something.
    Measure,
    /// A round over a few bytes, as under `cargo test --benches`.
    Smoke,
}

impl Scale {
    /// What cargo asks for.
    pub fn from_arguments() -> Scale {
        if std::env::args().any(|argument| argument == "--bench") { Scale::Measure } else { Scale::Smoke }
    }

    /// Plaintext bytes: many times any cache, or just more than a segment.
    pub fn plaintext_len(self) -> usize {
        match self {
            Scale::Measure => 256 << 20,
            Scale::Smoke => 9 << 20,
        }
    }

    /// How often a row is run.
    pub fn rounds(self) -> usize {
        match self {
            Scale::Measure => 15,
            Scale::Smoke => 1,
        }
    }

    /// One thread, and as many as the machine runs at once.
    pub fn threads(self) -> Vec<NonZeroUsize> {
        let all = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        if all == NonZeroUsize::MIN { vec![all] } else { vec![NonZeroUsize::MIN, all] }
    }
}
