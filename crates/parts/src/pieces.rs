//! Pieces of a part: what was written at once, and its digest, under a key.
//! It knows no file: bytes come in, digests come out.

use std::fmt;

use zeroize::Zeroizing;

use crate::text::Hex;
use crate::{PlanId, PlanKey};

/// A piece of a part's file. Pieces are in order and without gaps, from the part's first byte on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Bytes.
    pub len: u64,
    /// Their digest.
    pub digest: PieceDigest,
}

/// The keyed BLAKE3 of a piece. Who has not the plan's key learns nothing of the bytes from it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PieceDigest(pub [u8; 32]);

impl fmt::Display for PieceDigest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(out)
    }
}

impl fmt::Debug for PieceDigest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Makes digests of pieces for one plan.
#[derive(Clone)]
pub struct PieceHasher(Zeroizing<[u8; 32]>);

impl PieceHasher {
    /// For this plan, under its key.
    pub fn new(key: &PlanKey, plan: PlanId) -> PieceHasher {
        PieceHasher(key.of_pieces(plan))
    }

    /// The digest of the bytes that `feed` gives, in order.
    ///
    /// # Errors
    /// Those of `feed`.
    pub fn digest<E>(
        &self,
        feed: impl FnOnce(&mut dyn FnMut(&[u8])) -> Result<(), E>,
    ) -> Result<PieceDigest, E> {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        feed(&mut |bytes| {
            hasher.update(bytes);
        })?;
        Ok(PieceDigest(hasher.finalize().into()))
    }

    /// The digest of bytes that come by and by.
    pub fn begin(&self) -> PieceDigester {
        PieceDigester(blake3::Hasher::new_keyed(&self.0))
    }

    /// The digest of `bytes`.
    pub fn digest_of(&self, bytes: &[u8]) -> PieceDigest {
        PieceDigest(blake3::keyed_hash(&self.0, bytes).into())
    }
}

/// A digest in the making. A copy of it goes on from the same bytes.
#[derive(Clone)]
pub struct PieceDigester(blake3::Hasher);

impl PieceDigester {
    /// The next `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them.
    pub fn digest(&self) -> PieceDigest {
        PieceDigest(self.0.finalize().into())
    }
}

impl fmt::Debug for PieceDigester {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PieceDigester")
    }
}

impl fmt::Debug for PieceHasher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PieceHasher")
    }
}
