//! What an attempt is an attempt at, as opaque bytes.
//! Knows nothing of what the bytes mean: the engine makes and authenticates them, a journal stores them unread.

/// Names an attempt in its journal: which stream, which target, which options that change bytes.
///
/// A sink stores it and never judges it. Whoever opens the sink compares the label that was found with the one that
/// was wanted, and authenticates it if it has to be trusted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttemptId {
    bytes: Box<[u8]>,
}

impl AttemptId {
    /// The most bytes an id may have.
    pub const LEN_MAX: usize = 384;

    /// An id of these bytes; `None` for more than [`LEN_MAX`](Self::LEN_MAX) of them.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= Self::LEN_MAX).then(|| Self { bytes: bytes.into() })
    }

    /// The bytes, as they were given.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}
