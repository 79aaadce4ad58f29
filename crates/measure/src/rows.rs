//! What the figures are of: steps, recipes of streams, rows.
//! It knows no clock.

use std::num::NonZeroUsize;

use cofferdam::{DigestKind, FRAME_LEN_DEFAULT, Suite, default_suite};

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

/// How fast something was: the median of some rounds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Figure {
    /// Bytes of plaintext, or of what was digested, read, written or copied.
    pub bytes: u64,
    /// How long they took.
    pub seconds: f64,
    /// Rounds that the median was taken of.
    pub rounds: usize,
}

impl Figure {
    /// Bytes per second.
    pub fn speed(&self) -> f64 {
        self.bytes as f64 / self.seconds
    }
}

/// Something that was timed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Step {
    /// Frames of 64 KiB were sealed or opened, from one buffer in the processor's cache to another.
    Cipher(Work, Suite),
    /// Frames of 64 KiB in the processor's cache were digested.
    Digest(DigestKind),
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
    /// A whole stream went from a file in the page cache to a file, staged, synced and renamed, with every check.
    Stream(Work, Recipe),
}

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Plaintext to sealed stream.
    Seal,
    /// Sealed stream to plaintext.
    Open,
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

    /// The default one with each digest.
    pub(crate) fn by_digest() -> [Recipe; 3] {
        [DigestKind::Blake3, DigestKind::Sha256, DigestKind::Tags]
            .map(|digest| Recipe { digest, ..Recipe::default_here() })
    }

    /// The default one with each frame size that is compared.
    pub(crate) fn by_frame_len() -> [Recipe; 4] {
        FRAME_LENS.map(|frame_len| Recipe { frame_len, ..Recipe::default_here() })
    }
}

/// The figure of a step on this many threads, in a group of rows.
pub fn figure_of(rows: &[Row], step: Step, threads: NonZeroUsize) -> Option<Figure> {
    rows.iter().find(|row| row.step == step && row.threads == threads).map(|row| row.figure)
}

/// Frame sizes that are compared, in bytes.
pub(crate) const FRAME_LENS: [u32; 4] = [16 << 10, FRAME_LEN_DEFAULT, 256 << 10, 1 << 20];
