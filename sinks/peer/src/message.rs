//! The messages between sender and receiver, and their bytes.
//! Knows no socket and no cipher: a message is what one record carries.
//!
//! Every message is one record, so its length is known and limited before it is read. Little-endian; a checkpoint
//! is 192 bytes, stored unread. Bytes behind a message, and a message that is cut, are errors.
//!
//! | kind | from | message | fields: offset in the message and length |
//! |---|---|---|---|
//! | 1 | sender | HELLO | 1:16 restore id, 17:8 epoch held before, or 0 |
//! | 2 | receiver | WELCOME | 1:8 epoch, 9:1 durability is a step of its own (0, 1), 10:1 state, 11:8 segments, 19:8 length, 27:192 checkpoint |
//! | 3 | sender | RESUME | 1:8 segment that comes next, 9:8 at |
//! | 4 | receiver | RESUMED | |
//! | 5 | sender | BEGIN | 1:8 segment, 9:8 at |
//! | 6 | sender | DATA | 1:8 at, 9: the bytes |
//! | 7 | sender | COMMIT | 1:8 epoch, 9:8 segment, 17:32 BLAKE3 of the segment's plaintext, 49:192 checkpoint |
//! | 8 | receiver | COMMITTED | 1:8 epoch, 9:8 segment |
//! | 9 | sender | ROLLBACK | |
//! | 10 | receiver | ROLLED BACK | |
//! | 11 | sender | DURABLE | 1:192 checkpoint |
//! | 12 | receiver | DURABLE ACK | 1:192 checkpoint |
//! | 13 | sender | FINISH | 1:8 epoch, 9:8 length |
//! | 14 | receiver | FINISHED | 1:8 epoch, 9:8 length |
//! | 15 | sender | DISCARD | |
//! | 16 | receiver | DISCARDED | |
//! | 17 | sender | BYE | |
//! | 18 | receiver | REFUSED | 1:1 why, 2:8 epoch, 10: at most 512 bytes of UTF-8 |
//!
//! State: 0 nothing there; 1 the *checkpoint* of an earlier receiver, to be resumed at; 2 as this sender left it, after that
//! many *segments*; 3 published with that *length*. Why: 1 fenced, by *epoch*; 2 published already; 3 not done; 4 outcome unknown.

use contract::Checkpoint;

use super::PeerError;

/// Names one sender from its greeting to its end, reconnections included. Drawn at random.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RestoreId(pub(super) [u8; 16]);

/// Counts the greetings that a receiver has accepted. 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Epoch(pub(super) u64);

/// What a sender says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Request<'a> {
    Hello { restore: RestoreId, held: Option<Epoch> },
    Resume { segment: u64, at: u64 },
    Begin { segment: u64, at: u64 },
    Data { at: u64, bytes: &'a [u8] },
    Commit { epoch: Epoch, segment: u64, hash: [u8; HASH_LEN], checkpoint: Checkpoint },
    RollBack,
    SyncTo { checkpoint: Checkpoint },
    Finish { epoch: Epoch, len: u64 },
    Discard,
    Bye,
}

/// What a receiver says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Reply {
    Welcome { epoch: Epoch, durability: DurabilityStep, state: ReceiverState },
    Resumed,
    Committed { epoch: Epoch, segment: u64 },
    RolledBack,
    Durable { checkpoint: Checkpoint },
    Finished { epoch: Epoch, len: u64 },
    Discarded,
    Refused(PeerError),
}

/// Whether the receiver's sink makes commits durable in a step of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DurabilityStep {
    WithCommit,
    Own,
}

/// What a sender finds at the greeting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ReceiverState {
    Nothing,
    ToResume(Checkpoint),
    AsLeft { segments: u64 },
    Published { len: u64 },
}

