//! The trait between the engine and whatever stores its output, and the contract that binds both sides.
//! Knows no backend.

use std::{io, sync::Arc};

use cofferdam_io::{ReadAt, WriteAt};

use crate::{Checkpoint, CommitError};

/// Takes a stream's bytes as tentative, commits them segment by segment, and publishes the whole.
///
/// The engine calls, and only the engine; a sink needs no defence against calls out of order, though the sinks
/// of this crate answer those they can see with an error. `capabilities` and the two handles aside, a stream is a
/// sequence of calls like this (`*` any number of times):
///
/// ```text
/// start:       last_commit  resume_at?
/// ordered:     start  ( begin_segment write_tentative* ( commit_segment | rollback_segment )
///                     | confirm_segment commit_segment )*  end
/// positioned:  start  ( write_all_at, on any thread, several segments at once
///                     | confirm_segment? commit_segment )*  end
/// end:         publish | discard | Drop alone
/// ```
///
/// # The contract
///
/// *Who calls, and from where*
///
/// 1. **One caller.** Methods that take `&mut self` are called by one thread at a time, not always the same.
///    They may block. [`WriteAt::write_all_at`] is called from any number of threads at once, and
///    [`SyncTo::make_durable`] by one thread at a time, beside all of the others.
/// 2. **One mode per stream.** Where [`positioned`](Self::positioned) gives a handle, the engine may take it before
///    the first write and write through it alone: then `begin_segment`, `write_tentative` and `rollback_segment` are
///    not called. Otherwise the stream is ordered and no handle is written through. `commit_segment`, `publish` and
///    `discard` are the same in both modes.
/// 3. **Offsets are the engine's.** `at` counts bytes from the start of the stream. In ordered mode each write
///    begins where the one before ended, and a segment begins where the last committed one ended. In positioned
///    mode ranges come in any order and are disjoint: no byte is written twice, and none that has been confirmed is
///    written. Bytes of an earlier attempt that have not been confirmed are claims, and may be written over.
/// 4. **Commits come in order**, one per segment, from the one after `last_commit`, or from the first. At a commit
///    every write of that segment has returned `Ok`, and no write of it is still running; at publish and discard, no
///    write at all is running. No job of a segment is running at its rollback either.
///
/// *What follows from `Ok`*
///
/// 5. **A write** that returns `Ok` has taken all of its bytes. They are tentative: where the capabilities say
///    [`Visibility::Private`], nobody can see them at the target. [`WriteAt::fill_at`], where a sink has it, is a write like
///    any other, except that what a failed one leaves need not be authentic.
/// 6. **A commit** that returns `Ok` records a checkpoint, in order, and no more: the segment belongs to what may be
///    published. It says nothing about durability unless the sink documents that it does. A private sink still shows
///    nothing.
/// 7. **A rollback** that returns `Ok` leaves the sink as it was before `begin_segment`; the same segment may begin
///    again, at the same place, with other bytes of another length.
/// 8. **Publish**, with the stream's length, is called once, after the last commit. When it returns `Ok` the
///    target holds exactly those bytes, in order, and is as durable as the sink's medium can be. A stream of no
///    bytes is a stream: it publishes an empty target.
/// 9. **Publish refuses what it cannot answer for**: a length that includes a byte never written, or bytes written
///    beyond it, is [`CommitError::NotCommitted`], and the target stays as it was.
/// 10. **Discard** that returns `Ok` leaves nothing behind: no tentative bytes, no progress, the target as it was.
///
/// *What follows from `Err`*
///
/// 11. **After any `Err` the only further call is Drop.** The first failed write or sync is final; a sink does not
///     retry it, does not rely on a later call to report it, and never publishes after it.
/// 12. **A failed commit or publish says what is known.** [`CommitError::NotCommitted`]: the state before the call
///     stands. [`CommitError::Unknown`]: it may stand either way; the engine tells its caller so, and reopens
///     the sink if it wants to know.
///
/// *What follows from Drop*
///
/// 13. **Drop is a crash**: what was durable is kept for the next `last_commit`, everything else may go. A private
///     sink's target is as it was before the first call. A sink that cannot resume keeps nothing, and a Drop
///     before publish removes what it left on the medium.
/// 14. **Handles may outlive the sink.** After publish, discard or Drop a write through one is an `Err` and
///     changes nothing anyone can see.
///
/// *What the rest promise*
///
/// 15. **`last_commit`** is called before the first write. It returns the last durable checkpoint of an earlier,
///     unpublished sink over the same target, or `None` if none became durable. Bytes may be kept nevertheless.
/// 16. **`make_durable(checkpoint)`** that returns `Ok` has made every byte up to `checkpoint` survive a crash, and after one
///     `last_commit` gives `checkpoint` or a later one.
/// 17. **The capabilities** do not change.
/// 18. **`resume_at(index, at)`** is called once, before the first write, if `last_commit` returned a checkpoint or
///     [`resumable`](Self::resumable) a handle; never otherwise. Segment `index` comes next, at byte `at`. Everything
///     before `at` counts as written and committed. Of what lies from `at` on nothing counts as written: a sink whose
///     capabilities say so ([`confirms`](SinkCapabilities::confirms)) leaves it where it is, as claims, until it is written over or
///     confirmed; another forgets it. `(0, 0)` starts over: the checkpoint is removed, durably, before anything is written. A sink that offers no
///     kept bytes is only ever asked to resume at its checkpoint or to start over.
/// 19. **`resumable`** bytes are what the sink holds, whoever wrote it: a claim, which the engine proves before it
///     builds on it. A proof needs no checkpoint. It may reach further than that, or less far, and there may be gaps
///     between what it has proved; of a sink that does not confirm, it is used up to the first.
/// 20. **`confirm_segment(index, at, len)`**, of a sink whose capabilities say so, in place of the writes of segment `index`,
///     the one that is committed next: its bytes are among the kept ones and have been proved where they are. From `Ok`
///     on they count as written. None of them was written since the resume, and its commit follows.
/// 21. **A sink that hands its bytes to somebody else**, who would take what is published for proved, says so
///     ([`proved_only`](SinkCapabilities::proved_only)). It is never asked to publish a stream that is only asserted to be whole: such a stream is
///     refused before its first write where that shows by then, and otherwise the sink is dropped in place of the publish. A sink
///     around another one has the word of that one.
///
/// The `conformance` module (feature `conformance`) has a function for each rule that can be observed from outside.
pub trait StreamingSink: Send {
    /// What the engine must know before it starts.
    fn capabilities(&self) -> SinkCapabilities;

