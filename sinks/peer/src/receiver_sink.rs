//! The receiver's own sink, and how far the stream in it is.
//! Knows no connection: what it is told comes from a session, and everything is checked here before the sink is.

use std::io;

use contract::{Checkpoint, CommitError, StreamingSink};

use super::{
    PeerError,
    message::{DurabilityStep, HASH_LEN, ReceiverState, RestoreId},
};

/// A sink with the stream of one sender in it.
pub(super) struct ReceiverSink<S> {
    pub(super) sink: S,
    /// Whose stream it is, once somebody has begun.
    pub(super) owner: Option<RestoreId>,
    progress: Progress,
    /// Of the last commit, whoever made it.
    newest: Option<Checkpoint>,
    /// Committed since a checkpoint was last made durable.
    unsynced: Option<Checkpoint>,
}

enum Progress {
    /// An earlier receiver's checkpoint: nothing is written before it is resumed at.
    ToResume(Checkpoint),
    /// Bytes of an earlier receiver without a checkpoint: nobody here can prove them, so that the stream starts over.
    ToStartOver,
    Between {
        segments: u64,
        end: u64,
    },
    Open {
        segments: u64,
        begin: u64,
        end: u64,
        hasher: Box<blake3::Hasher>,
    },
    Published {
        len: u64,
    },
    /// The sink has refused where it was to go on, and is of no more use.
    Spent,
}

/// A stream that a receiver has published.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Published {
    /// Bytes of it.
    pub len: u64,
    /// The checkpoint of its last commit, as the sender made it: opaque here. None where nothing was committed.
    pub checkpoint: Option<Checkpoint>,
}

/// A request that could not be carried out.
pub(super) enum Fault {
    /// The sender asked for what cannot be; the sink has not been touched, or is [spent](ReceiverSink::is_spent).
    Refused(PeerError),
    /// The sink failed, and what is known: it is dropped (rule 11).
    Sink(CommitError),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Sink(CommitError::NotCommitted(error))
    }
}

impl<S: StreamingSink> ReceiverSink<S> {
    pub(super) fn new(mut sink: S) -> io::Result<ReceiverSink<S>> {
        let newest = sink.last_commit()?;
        let progress = match newest.clone() {
            Some(checkpoint) => Progress::ToResume(checkpoint),
            None if sink.resumable().is_some() => Progress::ToStartOver,
            None => Progress::Between { segments: 0, end: 0 },
        };
        Ok(ReceiverSink { sink, owner: None, progress, newest, unsynced: None })
    }

    pub(super) fn state(&self) -> ReceiverState {
        match &self.progress {
            Progress::ToResume(checkpoint) => ReceiverState::ToResume(checkpoint.clone()),
            Progress::ToStartOver | Progress::Between { segments: 0, .. } | Progress::Spent => {
                ReceiverState::Nothing
            }
            Progress::Between { segments, .. } | Progress::Open { segments, .. } => {
                ReceiverState::AsLeft { segments: *segments }
            }
            Progress::Published { len } => ReceiverState::Published { len: *len },
        }
    }

    pub(super) fn durability(&self) -> DurabilityStep {
        if self.sink.durability().is_some() { DurabilityStep::Own } else { DurabilityStep::WithCommit }
    }

