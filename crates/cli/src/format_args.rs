//! The options that say how a stream is made: format, cipher, digest, compression, lengths.
//! It knows no input and no output.

use cofferdam::{CompressionLevel, DigestKind, Sealer, Suite};

use crate::failure::Failure;
use crate::size::Size;

/// How the stream is made.
#[derive(clap::Args)]
#[command(next_help_heading = "Format")]
pub(crate) struct Format {
    /// What is made: cofferdam, or an age file, which `age -d` opens, for recipients of age's or one passphrase
    ///
    /// An age file has no place for what the other options of this group choose, for --metadata and --sequence, nor for a check without
    /// a key, and nothing of its sealing is kept for --resume. It is INPUT.age unless -o says otherwise.
    #[cfg(feature = "foreign")]
    #[arg(long = "format", value_enum, value_name = "NAME", default_value = "cofferdam")]
    sealed_as: FormatName,

    /// The cipher [default: aes256gcm where the processor has instructions for it, else chacha20poly1305]
    #[arg(long, value_enum)]
    suite: Option<SuiteName>,

    /// What segments are digested with; `tags` is fastest, and rules out checks without a key [default: blake3]
    #[arg(long, value_enum)]
    digest: Option<DigestName>,

    /// Compress each frame with zstd, where that makes it shorter; LEVEL is 1 (fast) to 19 (small), 3 if it is not given.
    /// Whoever sees the sealed stream sees how well each frame compressed
    #[arg(long, value_name = "LEVEL", num_args = 0..=1, require_equals = true, default_missing_value = "3", value_parser = parse_level)]
    zstd: Option<CompressionLevel>,

    /// Plaintext bytes of a frame: 4KiB to 4MiB, a multiple of 4KiB [default: 64KiB; with --zstd 256KiB]
    #[arg(long, value_name = "SIZE")]
    frame_size: Option<Size>,

    /// Plaintext bytes of a segment: a multiple of the frame's, at most 1GiB [default: 8MiB; of an input of at most 8MiB 1MiB, of one
    /// of more than 256GiB 16MiB]
    #[arg(long, value_name = "SIZE")]
    segment_size: Option<Size>,
}

#[cfg(feature = "foreign")]
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FormatName {
    Cofferdam,
    Age,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum SuiteName {
    Aes256gcm,
    Chacha20poly1305,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum DigestName {
    Blake3,
    Sha256,
    Tags,
}

impl Format {
    pub(crate) fn is_age(&self) -> bool {
        #[cfg(feature = "foreign")]
        return self.sealed_as == FormatName::Age;
        #[cfg(not(feature = "foreign"))]
        false
    }

    /// Whether its digest fixes no bytes.
    pub(crate) fn is_of_tags(&self) -> bool {
        matches!(self.digest, Some(DigestName::Tags))
    }

    /// How hard it is compressed, where that is said.
    pub(crate) fn level(&self) -> Option<CompressionLevel> {
        self.zstd
    }

    /// Before anything is read or asked for.
    pub(crate) fn refuse_what_age_lacks(&self) -> Result<(), Failure> {
        let given = [
            (self.suite.is_some(), "--suite"),
            (self.digest.is_some(), "--digest"),
            (self.zstd.is_some(), "--zstd"),
            (self.frame_size.is_some(), "--frame-size"),
            (self.segment_size.is_some(), "--segment-size"),
        ];
        match given.iter().find(|(given, _)| *given) {
            Some((_, option)) if self.is_age() => Err(not_of_age(option)),
            _ => Ok(()),
        }
    }

    pub(crate) fn apply(&self, mut sealer: Sealer) -> Result<Sealer, Failure> {
        #[cfg(feature = "foreign")]
        if self.is_age() {
            sealer = sealer.sealed_as(cofferdam::SealedAs::Age);
        }
        if let Some(digest) = self.digest {
            sealer = sealer.digest(match digest {
                DigestName::Blake3 => DigestKind::Blake3,
                DigestName::Sha256 => DigestKind::Sha256,
                DigestName::Tags => DigestKind::Tags,
            });
        }
        if let Some(suite) = self.suite {
            sealer = sealer.suite(match suite {
                SuiteName::Aes256gcm => Suite::Aes256Gcm,
                SuiteName::Chacha20poly1305 => Suite::ChaCha20Poly1305,
            });
        }
        if let Some(level) = self.zstd {
            sealer = sealer.compression(level);
        }
        if let Some(size) = self.frame_size {
            let bytes = u32::try_from(size.0).map_err(|_| Failure::usage("a frame has at most 4 MiB"))?;
            sealer = sealer.frame_len(bytes);
        }
        Ok(match self.segment_size {
            Some(size) => sealer.segment_len(size.0),
            None => sealer,
        })
    }
}

/// Of an option that an age file has no place for.
pub(crate) fn not_of_age(option: &str) -> Failure {
    Failure::usage(format!("{option} is not for an age file, which cannot have that"))
        .advise("Leave the option out, or seal without --format.")
}

fn parse_level(text: &str) -> Result<CompressionLevel, String> {
    let level = text.parse().ok().and_then(CompressionLevel::new);
    level.ok_or_else(|| "a level is a number from 1 to 19".to_owned())
}
