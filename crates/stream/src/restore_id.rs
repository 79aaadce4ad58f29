//! The attempt id in a restore's journal: which stream is restored, and to which name.
//! It knows no file: whoever keeps it takes it as bytes that say nothing.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use framing::Preamble;
use keys::KeySchedule;
use sha2::{Digest, Sha256};

use crate::checkpoint::CheckpointMaker;
use crate::{Error, ErrorKind, Kept, Remedy};

/// Names a restore. Nothing in it is secret.
///
/// As 136 bytes, little-endian: magic 0:8, journal id 8:16, stream id 24:16, commitment 40:32, SHA-256 of the target's name
/// 72:32, MAC over all of that behind a label 104:32, under the stream's key for that journal (FORMAT F10.5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RestoreId {
    journal_id: [u8; 16],
    stream_id: [u8; 16],
    commitment: [u8; 32],
    target: [u8; 32],
}

impl RestoreId {
    /// Bytes of a label.
    pub(crate) const LEN: usize = CLEAR_LEN + MAC_LEN;

    /// For a restore that begins: of the stream that begins with `preamble`, to a file named `target`.
    pub(crate) fn new(preamble: &Preamble, target: &OsStr) -> Result<RestoreId, Error> {
        Ok(RestoreId {
            journal_id: keys::random().map_err(Error::key)?,
            stream_id: preamble.stream_id.0,
            commitment: preamble.commitment,
            target: Sha256::digest(target.as_bytes()).into(),
        })
    }

    /// The bytes to keep.
    pub(crate) fn to_bytes(&self, schedule: &KeySchedule) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let (clear, mac) = bytes.split_at_mut(CLEAR_LEN);
        clear[0..8].copy_from_slice(MAGIC);
        clear[8..24].copy_from_slice(&self.journal_id);
        clear[24..40].copy_from_slice(&self.stream_id);
        clear[40..72].copy_from_slice(&self.commitment);
        clear[72..104].copy_from_slice(&self.target);
        mac.copy_from_slice(&schedule.journal(&self.journal_id).mac(&[MAC_LABEL, clear].concat()));
        bytes
    }

    /// Whether a label begins as one of these: all that can be said of it without a key.
    pub(crate) fn is_one(found: &[u8]) -> bool {
        found.starts_with(MAGIC)
    }

    /// The label of the journal that was found, if it is of the restore that `self` begins: the same stream, the same
    /// target, and nobody has changed it. Only the journal's id differs.
    pub(crate) fn accept(&self, found: &[u8], schedule: &KeySchedule) -> Result<RestoreId, Mismatch> {
        let Some(bytes) = <&[u8; Self::LEN]>::try_from(found).ok().filter(|bytes| bytes[0..8] == *MAGIC)
        else {
            return Err(if found.starts_with(PARTS_ID) { Mismatch::OfPlan } else { Mismatch::Strange });
        };
        let attempt_id = RestoreId {
            journal_id: array(bytes, 8),
            stream_id: array(bytes, 24),
            commitment: array(bytes, 40),
            target: array(bytes, 72),
        };
        if (attempt_id.stream_id, attempt_id.commitment) != (self.stream_id, self.commitment) {
            return Err(Mismatch::Stream);
        }
        if attempt_id.target != self.target {
            return Err(Mismatch::Target);
        }
        let (clear, mac) = bytes.split_at(CLEAR_LEN);
        if !schedule.journal(&attempt_id.journal_id).verify(&[MAC_LABEL, clear].concat(), &array(mac, 0)) {
            return Err(Mismatch::Forged);
        }
        Ok(attempt_id)
    }

    /// Makes and reads the checkpoints of this journal.
    pub(crate) fn marks(&self, schedule: &KeySchedule) -> CheckpointMaker {
        CheckpointMaker::new(Some(schedule), framing::StreamId(self.stream_id), &self.journal_id)
    }
}

/// Why an id that was found is not of the restore that asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mismatch {
    /// It is none of these ids.
    Strange,
    /// It is of a plan's commit.
    OfPlan,
    Stream,
    Target,
    /// Its MAC is wrong.
    Forged,
}

impl Mismatch {
    /// Of what is kept beside a target.
    pub(crate) fn beside_target(self) -> Error {
        let what = match self {
            Mismatch::OfPlan => {
                let what = "the commit of a plan has left what is kept beside the target";
                return Error::new(ErrorKind::JournalMismatch, what)
                    .remedied(Remedy::Restart(Kept::PlanCommit));
            }
            Mismatch::Strange => {
                "what is kept beside the target is not of a restore that this release can go on with"
            }
            Mismatch::Stream => "an interrupted restore of another stream is kept beside the target",
            Mismatch::Target => "what is kept beside the target is of a restore to another name",
            Mismatch::Forged => "the journal of the interrupted restore fails authentication",
        };
        Error::new(ErrorKind::JournalMismatch, what).remedied(Remedy::Restart(Kept::OtherRestore))
    }