    pub(super) fn resume(&mut self, segment: u64, at: u64) -> Result<(), Fault> {
        let Progress::ToResume(_) = self.progress else {
            return refuse("a resume where there is nothing to resume");
        };
        match self.sink.resume_at(segment, at) {
            Ok(()) => {
                self.progress = Progress::Between { segments: segment, end: at };
                Ok(())
            }
            // The numbers are the sender's, and what is kept is none the worse for them.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.progress = Progress::Spent;
                Err(Fault::Refused(PeerError::NotDone(error.to_string())))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Before the first write, where that has to be said.
    fn start_over(&mut self) -> Result<(), Fault> {
        if let Progress::ToStartOver = self.progress {
            self.sink.resume_at(0, 0)?;
            self.progress = Progress::Between { segments: 0, end: 0 };
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, segment: u64, at: u64) -> Result<(), Fault> {
        self.start_over()?;
        match self.progress {
            Progress::Between { segments, end } if segments == segment && end == at => {
                self.sink.begin_segment(segment, at)?;
                let hasher = Box::default();
                self.progress = Progress::Open { segments, begin: at, end: at, hasher };
                Ok(())
            }
            _ => refuse("a segment that is not the next one"),
        }
    }

    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Fault> {
        let Progress::Open { end, hasher, .. } = &mut self.progress else {
            return refuse("data with no segment open");
        };
        let after = end.checked_add(bytes.len() as u64).filter(|_| *end == at);
        let Some(after) = after else {
            return refuse("data that does not begin where the data before ended");
        };
        self.sink.write_tentative(at, bytes)?;
        hasher.update(bytes);
        *end = after;
        Ok(())
    }

    pub(super) fn roll_back(&mut self) -> Result<(), Fault> {
        let Progress::Open { segments, begin, .. } = self.progress else {
            return refuse("a roll back with no segment open");
        };
        self.sink.rollback_segment()?;
        self.progress = Progress::Between { segments, end: begin };
        Ok(())
    }

    pub(super) fn commit(
        &mut self,
        segment: u64,
        hash: &[u8; HASH_LEN],
        checkpoint: &Checkpoint,
    ) -> Result<(), Fault> {
        let Progress::Open { segments, end, hasher, .. } = &self.progress else {
            return refuse("a commit with no segment open");
        };
        if segment != *segments {
            return refuse("a commit of another segment than the open one");
        }
        if hasher.finalize() != *hash {
            return refuse("the segment's bytes are not those that were sent");
        }
        let Some(segments) = segments.checked_add(1) else {
            return refuse("more segments than can be counted");
        };
        let after = Progress::Between { segments, end: *end };
        self.sink.commit_segment(checkpoint).map_err(Fault::Sink)?;
        self.progress = after;
        self.newest = Some(checkpoint.clone());
        self.unsynced = Some(checkpoint.clone());
        Ok(())
    }

    pub(super) fn publish(&mut self, len: u64) -> Result<(), Fault> {
        self.start_over()?;
        let Progress::Between { end, .. } = self.progress else {
            return refuse("a publish with a segment open, or before the resume");
        };
        if len != end {
            return refuse("a publish of another length than has committed");
        }
        self.sink.publish(len).map_err(Fault::Sink)?;
        self.progress = Progress::Published { len };
        self.unsynced = None;
        Ok(())
    }

    /// Whether another sink has to be opened before anybody goes on.
    pub(super) fn is_spent(&self) -> bool {
        matches!(self.progress, Progress::Spent)
    }

    pub(super) fn is_published(&self) -> bool {
        matches!(self.progress, Progress::Published { .. })
    }

    /// What has been published: its length, and the checkpoint of its last commit.
    pub(super) fn published(&self) -> Option<Published> {
        match self.progress {
            Progress::Published { len } => Some(Published { len, checkpoint: self.newest.clone() }),
            _ => None,
        }
    }

    /// The sender is gone. What it left open is rolled back, and what it committed is made durable: it may not come back,
    /// and another one finds only what is durable.
    pub(super) fn settle(&mut self) -> Result<(), Fault> {
        if let Progress::Open { .. } = self.progress {
            self.roll_back()?;
        }
        if let (Some(checkpoint), Some(durability)) = (self.unsynced.take(), self.sink.durability()) {
            durability.make_durable(&checkpoint)?;
        }
        Ok(())
    }
}

fn refuse<T>(what: &'static str) -> Result<T, Fault> {
    Err(Fault::Refused(PeerError::NotDone(what.into())))
}

#[cfg(test)]
mod tests {
    use local::NullSink;

    use super::*;

    #[test]
    fn a_segment_behind_which_none_can_be_counted_is_refused() {
        let mut held = ReceiverSink::new(NullSink::new()).unwrap();
        let hasher = Box::<blake3::Hasher>::default();
        let hash = *hasher.finalize().as_bytes();
        held.progress = Progress::Open { segments: u64::MAX, begin: 0, end: 0, hasher };
        let checkpoint = Checkpoint::from_bytes([0; Checkpoint::LEN]);
        assert!(matches!(held.commit(u64::MAX, &hash, &checkpoint), Err(Fault::Refused(_))));
    }
}
