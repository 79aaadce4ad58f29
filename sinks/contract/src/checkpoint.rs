//! How far a stream is committed, as opaque bytes.
//! Knows nothing of what the bytes mean: the engine makes and authenticates them, sinks store them unread.

/// How far a stream got: everything up to it has been verified and committed.
///
/// The engine makes it, with a MAC under a key that no sink knows, and authenticates it again when a sink gives
/// it back. A sink stores the bytes and compares them at most for equality.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    bytes: [u8; Self::LEN],
}

impl Checkpoint {
    /// Length of a checkpoint in bytes.
    pub const LEN: usize = 192;

    /// The bytes to store.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        self.bytes
    }

    /// A checkpoint from stored bytes. Nothing is checked here: only the engine can.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self { bytes }
    }
}
