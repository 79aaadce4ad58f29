//! The checkpoint of a commit: how far a stream is, under a MAC, for sinks that keep it.
//! Sinks store it unread; nobody but the engine looks inside.

use contract::Checkpoint;
use frame_worker::ChainValue;
use framing::StreamId;
use keys::{JournalKey, KeySchedule};
use segment_worker::Committed;

use crate::{Error, ErrorKind, Kept, Remedy};

/// Makes the checkpoints of one attempt, and reads those of an earlier one.
///
/// Layout, little-endian: version 0:4, zeros, stream id 8:16, segments 24:8, plaintext bytes 32:8, sink bytes 40:8,
/// chain 48:32, zeros, MAC over all of that behind its label 160:32 (FORMAT F10.5).
pub(crate) struct CheckpointMaker {
    key: Option<JournalKey>,
    stream_id: StreamId,
}

impl CheckpointMaker {
    /// For the stream `stream_id`, in the journal `journal_id`. Without a schedule there is no key, and checkpoints carry
    /// no MAC: for sinks that only verify.
    pub(crate) fn new(
        schedule: Option<&KeySchedule>,
        stream_id: StreamId,
        journal_id: &[u8; 16],
    ) -> CheckpointMaker {
        CheckpointMaker { key: schedule.map(|schedule| schedule.journal(journal_id)), stream_id }
    }

    /// For a stream whose progress is kept in no journal of ours: its own id stands for one.
    pub(crate) fn of_stream(schedule: Option<&KeySchedule>, stream_id: StreamId) -> CheckpointMaker {
        CheckpointMaker::new(schedule, stream_id, &stream_id.0)
    }

    /// The checkpoint of what has committed.
    pub(crate) fn make(&self, committed: &Committed) -> Checkpoint {
        let mut bytes = [0; Checkpoint::LEN];
        bytes[0..4].copy_from_slice(&VERSION.to_le_bytes());
        bytes[8..24].copy_from_slice(&self.stream_id.0);
        bytes[24..32].copy_from_slice(&committed.segments.to_le_bytes());
        bytes[32..40].copy_from_slice(&committed.plaintext_len.to_le_bytes());
        bytes[40..48].copy_from_slice(&committed.sink_len.to_le_bytes());
        bytes[48..80].copy_from_slice(&committed.chain.0);
        if let Some(key) = &self.key {
            let (clear, mac) = bytes.split_at_mut(MAC_OFFSET);
            mac.copy_from_slice(&key.mac(&[LABEL, clear].concat()));
        }
        Checkpoint::from_bytes(bytes)
    }

    /// What a checkpoint says, if it is one of this stream's and nobody has changed it.
    pub(crate) fn read(&self, checkpoint: &Checkpoint) -> Result<Committed, Error> {
        let bytes = checkpoint.to_bytes();
        if bytes[8..24] != self.stream_id.0 {
            return Err(Error::new(
                ErrorKind::JournalMismatch,
                "the target keeps the progress of another stream",
            )
            .remedied(Remedy::Restart(Kept::OtherStream)));
        }
        let (clear, mac) = bytes.split_last_chunk::<MAC_LEN>().expect("a checkpoint ends with its MAC");
        let authentic = self.key.as_ref().is_some_and(|key| key.verify(&[LABEL, clear].concat(), mac));
        if !authentic || clear[0..4] != VERSION.to_le_bytes() {
            let what = "the progress that the target keeps fails authentication";
            return Err(
                Error::new(ErrorKind::JournalMismatch, what).remedied(Remedy::Restart(Kept::OtherStream))
            );
        }
        let sink_len = number(clear, 40);
        Ok(Committed {
            segments: number(clear, 24),
            plaintext_len: number(clear, 32),
            sink_len,
            chain: ChainValue(std::array::from_fn(|i| clear[48 + i])),
            durable_len: sink_len,
        })
    }
}

/// Segments that a checkpoint of ours speaks of, unauthenticated: to tell which of two is further on.
pub(crate) fn segments_of(checkpoint: &Checkpoint) -> u64 {
    number(&checkpoint.to_bytes(), 24)
}

/// Bytes in the sink that a checkpoint of ours speaks of, unauthenticated: to be shown.
pub(crate) fn sink_len_of(checkpoint: &Checkpoint) -> u64 {
    number(&checkpoint.to_bytes(), 40)
}

/// Plaintext bytes and chain that a checkpoint of ours speaks of, unauthenticated: what its maker says.
#[cfg(feature = "peer")]
pub fn claim_of(checkpoint: &Checkpoint) -> (u64, ChainValue) {
    let bytes = checkpoint.to_bytes();
    (number(&bytes, 32), ChainValue(std::array::from_fn(|i| bytes[48 + i])))
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

const LABEL: &[u8] = b"cofferdam/v1/checkpoint\0";
const VERSION: u32 = 1;
const MAC_LEN: usize = 32;
const MAC_OFFSET: usize = Checkpoint::LEN - MAC_LEN;

#[cfg(test)]
mod tests {
    use super::*;

    fn committed() -> Committed {
        Committed {
            segments: 3,
            plaintext_len: 300,
            sink_len: 300,
            chain: ChainValue([7; 32]),
            durable_len: 300,
        }
    }

    fn maker(journal: u8) -> CheckpointMaker {
        let schedule = KeySchedule::new(&keys::StreamKey::from_bytes([1; 32]), &[2; 128]);
        CheckpointMaker::new(Some(&schedule), StreamId([9; 16]), &[journal; 16])
    }

    #[test]
    fn a_checkpoint_reads_back_as_what_was_committed() {
        let read = maker(0).read(&maker(0).make(&committed())).map_err(|error| error.kind());
        assert_eq!(read, Ok(committed()));
    }

    #[test]
    fn a_checkpoint_with_any_bit_changed_or_of_another_journal_is_refused() {
        let good = maker(0).make(&committed()).to_bytes();
        for bit in 0..8 * Checkpoint::LEN {
            let mut bytes = good;
            bytes[bit / 8] ^= 1 << (bit % 8);
            let refused = maker(0).read(&Checkpoint::from_bytes(bytes)).map_err(|error| error.kind());
            assert_eq!(refused, Err(ErrorKind::JournalMismatch), "bit {bit}");
        }
        assert!(maker(1).read(&Checkpoint::from_bytes(good)).is_err());
    }

    #[test]
    fn the_mac_is_that_of_label_and_bytes_and_no_mac_of_anything_else_serves() {
        let mut bytes = maker(0).make(&committed()).to_bytes();
        let schedule = KeySchedule::new(&keys::StreamKey::from_bytes([1; 32]), &[2; 128]);
        // HMAC under the journal's key is asked of the schedule; which bytes it is over is what is tested.
        let over =
            |attempt_id: &[u8]| schedule.journal(&[0; 16]).mac(&[attempt_id, &bytes[..MAC_OFFSET]].concat());
        assert_eq!(bytes[MAC_OFFSET..], over(b"cofferdam/v1/checkpoint\0"));
        let others = [over(b""), over(b"cofferdam/v1/restore-label\0"), over(b"cofferdam/v1/checkpoint")];
        for mac in others {
            bytes[MAC_OFFSET..].copy_from_slice(&mac);
            assert!(maker(0).read(&Checkpoint::from_bytes(bytes)).is_err());
        }
    }

    #[test]
    fn without_a_key_no_checkpoint_is_believed() {
        let keyless = CheckpointMaker::new(None, StreamId([9; 16]), &[0; 16]);
        assert!(keyless.read(&keyless.make(&committed())).is_err());
    }
}
