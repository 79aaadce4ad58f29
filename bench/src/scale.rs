//! How much a bench works on.
//! It knows one argument, `--bench`, by which cargo says that times are wanted.

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

    /// One of two, by what is asked for.
    pub fn choose<T>(self, measure: T, smoke: T) -> T {
        match self {
            Scale::Measure => measure,
            Scale::Smoke => smoke,
        }
    }

    /// Plaintext bytes: many times any cache, or just more than a segment.
    pub fn plaintext_len(self) -> usize {
        self.choose(256 << 20, 9 << 20)
    }

    /// `text`, or that the figures mean nothing.
    pub fn preface(self, text: String) -> String {
        self.choose(text, "Everything runs; the figures mean nothing. For figures: cargo bench.".to_owned())
    }
}
