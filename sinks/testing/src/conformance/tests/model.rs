//! The simplest sink there is, and what can be wrong with it.
//! Knows no rule.

use std::{io, sync::Arc};

use contract::{
    Checkpoint, CommitError, ReadAt, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt,
};
use parking_lot::Mutex;

use crate::conformance::{SinkUnderTest, broken_off::DURABLE, trial::checkpoint};

/// What is wrong with a [`Model`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Defect {
    WritesGoByArrival,
    WriteShows,
    CommitShows,
    RollBackKeepsBytes,
    RollBackFails,
    RollBackAfterResumeEmpties,
    EmptyRollBackTakesASegment,
    SecondRollBackKeepsBytes,
    PublishIsShort,
    EmptyIsNotPublished,
    SecondSegmentIsLost,
    HolesAreZeros,
    BytesAreCounted,
    BytesAreCountedAfterResume,
    TailIsDroppedAfterResume,
    TailIsDropped,
    RefusalIsUnknown,
    RefusalEmptiesTarget,
    LeftoversCount,
    DiscardPublishes,
    DiscardKeepsTheMark,
    DropPublishes,
    HandleLivesOn,
    InventsACommit,
    PublishKeepsTheMark,
    MarkIsLost,
    CheckpointOutlivesItsBytes,
    MarkStaysBehind,
    AskingTakesTheMark,
    CapabilitiesChange,
    ResumeForgetsBytes,
    ResumeKeepsTheTail,
    ResumesAtTheCheckpointAlone,
    StartingOverKeepsTheMark,
    KeptIsShort,
    KeptIsAnothers,
    KeptHasNoEnd,
    ConfirmedAreZeros,
    ConfirmsAnything,
    ConfirmsNothing,
    ClaimsCount,
    HandsOnWhatIsNotProved,
}

/// What a later sink over the same target is offered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    Kept,
    CheckpointAlone,
}

/// A byte is there or not, and publish wants all of them.
pub(super) struct Model {
    inner: Arc<Inner>,
    segment_start: usize,
    last_start: usize,
    segments: u64,
    roll_backs: u64,
    resumed: bool,
    offer: Offer,
}

/// One attempt.
struct Inner {
    medium: Arc<Medium>,
    closed: Mutex<bool>,
    defect: Option<Defect>,
}

/// What attempts share. A drop leaves all of it.
#[derive(Default)]
struct Medium {
    staged: Mutex<Vec<Option<u8>>>,
    /// What lay behind the place of the resume, from `claims_at` on.
    claims: Mutex<(usize, Vec<Option<u8>>)>,
    target: Mutex<Option<Vec<u8>>>,
    durable: Mutex<Option<Checkpoint>>,
}

impl Model {
    pub(super) fn under_test(defect: Option<Defect>, offer: Offer) -> SinkUnderTest {
        let medium = Arc::new(Medium { target: Mutex::new(Some(b"old".into())), ..Medium::default() });
        let (seen, kept) = (medium.clone(), medium.clone());
        SinkUnderTest::new(Self::open(medium, defect, offer), move || seen.target.lock().clone())
            .handing_on()
            .reopening(move || io::Result::Ok(Self::open(kept.clone(), defect, offer)))
    }

    /// Where there is no checkpoint, nothing of an earlier attempt is built upon.
    fn open(medium: Arc<Medium>, defect: Option<Defect>, offer: Offer) -> Self {
        if medium.durable.lock().is_none() {
            medium.staged.lock().clear();
        }
        if defect == Some(Defect::CheckpointOutlivesItsBytes) {
            let len = medium.staged.lock().len();
            medium.staged.lock().truncate(len / 1024);
        }
        let inner = Arc::new(Inner { medium, closed: Mutex::new(false), defect });
        Self { inner, segment_start: 0, last_start: 0, segments: 0, roll_backs: 0, resumed: false, offer }
    }

    fn has(&self, defect: Defect) -> bool {
        self.inner.has(defect)
    }

    fn close(&self, keeps_the_checkpoint: Defect) {
        if !self.has(keeps_the_checkpoint) {
            *self.inner.medium.durable.lock() = None;
        }
        *self.inner.closed.lock() = true;
    }
}

