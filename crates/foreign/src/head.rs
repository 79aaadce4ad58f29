//! What stands before the first chunk: given bytes until it is whole, then opened with the keys that there are.
//! It knows formats by name, and none of their records.

use std::fmt;
use std::sync::Arc;

use frame_worker::Backend;
use keys::{Identities, Zeroizing};

use crate::{Chunks, Cutter, Fault, Format, Wholeness, age};

/// What a caller has to open a stream with.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    /// Identities and passphrases.
    pub identities: &'a Identities,
    /// Which implementation of the ciphers.
    pub backend: Backend,
    /// Asked before what takes long.
    pub cancelled: &'a dyn Fn() -> bool,
}

impl fmt::Debug for Keys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("identities", self.identities).finish_non_exhaustive()
    }
}

/// How far the reading of a head has come.
#[derive(Debug)]
pub enum HeadStep {
    /// It takes this many bytes of the stream in all, or all that there are.
    More(usize),
    /// It is open.
    Opened(Box<Opened>),
}

/// A stream whose head has been read and opened.
pub struct Opened {
    /// What it is.
    pub format: Format,
    /// Bytes of the head: the first chunk begins behind it.
    pub head_len: usize,
    /// Cuts the chunks, in order.
    pub cutter: Box<dyn Cutter>,
    /// Opens them.
    pub chunks: Arc<dyn Chunks>,
    /// What can be said of such a stream that has been opened to its end; the cutter may know less at that end.
    pub claim: Wholeness,
    /// Names the stream: a digest of its head. Nothing in it is secret.
    pub identity: [u8; 32],
    /// Known to who can open the stream, and to nobody else: for MACs of what is kept of it.
    pub secret: Zeroizing<[u8; 32]>,
    /// What the head says, for people: of an age file, the kinds of its recipients.
    pub notes: Vec<String>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("format", &self.format)
            .field("head_len", &self.head_len)
            .field("claim", &self.claim)
            .finish_non_exhaustive()
    }
}

/// Opens the head of a stream of `format` that begins with `beginning`. `is_all` says that the stream has no more bytes.
///
/// # Errors
/// The head is damaged, beyond a limit, or none of `keys` opens it.
pub fn open_head(format: Format, beginning: &[u8], is_all: bool, keys: &Keys<'_>) -> Result<HeadStep, Fault> {
    match format {
        Format::Age => age::open_head(beginning, is_all, keys),
    }
}

/// What the head of a stream says without a key, of which nothing is authenticated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspected {
    /// What it is.
    pub format: Format,
    /// Bytes of the head.
    pub head_len: usize,
    /// For people: of an age file, the kinds of its recipients.
    pub notes: Vec<String>,
}

/// As [`open_head`], without keys. `Ok(Err(n))` asks for `n` bytes in all.
///
/// # Errors
/// The head is damaged, or beyond a limit.
pub fn inspect_head(
    format: Format,
    beginning: &[u8],
    is_all: bool,
) -> Result<Result<Inspected, usize>, Fault> {
    match format {
        Format::Age => {
            let found = age::inspect(beginning, is_all)?;
            Ok(found.map(|(head_len, notes)| Inspected { format, head_len, notes }))
        }
    }
}

/// Bytes of a head at most. Of age: 256 stanzas, all of them post-quantum.
pub const HEAD_LEN_MAX: usize = 512 * 1024;