impl Request<'_> {
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        out.clear();
        match self {
            Request::Hello { restore, held } => {
                out.push(1);
                out.extend(restore.0);
                out.extend(held.map_or(0, |epoch| epoch.0).to_le_bytes());
            }
            Request::Resume { segment, at } => two_numbers(out, 3, *segment, *at),
            Request::Begin { segment, at } => two_numbers(out, 5, *segment, *at),
            Request::Data { at, bytes } => {
                out.push(6);
                out.extend(at.to_le_bytes());
                out.extend_from_slice(bytes);
            }
            Request::Commit { epoch, segment, hash, checkpoint } => {
                two_numbers(out, 7, epoch.0, *segment);
                out.extend(hash);
                out.extend(checkpoint.to_bytes());
            }
            Request::RollBack => out.push(9),
            Request::SyncTo { checkpoint } => {
                out.push(11);
                out.extend(checkpoint.to_bytes());
            }
            Request::Finish { epoch, len } => two_numbers(out, 13, epoch.0, *len),
            Request::Discard => out.push(15),
            Request::Bye => out.push(17),
        }
    }

    pub(super) fn parse(record: &[u8]) -> Result<Request<'_>, PeerError> {
        let mut fields = Fields(record);
        let request = match fields.byte()? {
            1 => Request::Hello {
                restore: RestoreId(fields.array()?),
                held: Some(Epoch(fields.number()?)).filter(|epoch| epoch.0 != 0),
            },
            3 => Request::Resume { segment: fields.number()?, at: fields.number()? },
            5 => Request::Begin { segment: fields.number()?, at: fields.number()? },
            6 => Request::Data { at: fields.number()?, bytes: fields.rest() },
            7 => Request::Commit {
                epoch: Epoch(fields.number()?),
                segment: fields.number()?,
                hash: fields.array()?,
                checkpoint: fields.checkpoint()?,
            },
            9 => Request::RollBack,
            11 => Request::SyncTo { checkpoint: fields.checkpoint()? },
            13 => Request::Finish { epoch: Epoch(fields.number()?), len: fields.number()? },
            15 => Request::Discard,
            17 => Request::Bye,
            _ => return Err(PeerError::Protocol("a message of a kind that no sender sends")),
        };
        fields.end()?;
        Ok(request)
    }
}

impl Reply {
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        out.clear();
        match self {
            Reply::Welcome { epoch, durability, state } => {
                out.push(2);
                out.extend(epoch.0.to_le_bytes());
                out.push(u8::from(*durability == DurabilityStep::Own));
                state.write_to(out);
            }
            Reply::Resumed => out.push(4),
            Reply::Committed { epoch, segment } => two_numbers(out, 8, epoch.0, *segment),
            Reply::RolledBack => out.push(10),
            Reply::Durable { checkpoint } => {
                out.push(12);
                out.extend(checkpoint.to_bytes());
            }
            Reply::Finished { epoch, len } => two_numbers(out, 14, epoch.0, *len),
            Reply::Discarded => out.push(16),
            Reply::Refused(why) => {
                let (code, epoch, said) = refusal_fields(why);
                out.extend([18, code]);
                out.extend(epoch.to_le_bytes());
                let len = (0..=said.len().min(SAID_LEN_MAX)).rev().find(|&at| said.is_char_boundary(at));
                out.extend(&said.as_bytes()[..len.unwrap_or_default()]);
            }
        }
    }

    pub(super) fn parse(record: &[u8]) -> Result<Reply, PeerError> {
        let mut fields = Fields(record);
        let reply = match fields.byte()? {
            2 => Reply::Welcome {
                epoch: Epoch(fields.number()?),
                durability: match fields.byte()? {
                    0 => DurabilityStep::WithCommit,
                    1 => DurabilityStep::Own,
                    _ => return Err(PeerError::Protocol("a welcome of no known kind")),
                },
                state: fields.state()?,
            },
            4 => Reply::Resumed,
            8 => Reply::Committed { epoch: Epoch(fields.number()?), segment: fields.number()? },
            10 => Reply::RolledBack,
            12 => Reply::Durable { checkpoint: fields.checkpoint()? },
            14 => Reply::Finished { epoch: Epoch(fields.number()?), len: fields.number()? },
            16 => Reply::Discarded,
            18 => Reply::Refused(fields.refusal()?),
            _ => return Err(PeerError::Protocol("a message of a kind that no receiver sends")),
        };
        fields.end()?;
        Ok(reply)
    }
}

impl ReceiverState {
    fn write_to(&self, out: &mut Vec<u8>) {
        let none = Checkpoint::from_bytes([0; Checkpoint::LEN]);
        let (code, segments, len, checkpoint) = match self {
            ReceiverState::Nothing => (0, 0, 0, &none),
            ReceiverState::ToResume(checkpoint) => (1, 0, 0, checkpoint),
            ReceiverState::AsLeft { segments } => (2, *segments, 0, &none),
            ReceiverState::Published { len } => (3, 0, *len, &none),
        };
        two_numbers(out, code, segments, len);
        out.extend(checkpoint.to_bytes());
    }
}

