//! The state of a sealing that can be resumed: which stream it is, and which input it is made from.
//! It knows no file: whoever keeps it takes it as a label that says nothing.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use framing::{Preamble, StreamId};
use keys::KeySchedule;

use crate::{Error, ErrorKind};

/// What is kept beside an unfinished sealed stream. Nothing in it is secret.
///
/// As a label of 120 bytes, little-endian: magic 0:8, version 8:4, nanoseconds of the input's modification 12:4, stream id
/// 16:16, commitment 32:32, length of the input 64:8, seconds of its modification 72:8, its inode number 80:8, MAC
/// over all of that 88:32, under the stream's journal key with the stream id for the journal's (FORMAT F10.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SealingState {
    stream_id: StreamId,
    commitment: [u8; 32],
    input: InputMark,
}

/// What an input shows of itself without being read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct InputMark {
    len: u64,
    /// Seconds and nanoseconds.
    modified: (i64, u32),
    /// A name for the file, not part of what must stay: a copy with the same times serves as well, and device numbers
    /// are not kept over a reboot.
    inode: u64,
}

/// A state as it was found: not authenticated yet, because the key comes out of the stream that it names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundState {
    claimed: SealingState,
    label: [u8; SealingState::LABEL_LEN],
}

impl SealingState {
    /// Bytes of a label.
    pub(crate) const LABEL_LEN: usize = CLEAR_LEN + MAC_LEN;

    /// Of the stream that begins with `preamble` and is made from `input`.
    pub(crate) fn new(preamble: &Preamble, input: InputMark) -> SealingState {
        SealingState { stream_id: preamble.stream_id, commitment: preamble.commitment, input }
    }

    /// The label, under a key of the stream's.
    pub(crate) fn to_label(self, schedule: &KeySchedule) -> [u8; Self::LABEL_LEN] {
        let mut label = [0; Self::LABEL_LEN];
        let (clear, mac) = label.split_at_mut(CLEAR_LEN);
        clear.copy_from_slice(&self.to_bytes());
        mac.copy_from_slice(&schedule.journal(&self.stream_id.0).mac(clear));
        label
    }

    fn to_bytes(self) -> [u8; CLEAR_LEN] {
        let mut bytes = [0; CLEAR_LEN];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.input.modified.1.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.stream_id.0);
        bytes[32..64].copy_from_slice(&self.commitment);
        bytes[64..72].copy_from_slice(&self.input.len.to_le_bytes());
        bytes[72..80].copy_from_slice(&self.input.modified.0.to_le_bytes());
        bytes[80..88].copy_from_slice(&self.input.inode.to_le_bytes());
        bytes
    }
}

impl FoundState {
    /// Reads a label. One that is none of ours belongs to something else than a sealing.
    pub(crate) fn parse(label: &[u8]) -> Result<FoundState, Error> {
        let label: [u8; SealingState::LABEL_LEN] = label.try_into().map_err(|_| not_a_sealing())?;
        if label[0..8] != *MAGIC || label[8..12] != VERSION.to_le_bytes() {
            return Err(not_a_sealing());
        }
        let seconds = i64::from_le_bytes(array(&label, 72));
        let nanoseconds = u32::from_le_bytes(array(&label, 12));
        let input = InputMark {
            len: u64::from_le_bytes(array(&label, 64)),
            modified: (seconds, nanoseconds),
            inode: u64::from_le_bytes(array(&label, 80)),
        };
        let claimed =
            SealingState { stream_id: StreamId(array(&label, 16)), commitment: array(&label, 32), input };
        Ok(FoundState { claimed, label })
    }

    /// Refuses another input, and one that has changed, as far as that shows without reading it.
    pub(crate) fn check_input(&self, found: &InputMark) -> Result<(), Error> {
        let due = &self.claimed.input;
        if (due.len, due.modified) == (found.len, found.modified) {
            return Ok(());
        }
        if due.inode != found.inode {
            let what = "the interrupted sealing of this output was of another input";
            return Err(Error::new(ErrorKind::OtherJournal, what).advise(OTHER_INPUT));
        }
        let what = if due.len == found.len {
            "the input was modified after its sealing was interrupted".to_owned()
        } else {
            format!("the input has {} bytes, and had {} when its sealing began", found.len, due.len)
        };
        Err(Error::new(ErrorKind::Io, what).advise(CHANGED))
    }