impl Inner {
    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    fn show(&self) {
        let staged = self.medium.staged.lock();
        *self.medium.target.lock() = Some(staged.iter().map(|byte| byte.unwrap_or(0)).collect());
    }
}

impl WriteAt for Inner {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        if *self.closed.lock() && !self.has(Defect::HandleLivesOn) {
            return Err(io::Error::other("closed"));
        }
        let mut staged = self.medium.staged.lock();
        let at = match self.has(Defect::WritesGoByArrival) {
            true => staged.len(),
            false => usize::try_from(at).unwrap(),
        };
        if staged.len() < at + data.len() {
            staged.resize(at + data.len(), None);
        }
        for (place, byte) in staged[at..].iter_mut().zip(data) {
            *place = Some(*byte);
        }
        drop(staged);
        if self.has(Defect::WriteShows) {
            self.show();
        }
        Ok(())
    }
}

impl SyncTo for Inner {
    fn make_durable(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        let mut durable = self.medium.durable.lock();
        let stays = self.has(Defect::MarkStaysBehind) && durable.is_some();
        if !stays && !self.has(Defect::MarkIsLost) {
            *durable = Some(checkpoint.clone());
        }
        Ok(())
    }
}

impl ReadAt for Inner {
    fn len(&self) -> u64 {
        let len = self.medium.staged.lock().len();
        (if self.has(Defect::KeptIsShort) { len.min(1) } else { len }) as u64
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let (staged, at) = (self.medium.staged.lock(), usize::try_from(offset).unwrap());
        if at + buffer.len() > staged.len() && !self.has(Defect::KeptHasNoEnd) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let flip = u8::from(self.has(Defect::KeptIsAnothers));
        for (byte, place) in buffer.iter_mut().zip(staged.iter().skip(at)) {
            *byte = place.unwrap_or(0) ^ flip;
        }
        Ok(())
    }
}

impl StreamingSink for Model {
    fn capabilities(&self) -> SinkCapabilities {
        let changed = self.has(Defect::CapabilitiesChange) && self.segments > 0;
        let capabilities = SinkCapabilities::new(Visibility::Private).reserve_bytes(usize::from(changed));
        let handed_on = self.has(Defect::HandsOnWhatIsNotProved);
        let capabilities = if handed_on { capabilities } else { capabilities.proved_only() };
        if self.offer == Offer::Kept { capabilities.confirming() } else { capabilities }
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        let mut durable = self.inner.medium.durable.lock();
        let last = durable.clone();
        if self.has(Defect::AskingTakesTheMark) {
            *durable = None;
        }
        Ok(if self.has(Defect::InventsACommit) { Some(checkpoint()) } else { last })
    }

    fn resumable(&self) -> Option<Arc<dyn ReadAt>> {
        (self.offer == Offer::Kept).then(|| self.inner.clone() as Arc<dyn ReadAt>)
    }

    fn resume_at(&mut self, index: u64, at: u64) -> io::Result<()> {
        if self.has(Defect::ResumesAtTheCheckpointAlone) && index == 1 {
            return Err(io::Error::other("not at the checkpoint"));
        }
        let keeps_the_tail = self.has(Defect::ResumeKeepsTheTail) || self.has(Defect::LeftoversCount);
        self.resumed = true;
        let mut staged = self.inner.medium.staged.lock();
        if self.has(Defect::ResumeForgetsBytes) {
            staged.clear();
        } else if self.has(Defect::ClaimsCount) {
            // Up to what nobody wrote, and the wrong bytes of the tail.
            staged.truncate(crate::conformance::broken_off::end_of(DURABLE + 1));
        } else if !keeps_the_tail {
            let at = usize::try_from(at).unwrap().min(staged.len());
            *self.inner.medium.claims.lock() = (at, staged.split_off(at));
        }
        if index == 0 && !self.has(Defect::StartingOverKeepsTheMark) {
            *self.inner.medium.durable.lock() = None;
        }
        Ok(())
    }