fn two_numbers(out: &mut Vec<u8>, kind: u8, first: u64, second: u64) {
    out.push(kind);
    out.extend(first.to_le_bytes());
    out.extend(second.to_le_bytes());
}

/// Code, epoch and sentence of a refusal. What has no code of its own is something not done.
fn refusal_fields(why: &PeerError) -> (u8, u64, String) {
    match why {
        PeerError::Fenced { epoch } => (1, *epoch, String::new()),
        PeerError::AlreadyPublished => (2, 0, String::new()),
        PeerError::NotDone(said) => (3, 0, said.clone()),
        PeerError::OutcomeUnknown(said) => (4, 0, said.clone()),
        other => (3, 0, other.to_string()),
    }
}

/// What is left of a record.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], PeerError> {
        let (field, rest) = self.0.split_first_chunk().ok_or(PeerError::Protocol("a message is cut"))?;
        self.0 = rest;
        Ok(*field)
    }

    fn byte(&mut self) -> Result<u8, PeerError> {
        self.array().map(|[byte]| byte)
    }

    fn number(&mut self) -> Result<u64, PeerError> {
        self.array().map(u64::from_le_bytes)
    }

    fn checkpoint(&mut self) -> Result<Checkpoint, PeerError> {
        self.array().map(Checkpoint::from_bytes)
    }

    fn state(&mut self) -> Result<ReceiverState, PeerError> {
        let code = self.byte()?;
        let (segments, len, checkpoint) = (self.number()?, self.number()?, self.checkpoint()?);
        match code {
            0 => Ok(ReceiverState::Nothing),
            1 => Ok(ReceiverState::ToResume(checkpoint)),
            2 => Ok(ReceiverState::AsLeft { segments }),
            3 => Ok(ReceiverState::Published { len }),
            _ => Err(PeerError::Protocol("a state of no known kind")),
        }
    }

    fn refusal(&mut self) -> Result<PeerError, PeerError> {
        let (code, epoch, said) = (self.byte()?, self.number()?, self.rest());
        let text = std::str::from_utf8(said).ok().filter(|text| text.len() <= SAID_LEN_MAX);
        let text = text.ok_or(PeerError::Protocol("a refusal too long, or not in UTF-8"))?;
        // It goes to a terminal in the end.
        let said = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match code {
            1 => Ok(PeerError::Fenced { epoch }),
            2 => Ok(PeerError::AlreadyPublished),
            3 => Ok(PeerError::NotDone(said)),
            4 => Ok(PeerError::OutcomeUnknown(said)),
            _ => Err(PeerError::Protocol("a refusal of no known kind")),
        }
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn end(self) -> Result<(), PeerError> {
        match self.0 {
            [] => Ok(()),
            _ => Err(PeerError::Protocol("bytes behind a message")),
        }
    }
}

