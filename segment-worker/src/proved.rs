//! Which segments of a stream were proved to lie in a sink already, one bit each.
//! It knows no byte of them. Only a comparison with what was sealed adds to it: [`prove`](crate::prove).

use std::collections::TryReserveError;

use contract::Checkpoint;
use frame_worker::{ChainValue, Closing, ClosingFields, FrameWorker, SegmentIndex};

use crate::feed::SegmentPlan;
use crate::proof::Verified;

/// The segments of one stream that have been proved, anywhere in it: empty at first, filled by [`prove`](crate::prove).
///
/// What has been proved lies at its place in the sink and is written no more: whoever uses the set sees to that.
#[derive(Debug)]
pub struct ProvedSegments {
    bits: Vec<u64>,
    segments: u64,
    count: u64,
    plaintext_len: u64,
}

impl ProvedSegments {
    /// None yet, of a stream of `segments`.
    ///
    /// # Errors
    /// There is no memory for a bit a segment.
    pub fn none_of(segments: u64) -> Result<ProvedSegments, TryReserveError> {
        let words = usize::try_from(segments.div_ceil(BITS)).unwrap_or(usize::MAX);
        let mut bits = Vec::new();
        bits.try_reserve_exact(words)?;
        bits.resize(words, 0);
        Ok(ProvedSegments { bits, segments, count: 0, plaintext_len: 0 })
    }

    /// None, of a stream that nothing is kept of.
    pub fn none() -> ProvedSegments {
        ProvedSegments { bits: Vec::new(), segments: 0, count: 0, plaintext_len: 0 }
    }

    /// The same set again: what was known before more is proved.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn try_clone(&self) -> Result<ProvedSegments, TryReserveError> {
        let mut clone = ProvedSegments { bits: Vec::new(), ..*self };
        clone.bits.try_reserve_exact(self.bits.len())?;
        clone.bits.extend_from_slice(&self.bits);
        Ok(clone)
    }

    /// Whether segment `index` has been proved. What is no segment of the stream has not.
    pub fn contains(&self, index: SegmentIndex) -> bool {
        let word = usize::try_from(index.0 / BITS).ok().and_then(|word| self.bits.get(word));
        word.is_some_and(|word| word >> (index.0 % BITS) & 1 == 1)
    }

    /// The proof of segment `index`, if there is one.
    pub fn proof(&self, index: SegmentIndex) -> Option<ProvedSegment> {
        self.contains(index).then_some(ProvedSegment { index })
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Plaintext bytes of all of them.
    pub fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// How many segments the stream has.
    pub fn segments(&self) -> u64 {
        self.segments
    }

    /// How many there are before the first segment that has not been proved.
    pub fn prefix(&self) -> u64 {
        (0..self.segments).find(|index| !self.contains(SegmentIndex(*index))).unwrap_or(self.segments)
    }

    /// Forgets all behind the first gap. `plaintext_len` is the length of the plaintext before it.
    pub fn keep_prefix(&mut self, plaintext_len: u64) {
        self.count = self.prefix();
        self.plaintext_len = plaintext_len;
        let (whole, rest) = ((self.count / BITS) as usize, self.count % BITS);
        self.bits.iter_mut().skip(whole).enumerate().for_each(|(at, word)| {
            *word &= if at == 0 { (1 << rest) - 1 } else { 0 };
        });
    }

    /// Segment `index` has been compared with what was sealed.
    pub(crate) fn insert(&mut self, index: SegmentIndex, plaintext_len: u64) {
        assert!(index.0 < self.segments && !self.contains(index), "each segment is proved once");
        self.bits[(index.0 / BITS) as usize] |= 1 << (index.0 % BITS);
        self.count += 1;
        self.plaintext_len += plaintext_len;
    }
}

/// One segment of a set: it lies in the sink, and need not be read.
#[derive(Debug)]
pub struct ProvedSegment {
    index: SegmentIndex,
}

impl ProvedSegment {
    /// Which segment.
    pub fn index(&self) -> SegmentIndex {
        self.index
    }

    /// Spends it for a commit.
    pub(crate) fn verified(self, checkpoint: Checkpoint) -> Verified {
        Verified { index: self.index.0, checkpoint }
    }
}

/// A segment that is not read, as a feed gives it: proved, and with what its closing frames say.
pub struct ProvedPlan {
    /// It, as one that is read; it has no run.
    pub segment: SegmentPlan,
    /// That it has been proved.
    pub proof: ProvedSegment,
    /// Its frames.
    pub frame_count: u32,
    /// Its plaintext bytes, which lie in the sink.
    pub plaintext_len: u64,
    /// The digest that it was sealed with.
    pub digest: [u8; 32],
    /// The digest of its plaintext, in compressed streams.
    pub plaintext_digest: Option<[u8; 32]>,
}

impl ProvedPlan {
    pub(crate) fn split(self) -> (SegmentPlan, PendingProof) {
        let ProvedPlan { segment, proof, frame_count, plaintext_len, digest, plaintext_digest } = self;
        assert_eq!(segment.index, proof.index, "a proof is of its own segment");
        let chain_before = ChainValue([0; 32]); // Not known before its turn.
        // A stream's last segment is always read: so the chain over those that are not meets a TERMINATOR.
        let fields =
            ClosingFields { frame_count, plaintext_len, digest, plaintext_digest, last: false, chain_before };
        (segment, PendingProof { proof, fields })
    }
}

/// What is left of a plan once its segment is in flight.
pub(crate) struct PendingProof {
    pub(crate) proof: ProvedSegment,
    fields: ClosingFields,
}

impl PendingProof {
    /// The closing frames of the segment behind the chain value `chain`, made again in memory (FORMAT F12.3).
    pub(crate) fn closing(&self, worker: &FrameWorker, chain: ChainValue) -> Closing {
        let fields = ClosingFields { chain_before: chain, ..self.fields };
        Closing { fields, chain_after: worker.chain_after(&fields), table: None }
    }
}

const BITS: u64 = u64::BITS as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_into_it_and_nothing_else() {
        for segments in [0, 1, 63, 64, 65, 200] {
            let mut proved = ProvedSegments::none_of(segments).unwrap();
            let odd = |index: &u64| index % 2 == 1;
            (0..segments).filter(odd).for_each(|index| proved.insert(SegmentIndex(index), 10));
            for index in 0..segments + 70 {
                assert_eq!(proved.contains(SegmentIndex(index)), index < segments && odd(&index), "{index}");
            }
            assert_eq!((proved.count(), proved.plaintext_len()), (segments / 2, segments / 2 * 10));
            assert!(!proved.contains(SegmentIndex(u64::MAX)) && proved.proof(SegmentIndex(0)).is_none());
        }
    }

    #[test]
    fn the_prefix_ends_at_the_first_gap() {
        let mut proved = ProvedSegments::none_of(130).unwrap();
        for (index, prefix) in [(1, 0), (0, 2), (129, 2), (2, 3)] {
            proved.insert(SegmentIndex(index), 1);
            assert_eq!(proved.prefix(), prefix);
        }
        (3..129).for_each(|index| proved.insert(SegmentIndex(index), 1));
        assert_eq!(proved.prefix(), 130);
    }

    #[test]
    fn no_memory_holds_a_bit_for_each_of_all_numbers() {
        assert!(ProvedSegments::none_of(u64::MAX).is_err());
    }
}