    /// How far an earlier attempt got: see rule 15.
    ///
    /// # Errors
    /// Stored progress is there and cannot be read.
    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>>;

    /// What an earlier attempt left, to be read back and proved: see rule 19. Its length is that of the bytes that
    /// may be there, as found when the sink was opened; what was never written among them reads as zeros. A sink
    /// whose stored bytes nobody can change undetected does not need it.
    fn resumable(&self) -> Option<Arc<dyn ReadAt>> {
        None
    }

    /// Resumes after an earlier attempt: see rule 18.
    ///
    /// # Errors
    /// The sink cannot resume, or has nothing to resume there; the medium's own.
    fn resume_at(&mut self, index: u64, at: u64) -> io::Result<()> {
        let message = format!("this sink keeps no progress and cannot go on at segment {index}, byte {at}");
        Err(io::Error::new(io::ErrorKind::Unsupported, message))
    }

    /// The next segment, `len` bytes at byte `at`, is among the kept bytes and has been proved: see rule 20.
    ///
    /// # Errors
    /// The sink offers no kept bytes, or these are not among them; it takes nothing more.
    fn confirm_segment(&mut self, index: u64, at: u64, len: u64) -> io::Result<()> {
        let message =
            format!("this sink confirms no kept bytes, and none of segment {index}: {len} bytes at {at}");
        Err(io::Error::new(io::ErrorKind::Unsupported, message))
    }

    /// Ordered mode: opens the segment `index` that starts at byte `at` of the stream.
    ///
    /// # Errors
    /// The medium's own.
    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()>;

    /// Ordered mode: takes `data`, all of it, as the bytes from `at` on.
    ///
    /// # Errors
    /// The medium's own. How much of `data` was taken is then not defined, and does not matter (rule 11).
    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()>;

    /// Ordered mode: takes the open segment back.
    ///
    /// # Errors
    /// Bytes were written that cannot be taken back, or the medium's own.
    fn rollback_segment(&mut self) -> io::Result<()>;

    /// Commits the next segment. `checkpoint` is what `last_commit` gives back if this becomes durable.
    ///
    /// # Errors
    /// See rule 12.
    fn commit_segment(&mut self, checkpoint: &Checkpoint) -> Result<(), CommitError>;