/// Bytes of data in one message.
pub(super) const DATA_LEN_MAX: usize = 63 * 1024;
/// Bytes of a message.
pub(super) const MESSAGE_LEN_MAX: usize = 1 + 8 + DATA_LEN_MAX;
/// Length of a BLAKE3 hash in bytes.
pub(super) const HASH_LEN: usize = 32;
/// Bytes of the sentence in a refusal.
const SAID_LEN_MAX: usize = 512;
const _: () = assert!(MESSAGE_LEN_MAX > 49 + Checkpoint::LEN && MESSAGE_LEN_MAX > 10 + SAID_LEN_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint::from_bytes(std::array::from_fn(|at| at as u8))
    }

    fn requests() -> Vec<Request<'static>> {
        vec![
            Request::Hello { restore: RestoreId([9; 16]), held: None },
            Request::Hello { restore: RestoreId([9; 16]), held: Some(Epoch(3)) },
            Request::Resume { segment: 1, at: u64::MAX },
            Request::Begin { segment: 2, at: 3 },
            Request::Data { at: 4, bytes: b"" },
            Request::Data { at: 4, bytes: &[5; DATA_LEN_MAX] },
            Request::Commit { epoch: Epoch(6), segment: 7, hash: [8; 32], checkpoint: checkpoint() },
            Request::RollBack,
            Request::SyncTo { checkpoint: checkpoint() },
            Request::Finish { epoch: Epoch(9), len: 10 },
            Request::Discard,
            Request::Bye,
        ]
    }

    fn replies() -> Vec<Reply> {
        let welcome = |durability, state| Reply::Welcome { epoch: Epoch(1), durability, state };
        vec![
            welcome(DurabilityStep::Own, ReceiverState::Nothing),
            welcome(DurabilityStep::WithCommit, ReceiverState::ToResume(checkpoint())),
            welcome(DurabilityStep::Own, ReceiverState::AsLeft { segments: 4 }),
            welcome(DurabilityStep::Own, ReceiverState::Published { len: 5 }),
            Reply::Resumed,
            Reply::Committed { epoch: Epoch(2), segment: 3 },
            Reply::RolledBack,
            Reply::Durable { checkpoint: checkpoint() },
            Reply::Finished { epoch: Epoch(4), len: 5 },
            Reply::Discarded,
            Reply::Refused(PeerError::Fenced { epoch: 6 }),
            Reply::Refused(PeerError::AlreadyPublished),
            Reply::Refused(PeerError::NotDone("full".into())),
            Reply::Refused(PeerError::OutcomeUnknown("lost".into())),
        ]
    }

    #[test]
    fn every_message_is_read_as_it_is_written_and_fits_a_record() {
        let mut bytes = Vec::new();
        for request in requests() {
            request.write_to(&mut bytes);
            assert!(bytes.len() <= MESSAGE_LEN_MAX);
            assert_eq!(Request::parse(&bytes), Ok(request));
        }
        for reply in replies() {
            reply.write_to(&mut bytes);
            assert_eq!(Reply::parse(&bytes), Ok(reply));
        }
    }

    #[test]
    fn a_message_that_is_cut_or_has_bytes_behind_it_is_refused() {
        let mut bytes = Vec::new();
        for request in requests().iter().filter(|request| !matches!(request, Request::Data { .. })) {
            request.write_to(&mut bytes);
            assert!((0..bytes.len()).all(|len| Request::parse(&bytes[..len]).is_err()), "{request:?}");
            bytes.push(0);
            assert!(Request::parse(&bytes).is_err(), "{request:?}");
        }
        for reply in replies().iter().filter(|reply| !matches!(reply, Reply::Refused(_))) {
            reply.write_to(&mut bytes);
            assert!((0..bytes.len()).all(|len| Reply::parse(&bytes[..len]).is_err()), "{reply:?}");
            bytes.push(0);
            assert!(Reply::parse(&bytes).is_err(), "{reply:?}");
        }
    }

    #[test]
    fn a_commit_lies_as_the_table_says() {
        let mut bytes = Vec::new();
        let commit = Request::Commit {
            epoch: Epoch(0x0102),
            segment: 0x0304,
            hash: [5; 32],
            checkpoint: checkpoint(),
        };
        commit.write_to(&mut bytes);
        assert_eq!(bytes[..17], [7, 2, 1, 0, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0]);
        assert_eq!((&bytes[17..49], bytes[49], bytes.len()), (&[5; 32][..], 0, 241));
    }

    #[test]
    fn a_sentence_is_cut_to_its_limit_and_its_control_characters_are_blanks() {
        let mut bytes = Vec::new();
        Reply::Refused(PeerError::NotDone("ä".repeat(1000))).write_to(&mut bytes);
        assert_eq!(bytes.len(), 10 + SAID_LEN_MAX);
        assert_eq!(Reply::parse(&bytes), Ok(Reply::Refused(PeerError::NotDone("ä".repeat(256)))));
        Reply::Refused(PeerError::NotDone("a\x1b[2Jb".into())).write_to(&mut bytes);
        assert_eq!(Reply::parse(&bytes), Ok(Reply::Refused(PeerError::NotDone("a [2Jb".into()))));
        bytes.resize(10 + SAID_LEN_MAX + 1, b'x');
        assert!(Reply::parse(&bytes).is_err());
    }

    #[test]
    fn no_bytes_make_the_parsers_panic() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut understood = 0;
        for _ in 0..200_000 {
            let mut record = vec![0; usize::from(rng.u8(..))];
            rng.fill(&mut record);
            if let Some(kind) = record.first_mut() {
                *kind %= 20;
            }
            understood +=
                u32::from(Request::parse(&record).is_ok()) + u32::from(Reply::parse(&record).is_ok());
        }
        assert!(understood > 1_000, "the bytes reach into the messages: {understood}");
    }
}
