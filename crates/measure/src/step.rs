//! The steps that are timed, and the rows that say how fast they were.
//! It does none of them.

use std::num::NonZeroUsize;

use cofferdam::{DigestKind, Suite};

use crate::interleaved::Figure;
use cofferdam::{FRAME_LEN_DEFAULT, default_suite};

/// One step, and how fast it was.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Row {
    /// What was done.
    pub step: Step,
    /// On how many threads.
    pub threads: NonZeroUsize,
    /// The median of the rounds.
    pub figure: Figure,
}

/// Something that was timed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Frames of 64 KiB were sealed or opened, from one buffer in the processor's cache to another.
    Cipher(Work, Suite),
    /// Frames of 64 KiB in the processor's cache were digested.
    Digest(DigestKind),
    /// Bytes were copied between two buffers of [`Measured::memory_len`](super::Measured::memory_len).
    CopyMemory,
    /// A file was read after the system had been asked to forget it; not measured where the file system is memory.
    ReadDevice,
    /// A file in the page cache was read, 512 KiB at a time, by all threads at offsets.
    ReadFile,
    /// A new file was written as a restore writes it: beside its name, 512 KiB at a time, by all threads at offsets.
    WriteFile,
    /// That file was synced, renamed, and its directory synced.
    PublishFile,
    /// A file in the page cache was copied as `cp` does without the file system's help: read and write, 256 KiB at a time.
    CopyFile,
    /// The copy was synced.
    SyncCopy,
    /// A whole stream went through the pipeline, with every check.
    Stream(Work, Ends, Recipe),
}

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Plaintext to sealed stream.
    Seal,
    /// Sealed stream to plaintext.
    Open,
}

/// Where a stream came from and went to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ends {
    /// From memory, and dropped once it was sealed or verified.
    Memory,
    /// From a file in the page cache to a file, staged, synced and renamed.
    Files,
}

/// How a stream is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recipe {
    /// The AEAD.
    pub suite: Suite,
    /// What segments are digested with.
    pub digest: DigestKind,
    /// Plaintext bytes of a frame.
    pub frame_len: u32,
}

impl Recipe {
    /// What a seal makes on this machine where nothing else is said.
    pub fn default_here() -> Recipe {
        Recipe { suite: default_suite(), digest: DigestKind::Blake3, frame_len: FRAME_LEN_DEFAULT }
    }

    /// The default one, each other digest, and the other suite.
    pub(crate) fn compared() -> [Recipe; 4] {
        let usual = Recipe::default_here();
        let other_suite = match usual.suite {
            Suite::Aes256Gcm => Suite::ChaCha20Poly1305,
            Suite::ChaCha20Poly1305 => Suite::Aes256Gcm,
        };
        [
            usual,
            Recipe { digest: DigestKind::Sha256, ..usual },
            Recipe { digest: DigestKind::Tags, ..usual },
            Recipe { suite: other_suite, ..usual },
        ]
    }
}

/// The figure of a step on so many threads, in a group of rows.
pub fn figure_of(rows: &[Row], step: Step, threads: NonZeroUsize) -> Option<Figure> {
    rows.iter().find(|row| row.step == step && row.threads == threads).map(|row| row.figure)
}