    /// Makes the stream, `plain_len` bytes, the target: see rules 8 and 9.
    ///
    /// # Errors
    /// See rule 12. A target that appeared meanwhile and must not be replaced is `NotCommitted` with
    /// [`io::ErrorKind::AlreadyExists`].
    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError>;

    /// Abandons the stream and removes what was kept of it, progress included.
    ///
    /// # Errors
    /// Something could not be removed.
    fn discard(&mut self) -> io::Result<()>;

    /// A handle to write at offsets from any thread, over disjoint ranges (rules 1 to 3), where the sink can. Its errors are the
    /// medium's own, or say that the sink has failed, was published, discarded or dropped.
    fn positioned(&self) -> Option<Arc<dyn WriteAt>>;

    /// A handle to make commits durable, if that is a separate step.
    fn durability(&self) -> Option<Arc<dyn SyncTo>>;
}

/// Makes commits survive a crash, while the sink takes further writes and commits (rule 16).
pub trait SyncTo: Send + Sync {
    /// Makes every byte up to `checkpoint` durable, then `checkpoint` itself.
    ///
    /// # Errors
    /// The medium's own. It is final: a sync is never tried again, because the second answer would be a lie.
    fn make_durable(&self, checkpoint: &Checkpoint) -> io::Result<()>;
}

/// Who can see tentative bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Visibility {
    /// Nobody: not before publish or, of a sink that documents itself as incremental, not before their segment commits. The
    /// engine writes bytes as soon as their frame is authentic.
    Private,
    /// Others, at once. The engine holds each segment until its digest is verified.
    Visible,
}

/// What the engine must know of a sink before it starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SinkCapabilities {
    /// Who can see tentative bytes.
    pub visibility: Visibility,
    /// Bytes of memory that the sink needs for itself; the engine takes them from the stream's budget.
    pub reserve_bytes: usize,
    /// Whether kept bytes behind a gap count once they are confirmed (rule 20). Of a sink that does not, what lies behind a gap is written
    /// again.
    pub confirms: bool,
    /// Whether only what is proved to be whole may be published, since whoever gets it would take it for that (rule 21).
    pub proved_only: bool,
}

impl SinkCapabilities {
    /// Of a sink whose tentative bytes are visible as `visibility` says, that needs no memory of the stream's budget, that confirms
    /// no kept bytes, and whose caller learns what was published and what proves it.
    pub fn new(visibility: Visibility) -> SinkCapabilities {
        SinkCapabilities { visibility, reserve_bytes: 0, confirms: false, proved_only: false }
    }

    /// Who can see tentative bytes.
    #[must_use]
    pub fn visibility(mut self, visibility: Visibility) -> SinkCapabilities {
        self.visibility = visibility;
        self
    }

    /// Says that kept bytes behind a gap count once they are confirmed.
    #[must_use]
    pub fn confirming(mut self) -> SinkCapabilities {
        self.confirms = true;
        self
    }

    /// Says that only what is proved to be whole may be published.
    #[must_use]
    pub fn proved_only(mut self) -> SinkCapabilities {
        self.proved_only = true;
        self
    }

    /// Asks for `bytes` of the stream's budget, for the sink itself.
    #[must_use]
    pub fn reserve_bytes(mut self, bytes: usize) -> SinkCapabilities {
        self.reserve_bytes = bytes;
        self
    }
}

impl<S: StreamingSink + ?Sized> StreamingSink for Box<S> {
    fn capabilities(&self) -> SinkCapabilities {
        (**self).capabilities()
    }
    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        (**self).last_commit()
    }
    fn resumable(&self) -> Option<Arc<dyn ReadAt>> {
        (**self).resumable()
    }
    fn resume_at(&mut self, index: u64, at: u64) -> io::Result<()> {
        (**self).resume_at(index, at)
    }
    fn confirm_segment(&mut self, index: u64, at: u64, len: u64) -> io::Result<()> {
        (**self).confirm_segment(index, at, len)
    }
    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        (**self).begin_segment(index, at)
    }
    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        (**self).write_tentative(at, data)
    }
    fn rollback_segment(&mut self) -> io::Result<()> {
        (**self).rollback_segment()
    }
    fn commit_segment(&mut self, checkpoint: &Checkpoint) -> Result<(), CommitError> {
        (**self).commit_segment(checkpoint)
    }
    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        (**self).publish(plain_len)
    }
    fn discard(&mut self) -> io::Result<()> {
        (**self).discard()
    }
    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        (**self).positioned()
    }
    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        (**self).durability()
    }
}
