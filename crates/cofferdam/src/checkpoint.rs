//! The checkpoint of a commit: how far a stream is, under a MAC, for sinks that keep it.
//! Sinks store it unread; nobody but the engine looks inside.

use framing::StreamId;
use keys::{JournalKey, KeySchedule};
use segment_worker::Committed;
use sinks::Checkpoint;

/// Makes the checkpoints of one restore.
pub(crate) struct CheckpointMaker {
    key: Option<JournalKey>,
    stream_id: StreamId,
}

impl CheckpointMaker {
    /// For the stream `stream_id`. Without a schedule there is no key, and checkpoints carry no MAC: for sinks that
    /// only verify.
    pub(crate) fn new(schedule: Option<&KeySchedule>, stream_id: StreamId) -> CheckpointMaker {
        // One restore, one journal: until sinks keep journals, the stream's own id names it.
        CheckpointMaker { key: schedule.map(|schedule| schedule.journal(&stream_id.0)), stream_id }
    }

    /// Layout, little-endian: version 0:4, stream id 8:16, segments 24:8, plaintext bytes 32:8, sink bytes 40:8, chain
    /// 48:32, zeros, MAC over all of that 160:32.
    pub(crate) fn make(&self, committed: &Committed) -> Checkpoint {
        let mut bytes = [0; Checkpoint::LEN];
        bytes[0..4].copy_from_slice(&VERSION.to_le_bytes());
        bytes[8..24].copy_from_slice(&self.stream_id.0);
        bytes[24..32].copy_from_slice(&committed.segments.to_le_bytes());
        bytes[32..40].copy_from_slice(&committed.plaintext_len.to_le_bytes());
        bytes[40..48].copy_from_slice(&committed.sink_len.to_le_bytes());
        bytes[48..80].copy_from_slice(&committed.chain.0);
        if let Some(key) = &self.key {
            let (clear, mac) = bytes.split_at_mut(Checkpoint::LEN - MAC_LEN);
            mac.copy_from_slice(&key.mac(clear));
        }
        Checkpoint::from_bytes(bytes)
    }
}

const VERSION: u32 = 1;
const MAC_LEN: usize = 32;
