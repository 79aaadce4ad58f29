//! The options that say which stream is expected: its digest, and how old it may be.
//! It opens nothing; the library compares.

use cofferdam::{Opener, StreamDigest};

/// Which stream it has to be. A command whose help says more of an option replaces that option's words.
#[derive(clap::Args)]
pub(crate) struct Expected {
    /// The stream digest that it must have: 64 hexadecimal digits, as `seal` prints it. Not of a stream with `--digest tags`
    #[arg(long, value_name = "HEX", value_parser = parse_digest)]
    pub(crate) expect_digest: Option<StreamDigest>,

    /// Refuse a stream whose sequence number (`seal --sequence`) is lower, or that has none: exit code 14
    ///
    /// It is looked at before anything is written or printed. It tells an older backup of a sealer that you trust from a newer one. It does not say who sealed: anyone who knows a recipient can
    /// seal a stream with any number.
    #[arg(long, value_name = "N")]
    min_sequence: Option<u64>,
}

impl Expected {
    /// For no stream but that of the digest, if one is given.
    pub(crate) fn pinned(&self, opener: Opener) -> Opener {
        self.expect_digest.into_iter().fold(opener, Opener::expect_digest)
    }

    /// The least number that is demanded.
    pub(crate) fn min_sequence(&self) -> Option<u64> {
        self.min_sequence
    }

    /// For no stream that is too old.
    pub(crate) fn not_older(&self, opener: Opener) -> Opener {
        self.min_sequence.into_iter().fold(opener, Opener::min_sequence)
    }
}

pub(crate) fn parse_digest(text: &str) -> Result<StreamDigest, String> {
    text.parse().map_err(|error| format!("no stream digest: {error}"))
}
