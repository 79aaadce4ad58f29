//! What a part is: whole segments, the plaintext that they are, and the chain before and after them.
//! It knows no plan.

use std::ops::Range;

/// The extent of a part, as the chain over the stream's index has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartExtent {
    /// Its segments; the end is excluded, and there is one at least.
    pub segments: Range<u64>,
    /// The bytes of plaintext that they are.
    pub plaintext: Range<u64>,
    /// The chain value before the first of them.
    pub chain_before: [u8; 32],
    /// The chain value after the last of them.
    pub chain_after: [u8; 32],
}

impl PartExtent {
    /// Bytes of plaintext.
    pub fn len(&self) -> u64 {
        self.plaintext.end - self.plaintext.start
    }

    /// Whether it has no plaintext: the one segment of an empty stream.
    pub fn is_empty(&self) -> bool {
        self.plaintext.is_empty()
    }

    /// Whether `next` begins where this ends: in segments, in plaintext, and in the chain.
    pub(crate) fn meets(&self, next: &PartExtent) -> bool {
        (self.segments.end, self.plaintext.end, self.chain_after)
            == (next.segments.start, next.plaintext.start, next.chain_before)
    }

    /// Whether it is one: with a segment, and no end before its beginning.
    pub(crate) fn is_possible(&self) -> bool {
        self.segments.start < self.segments.end && self.plaintext.start <= self.plaintext.end
    }
}