    fn confirm_segment(&mut self, _index: u64, at: u64, len: u64) -> io::Result<()> {
        if self.offer == Offer::CheckpointAlone || self.has(Defect::ConfirmsNothing) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let claims = self.inner.medium.claims.lock();
        let at = usize::try_from(at).unwrap().saturating_sub(claims.0);
        let mut found = claims.1.iter().skip(at).take(len as usize).copied().collect::<Vec<_>>();
        if self.has(Defect::ConfirmsAnything) {
            found.resize(len as usize, Some(0));
        }
        if found.len() < len as usize {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if self.has(Defect::ConfirmedAreZeros) {
            found.fill(Some(0));
        }
        let mut staged = self.inner.medium.staged.lock();
        let begin = at + claims.0;
        let end = begin + found.len();
        let whole_len = staged.len().max(end);
        staged.resize(whole_len, None);
        staged[begin..end].copy_from_slice(&found);
        Ok(())
    }

    fn begin_segment(&mut self, _index: u64, at: u64) -> io::Result<()> {
        let at = usize::try_from(at).unwrap();
        if at != self.segment_start {
            self.last_start = self.segment_start;
        }
        self.segment_start = at;
        Ok(())
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write_all_at(at, data)
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        if self.has(Defect::RollBackFails) {
            return Err(io::Error::other("cannot"));
        }
        self.roll_backs += 1;
        let mut staged = self.inner.medium.staged.lock();
        let is_empty = staged.len() == self.segment_start;
        let keeps = self.has(Defect::RollBackKeepsBytes)
            || self.has(Defect::SecondRollBackKeepsBytes) && self.roll_backs == 2;
        let start = match () {
            () if keeps => staged.len(),
            () if self.has(Defect::EmptyRollBackTakesASegment) && is_empty => self.last_start,
            () if self.has(Defect::RollBackAfterResumeEmpties) && self.resumed => 0,
            () => self.segment_start,
        };
        staged.truncate(start);
        Ok(())
    }

    fn commit_segment(&mut self, _mark: &Checkpoint) -> Result<(), CommitError> {
        self.segments += 1;
        if self.has(Defect::SecondSegmentIsLost) && self.segments == 2 {
            self.inner.medium.staged.lock()[self.segment_start..].fill(Some(0));
        }
        if self.has(Defect::CommitShows) {
            self.inner.show();
        }
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        let len = usize::try_from(plain_len).unwrap();
        let mut staged = self.inner.medium.staged.lock();
        if self.has(Defect::HolesAreZeros) && staged.len() <= len {
            staged.resize(len, Some(0));
            staged.iter_mut().for_each(|byte| *byte = byte.or(Some(0)));
        }
        let drops_the_tail = self.has(Defect::TailIsDropped) || self.has(Defect::LeftoversCount);
        if drops_the_tail || self.has(Defect::TailIsDroppedAfterResume) && self.resumed {
            staged.truncate(len);
        }
        let counts =
            self.has(Defect::BytesAreCounted) || self.has(Defect::BytesAreCountedAfterResume) && self.resumed;
        let complete = match counts {
            true => staged.iter().flatten().count() == len,
            false => staged.len() == len && staged.iter().all(Option::is_some),
        };
        if !complete {
            if self.has(Defect::RefusalEmptiesTarget) {
                *self.inner.medium.target.lock() = None;
            }
            let error = io::Error::other("not what was written");
            return Err(match self.has(Defect::RefusalIsUnknown) {
                true => CommitError::Unknown(error),
                false => CommitError::NotCommitted(error),
            });
        }
        if self.has(Defect::PublishIsShort) {
            staged.pop();
        }
        drop(staged);
        if len > 0 || !self.has(Defect::EmptyIsNotPublished) {
            self.inner.show();
        }
        self.close(Defect::PublishKeepsTheMark);
        Ok(())
    }

    fn discard(&mut self) -> io::Result<()> {
        if self.has(Defect::DiscardPublishes) {
            self.inner.show();
        }
        self.close(Defect::DiscardKeepsTheMark);
        Ok(())
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        Some(self.inner.clone())
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        Some(self.inner.clone())
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        if self.has(Defect::DropPublishes) {
            self.inner.show();
        }
        *self.inner.closed.lock() = true;
    }
}
