//! What the target's file system cannot do, where the target is published all the same; and who hears of it.
//! Knows nothing of why it cannot.

use std::{fmt, io};

use storage::{ByteCount, is_refusal};

/// Something that the operator should know of the place of a target. It does no harm to the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TargetNotice {
    /// The file system gives our files to another user, so that ours cannot be told from another's: nothing is kept for a
    /// later attempt, and nothing that an earlier one left is built upon.
    OwnersNotKept,
    /// The file system does not change modes: staging file and target have the mode that it gives them.
    ModesNotKept,
    /// The file system did not take the time of modification that the target was to have.
    TimesNotKept,
    /// There is no room for the target's length. It fits nevertheless if enough of it is zeros.
    MayNotFit {
        /// Bytes of the length for which no room was taken yet.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
}

impl fmt::Display for TargetNotice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = match self {
            Self::MayNotFit { needed, free } => {
                let (needed, free) = (ByteCount(*needed), ByteCount(*free));
                return write!(
                    out,
                    "the target may not fit: up to {needed} are still needed, and {free} are free. It goes on, \
                     because runs of zeros take no room"
                );
            }
            Self::OwnersNotKept => {
                "the target's file system gives files to another user than the one who makes them, so that ours cannot \
                 be told from another's: an interrupted attempt begins anew here"
            }
            Self::ModesNotKept => {
                "the target's file system does not change modes: who may read the target is up to its mount options"
            }
            Self::TimesNotKept => "the target's file system did not take its time of modification",
        };
        out.write_str(said)
    }
}

/// What was noticed, each once, until somebody listens.
#[derive(Default)]
pub(super) struct Notices {
    noticed: Vec<TargetNotice>,
    listener: Option<Listener>,
}

type Listener = Box<dyn Fn(TargetNotice) + Send + Sync>;

impl Notices {
    pub(super) fn listen(&mut self, listener: Listener) {
        self.noticed.iter().for_each(|notice| listener(*notice));
        self.listener = Some(listener);
    }

    pub(super) fn add(&mut self, notice: TargetNotice) {
        if self.noticed.contains(&notice) {
            return;
        }
        self.noticed.push(notice);
        if let Some(listener) = &self.listener {
            listener(notice);
        }
    }

    /// Takes the refusal of a mode for a notice.
    ///
    /// # Errors
    /// Any other error.
    pub(super) fn of_mode(&mut self, given: io::Result<()>) -> io::Result<()> {
        match given {
            Err(error) if is_refusal(&error) => {
                self.add(TargetNotice::ModesNotKept);
                Ok(())
            }
            given => given,
        }
    }
}
