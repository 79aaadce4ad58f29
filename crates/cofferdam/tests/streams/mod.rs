//! Owns what the tests of this crate share: plaintexts, keys, the two ways of reading, and a map of sealed streams.
//! Refuses to know what any test expects.
#![allow(dead_code, reason = "each test uses the part that it needs")]

pub(crate) mod counting;
pub(crate) mod far;
pub(crate) mod forge;
pub(crate) mod map;
pub(crate) mod noted;

use std::fs;
use std::io::{self, Cursor};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cofferdam::{
    BytesSource, DigestKind, Error, ErrorKind, Identities, MemorySink, Opener, ReaderSource, Recipients,
    Restored, Sealer, Suite, WrappingKey,
};

/// The key that opens the tests' streams.
pub(crate) const KEY: [u8; 32] = [7; 32];
/// A key that opens none of them, unless they are re-wrapped.
pub(crate) const OTHER_KEY: [u8; 32] = [8; 32];
/// The smallest frame there is.
pub(crate) const FRAME: usize = 4096;
/// The small streams' segment: four frames.
pub(crate) const SEGMENT: usize = 4 * FRAME;

pub(crate) const SUITES: [Suite; 2] = [Suite::Aes256Gcm, Suite::ChaCha20Poly1305];
pub(crate) const DIGESTS: [DigestKind; 3] = [DigestKind::Blake3, DigestKind::Sha256, DigestKind::Tags];

/// The way a sealed stream is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reading {
    /// At offsets, by its index.
    Seekable,
    /// Once, from front to back.
    Sequential,
}

pub(crate) const READINGS: [Reading; 2] = [Reading::Seekable, Reading::Sequential];

pub(crate) fn recipients_of(key: [u8; 32]) -> Recipients {
    Recipients::new().wrapping_key(WrappingKey::from_bytes(key))
}

pub(crate) fn identities_of(key: [u8; 32]) -> Identities {
    Identities::new().wrapping_key(WrappingKey::from_bytes(key))
}

/// Seals small frames and segments under [`KEY`].
pub(crate) fn small_sealer() -> Sealer {
    Sealer::new(recipients_of(KEY)).frame_len(FRAME as u32).segment_len(SEGMENT as u64)
}

/// Opens with [`KEY`].
pub(crate) fn opener() -> Opener {
    Opener::new(identities_of(KEY))
}

pub(crate) fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

/// Bytes of which no two frames are alike: 251 is prime, and divides no length of the format.
pub(crate) fn counted(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8 ^ (at / 65_536) as u8).collect()
}

pub(crate) fn seal(sealer: &Sealer, plaintext: Vec<u8>) -> Vec<u8> {
    let (sink, contents) = MemorySink::new();
    let sealed = sealer.seal(BytesSource::new(plaintext), sink).unwrap();
    let bytes = contents.take().unwrap();
    assert_eq!(bytes.len() as u64, sealed.wire_len);
    bytes
}

/// A source that cannot be read at offsets.
pub(crate) fn in_order(bytes: impl AsRef<[u8]> + Send) -> ReaderSource<Cursor<impl AsRef<[u8]> + Send>> {
    ReaderSource::new(Cursor::new(bytes))
}

/// Opens `sealed` into memory. Whatever fails, nothing has come out.
pub(crate) fn open(
    opener: &Opener,
    reading: Reading,
    sealed: impl AsRef<[u8]> + Send + Sync + 'static,
) -> Result<(Restored, Vec<u8>), Error> {
    let (sink, contents) = MemorySink::new();
    let opened = match reading {
        Reading::Seekable => opener.open(BytesSource::new(sealed), sink),
        Reading::Sequential => opener.open(in_order(sealed), sink),
    };
    let plaintext = contents.take();
    assert_eq!(
        plaintext.is_some(),
        opened.is_ok(),
        "plaintext comes out of a stream that opens, and only then"
    );
    Ok((opened?, plaintext.unwrap_or_default()))
}

pub(crate) fn verify(
    opener: &Opener,
    reading: Reading,
    sealed: impl AsRef<[u8]> + Send + Sync + 'static,
) -> Result<Restored, Error> {
    match reading {
        Reading::Seekable => opener.verify(BytesSource::new(sealed)),
        Reading::Sequential => opener.verify(in_order(sealed)),
    }
}

/// The class of FORMAT §14 of an outcome.
pub(crate) fn class_of<T>(outcome: &Result<T, Error>) -> &'static str {
    outcome.as_ref().map_or_else(|error| class_of_kind(error.kind()), |_| "success")
}

/// The class of FORMAT §14 of an error.
pub(crate) fn class_of_kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Damaged | ErrorKind::DigestMismatch => "damaged",
        ErrorKind::NotAStream => "not a stream",
        ErrorKind::Truncated => "truncated",
        ErrorKind::NoKey => "no key",
        ErrorKind::Limit => "limit",
        ErrorKind::Unsupported => "unsupported",
        _ => "no class of the format",
    }
}

/// What lies in a directory, by name, in order.
pub(crate) fn names_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| PathBuf::from(entry.unwrap().file_name())).collect();
    names.sort();
    names
}

/// A scratch directory in memory where there is such a file system, for tests that write much.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_: io::Error| tempfile::tempdir()).unwrap()
}

/// Bytes that many sources share, one of which may see them changed.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Vec<u8>>);

impl Shared {
    pub(crate) fn new(bytes: Vec<u8>) -> Shared {
        Shared(Arc::new(bytes))
    }
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