    /// Refuses a state that is not of the stream that begins with `preamble`, and one that anybody has changed.
    pub(crate) fn authenticate(&self, preamble: &Preamble, schedule: &KeySchedule) -> Result<(), Error> {
        let SealingState { stream_id, commitment, .. } = &self.claimed;
        let (clear, mac) = self.label.split_at(CLEAR_LEN);
        let authentic = schedule.journal(&stream_id.0).verify(clear, &array(mac, 0));
        if (stream_id, commitment) == (&preamble.stream_id, &preamble.commitment) && authentic {
            return Ok(());
        }
        Err(Error::new(ErrorKind::OtherJournal, "the state of the interrupted sealing fails authentication")
            .advise("It is damaged, of another stream, or forged. `--restart` gives it up and starts anew."))
    }
}

impl InputMark {
    /// Of a regular file.
    pub(crate) fn of(metadata: &Metadata) -> InputMark {
        // The system counts them from 0 to 999,999,999.
        let nanoseconds = metadata.mtime_nsec() as u32;
        InputMark { len: metadata.size(), modified: (metadata.mtime(), nanoseconds), inode: metadata.ino() }
    }

    /// Bytes of the input.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

/// The digest of the last sealed segment is not that of the input's bytes.
pub(crate) fn other_bytes(segment: u64) -> Error {
    Error::new(ErrorKind::Io, "the input has other bytes than those that were sealed before the interruption")
        .in_segment(segment)
        .advise(CHANGED)
}

fn not_a_sealing() -> Error {
    let what = "what is kept beside the output is not of a sealing that this release can go on with";
    Error::new(ErrorKind::OtherJournal, what)
        .advise("Finish what was interrupted there, or give it up with `--restart`.")
}

fn array<const LEN: usize>(bytes: &[u8], at: usize) -> [u8; LEN] {
    std::array::from_fn(|i| bytes[at + i])
}

const MAGIC: &[u8; 8] = b"CFDSEAL\0";
const VERSION: u32 = 1;
const CLEAR_LEN: usize = 88;
const MAC_LEN: usize = 32;
const CHANGED: &str =
    "What is sealed of it no longer fits. `--restart` gives that up and seals the input as it is now.";
const OTHER_INPUT: &str = "Give that input, or another output; `--restart` gives up what is sealed of it.";

#[cfg(test)]
mod tests {
    use frame_worker::{DigestKind, Suite};
    use framing::Shape;
    use keys::StreamKey;

    use super::*;

    fn preamble(seed: u8) -> Preamble {
        Preamble {
            suite: Suite::Aes256Gcm,
            digest: DigestKind::Blake3,
            shape: Shape::new(4096, 4).unwrap(),
            stream_id: StreamId([seed; 16]),
            salt: [2; 32],
            commitment: [3; 32],
            key_copy_len: 4096,
        }
    }

    fn schedule() -> KeySchedule {
        KeySchedule::new(&StreamKey::generate().unwrap(), &preamble(1).to_bytes())
    }

    const INPUT: InputMark = InputMark { len: 5, modified: (-6, 7), inode: 8 };

    #[test]
    fn a_state_is_read_back_and_is_authentic() {
        let (schedule, state) = (schedule(), SealingState::new(&preamble(1), INPUT));
        let found = FoundState::parse(&state.to_label(&schedule)).unwrap();
        assert_eq!(found.claimed, state);
        assert!(found.authenticate(&preamble(1), &schedule).is_ok());
        assert!(found.check_input(&INPUT).is_ok());
    }

    #[test]
    fn a_state_with_any_bit_changed_is_refused_and_so_is_one_of_another_stream_or_key() {
        let key = schedule();
        let good = SealingState::new(&preamble(1), INPUT).to_label(&key);
        for bit in 0..8 * good.len() {
            let mut label = good;
            label[bit / 8] ^= 1 << (bit % 8);
            let refused =
                FoundState::parse(&label).and_then(|found| found.authenticate(&preamble(1), &key)).err();
            assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::OtherJournal), "bit {bit}");
        }
        let found = FoundState::parse(&good).unwrap();
        assert!(found.authenticate(&preamble(2), &key).is_err());
        assert!(found.authenticate(&preamble(1), &schedule()).is_err());
    }

    #[test]
    fn a_changed_input_and_another_one_are_told_apart() {
        let found = FoundState::parse(&SealingState::new(&preamble(1), INPUT).to_label(&schedule())).unwrap();
        let kind = |mark| found.check_input(&mark).err().map(|error| error.kind());
        assert_eq!(kind(InputMark { len: 6, ..INPUT }), Some(ErrorKind::Io));
        assert_eq!(kind(InputMark { modified: (-6, 8), ..INPUT }), Some(ErrorKind::Io));
        assert_eq!(kind(InputMark { len: 6, inode: 9, ..INPUT }), Some(ErrorKind::OtherJournal));
        assert_eq!(kind(InputMark { inode: 9, ..INPUT }), None);
    }
}