    /// Of a log.
    pub(crate) fn in_log(self) -> Error {
        let what = match self {
            Mismatch::Strange | Mismatch::OfPlan => {
                "the log is not of a restore that this release can go on with"
            }
            Mismatch::Stream => "the log is of a restore of another stream",
            Mismatch::Target => {
                "the log is of a restore to another device, or the device has another length now"
            }
            Mismatch::Forged => {
                "the log says for which stream and device it is, and that fails authentication"
            }
        };
        Error::new(ErrorKind::JournalMismatch, what).remedied(Remedy::Restart(Kept::OtherLog))
    }
}

fn array<const LEN: usize>(bytes: &[u8], at: usize) -> [u8; LEN] {
    std::array::from_fn(|i| bytes[at + i])
}

const MAGIC: &[u8; 8] = b"CFDREST\x01";
/// What a receiver calls its journal: it knows nothing of the stream by which to call it.
pub const RECEIVER_ID: &[u8] = b"cofferdam/v1/receive";
/// How the name begins that a plan's commit gives its journal; a MAC follows.
pub const PARTS_ID: &[u8] = b"cofferdam/v1/parts\0";
const MAC_LABEL: &[u8] = b"cofferdam/v1/restore-label\0";
const CLEAR_LEN: usize = 104;
const MAC_LEN: usize = 32;

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use frame_worker::{DigestKind, Suite};
    use framing::{Shape, StreamId};
    use keys::StreamKey;

    use super::*;

    fn preamble(stream: u8, commitment: u8) -> Preamble {
        Preamble {
            suite: Suite::Aes256Gcm,
            digest: DigestKind::Blake3,
            shape: Shape::new(4096, 4).unwrap(),
            stream_id: StreamId([stream; 16]),
            salt: [2; 32],
            commitment: [commitment; 32],
            key_copy_len: 4096,
        }
    }

    fn schedule(seed: u8) -> KeySchedule {
        KeySchedule::new(&StreamKey::from_bytes([seed; 32]), &preamble(1, 1).to_bytes())
    }

    fn attempt_id(stream: u8, commitment: u8, target: &str) -> RestoreId {
        RestoreId::new(&preamble(stream, commitment), OsStr::new(target)).unwrap()
    }

    #[test]
    fn a_restore_run_again_accepts_the_label_of_the_first_run() {
        let (first, again) = (attempt_id(1, 1, "db"), attempt_id(1, 1, "db"));
        assert_ne!(first, again, "journals have ids of their own");
        assert_eq!(again.accept(&first.to_bytes(&schedule(0)), &schedule(0)).unwrap(), first);
    }

    #[test]
    fn a_label_of_another_stream_key_or_target_is_refused() {
        let kept = attempt_id(1, 1, "db").to_bytes(&schedule(0));
        for other in [attempt_id(2, 1, "db"), attempt_id(1, 2, "db"), attempt_id(1, 1, "db2")] {
            let refused = other.accept(&kept, &schedule(0)).unwrap_err();
            assert_eq!(refused.beside_target().kind(), ErrorKind::JournalMismatch);
            assert_eq!(refused.in_log().kind(), ErrorKind::JournalMismatch);
        }
        assert!(attempt_id(1, 1, "db").accept(&kept, &schedule(1)).is_err());
    }

    #[test]
    fn the_mac_begins_with_its_label_and_a_mac_over_the_bytes_alone_is_refused() {
        let key = schedule(0);
        let mut kept = attempt_id(1, 1, "db").to_bytes(&key);
        let over = |attempt_id: &[u8]| {
            let journal = key.journal(&array(&kept, 8));
            journal.mac(&[attempt_id, &kept[..CLEAR_LEN]].concat())
        };
        assert_eq!(kept[CLEAR_LEN..], over(b"cofferdam/v1/restore-label\0"));
        for mac in [over(b""), over(b"cofferdam/v1/checkpoint\0")] {
            kept[CLEAR_LEN..].copy_from_slice(&mac);
            assert!(attempt_id(1, 1, "db").accept(&kept, &key).is_err());
        }
    }

    #[test]
    fn a_label_with_any_bit_changed_or_cut_is_refused() {
        let kept = attempt_id(1, 1, "db").to_bytes(&schedule(0));
        for bit in 0..8 * kept.len() {
            let mut changed = kept;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(attempt_id(1, 1, "db").accept(&changed, &schedule(0)).is_err(), "bit {bit}");
        }
        for len in 0..kept.len() {
            assert!(attempt_id(1, 1, "db").accept(&kept[..len], &schedule(0)).is_err(), "{len} bytes");
        }
    }
}
