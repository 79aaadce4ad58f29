//! The segments of one stream that are in flight: jobs out, results in, order kept, credit and proofs spent.
//! It knows neither what feeds it nor which way the bytes go: `open` and `seal` drive it.

use std::collections::VecDeque;
use std::sync::Arc;

use contract::{StreamingSink, Visibility};
use frame_worker::Shape;

use crate::driver::SinkDriver;
use crate::durability::SyncThread;
use crate::error::{SegmentFault, StreamError};
use crate::feed::SegmentPlan;
use crate::guard::Guard;
use crate::job::{Done, Job, JobError, Outcome, Work};
use crate::lease::{Caller, Lease};
use crate::pending::{Closed, ClosedBy, InFlight, PendingSegment};
use crate::proof::{Asserted, Complete, PartComplete, Verified};
use crate::proved::ProvedPlan;
use crate::run::Run;
use crate::sequencer::{OpenedRun, Sequencer};
use crate::settings::{BufferNeeds, Committed, Executor, Settings};
use crate::sync::mailbox::Mailbox;
use crate::{Buffers, CancelToken, Stage};

/// What an orchestrator does next.
pub(crate) enum NextAction {
    /// Ask the feed; credit for a run is there.
    Feed,
    /// Wait for a result; one is due.
    Wait,
    /// A job has failed. An outstanding one may have failed earlier in the input.
    Failed,
    /// Nothing is left in flight.
    Idle,
}

/// One stream under way, from its reservation to its publish. Dropped before that, it stops what is out and waits for it.
pub(crate) struct Pipeline<'a, S: StreamingSink, C> {
    pub(crate) driver: SinkDriver<'a, S>,
    pub(crate) buffers: Buffers,
    work: Work,
    executor: Executor<'a>,
    run_len: usize,
    shape: Shape,
    holds: bool,
    /// Where a segment begins in the sink is known when the one before it has committed: compressed frames have any length.
    appends: bool,
    in_flight: VecDeque<InFlight<C>>,
    mailbox: Arc<Mailbox<Outcome>>,
    outstanding: usize,
    outstanding_max: usize,
    lease: Lease,
    failed: Option<Outcome>,
    abort: CancelToken,
    inline: bool,
    /// Segments that have begun, those before the start counted.
    begun: u64,
}

impl<'a, S: StreamingSink, C> Pipeline<'a, S, C> {
    /// Takes the stream's minimum from the budget, waiting for it while holding nothing. The stream goes on at `start`.
    pub(crate) fn new<E>(
        sink: S,
        settings: Settings<'a>,
        work: Work,
        start: Committed,
    ) -> Result<Pipeline<'a, S, C>, StreamError<E>> {
        assert!(start.durable_len <= start.sink_len, "what is durable has committed");
        let stages = settings.stages;
        let guard = Guard::new(sink, start.segments, stages.clone());
        let visibility =
            if work == Work::Open { guard.capabilities().visibility } else { Visibility::Private };
        let holds = settings.release.holds(settings.shape.frame_len(), visibility) && work == Work::Open;
        let appends = work == Work::Seal && settings.shape.is_compressed();
        // A held segment must not be written by its jobs, wherever the sink could take it.
        let positioned = if holds || appends { None } else { guard.positioned() };
        let pool = settings.executor.pool();
        let on_pool = pool.filter(|pool| pool.is_current());
        let caller = on_pool.map_or(Caller::Elsewhere, Caller::OnPool);
        let own = guard.capabilities().reserve_bytes;
        let lease = reserve(&settings, holds, own, caller)?;
        let Settings { executor, budget, durability, cancel, demand, shape, checkpoint, observe, .. } =
            settings;
        let sync = SyncThread::start(guard.durability(), durability, &start, cancel, stages);
        let sync = sync.map_err(StreamError::NoThread)?;
        Ok(Pipeline {
            driver: SinkDriver {
                committed: start,
                appender: guard.positioned(),
                guard,
                positioned,
                sync,
                cancel,
                checkpoint,
                observe,
                stages,
            },
            buffers: Buffers::new(demand.run_len, budget),
            inline: pool.is_none() || on_pool.is_some(),
            outstanding_max: executor.runs_at_once(),
            work,
            executor,
            run_len: demand.run_len,
            shape,
            holds,
            appends,
            in_flight: VecDeque::new(),
            mailbox: Arc::new(Mailbox::new()),
            outstanding: 0,
            lease,
            failed: None,
            abort: CancelToken::new(),
            begun: start.segments,
        })
    }

    /// Takes in what jobs have left, then says what to do. `fed` says that the feed has no more.
    pub(crate) fn next_action<E>(
        &mut self,
        fed: bool,
        credit: &mut Credit,
    ) -> Result<NextAction, StreamError<E>> {
        self.driver.report()?;
        if self.failed.is_some() {
            return Ok(NextAction::Failed);
        }
        let room = self.in_flight.len() < SEGMENTS_IN_FLIGHT_MAX && self.outstanding < self.outstanding_max;
        if !fed && room && (credit.taken || self.take_credit(credit)) {
            return Ok(NextAction::Feed);
        }
        if self.outstanding > 0 {
            return Ok(NextAction::Wait);
        }
        assert!(
            fed || self.in_flight.is_empty(),
            "with nothing outstanding, the minimum pays for the next run"
        );
        Ok(NextAction::Idle)
    }

    /// What the feed brings next.
    pub(crate) fn next_step<T, E>(&self, next: impl FnOnce(&Buffers) -> Result<T, E>) -> Result<T, E> {
        self.driver.stages.time(Stage::Feed, 0, || next(&self.buffers))
    }

    /// A segment begins. Its number is wire data, so that a wrong one is a fault of the stream.
    pub(crate) fn begin<E>(&mut self, plan: SegmentPlan) -> Result<(), StreamError<E>> {
        let SegmentPlan { index, worker, digest, sink_offset, head } = plan;
        self.driver.check()?;
        if index.0 != self.begun {
            return Err(StreamError::Segment { segment: index, fault: SegmentFault::Chain });
        }
        if self.driver.positioned.is_some() {
            self.driver.write(index, sink_offset, &head)?;
        }
        let sequencer = Sequencer::new(index, digest, self.shape.frame_len());
        let frames_end = sink_offset + head.len() as u64;
        let pending = PendingSegment {
            index,
            worker,
            frames_end,
            sink_offset,
            written_to: None,
            head,
            held: Vec::new(),
        };
        self.begun += 1;
        self.in_flight.push_back(InFlight { pending, sequencer, outstanding: 0, closing: None, lost: false });
        Ok(())
    }

    /// A segment begins that has been proved to be in the sink: it has all that it needs.
    pub(crate) fn begin_proved<E>(&mut self, plan: ProvedPlan) -> Result<(), StreamError<E>> {
        let (segment, proof) = plan.split();
        self.begin(segment)?;
        self.in_flight.back_mut().expect("it has just begun").closing = Some(ClosedBy::Proof(proof));
        Ok(())
    }

    /// Sends a run of the segment that began last on its way, paid for by `credit`.
    pub(crate) fn submit(&mut self, run: Run, credit: &mut Credit) {
        assert!(std::mem::take(&mut credit.taken), "a run is paid for before it is read");
        assert!(run.read_len().max(run.output_len) <= self.run_len, "a run fits its buffers");
        let last = self.in_flight.back_mut().expect("a run belongs to a segment");
        last.outstanding += 1;
        last.pending.frames_end = run.sink_offset + run.output_len as u64;
        self.outstanding += 1;
        let job = Job {
            segment: last.pending.index,
            worker: last.pending.worker.clone(),
            run,
            work: self.work,
            sink: self.driver.positioned.clone(),
            buffers: self.buffers.clone(),
            stops: [self.driver.cancel.clone(), self.abort.clone()],
            stages: self.driver.stages.clone(),
        };
        let mailbox = self.mailbox.clone();
        match self.executor.pool() {
            Some(pool) if !self.inline => pool.queue(move || mailbox.post(job.perform())),
            _ => mailbox.post(job.perform()),
        }
    }

    /// The segment that began last has all its runs.
    pub(crate) fn close(&mut self, closing: C) {
        let last = self.in_flight.back_mut().expect("a close belongs to a segment");
        last.closing = Some(ClosedBy::Feed(closing));
    }

    /// Takes in the results that are there.
    pub(crate) fn collect<E>(&mut self) -> Result<(), StreamError<E>> {
        while let Some(outcome) = self.mailbox.try_take() {
            self.take_in(outcome)?;
        }
        self.emit()
    }

    /// Waits until half of the outstanding results, and at least one, have arrived, and takes in the first. The other
    /// half keeps the threads busy meanwhile. If this thread may do jobs itself, it does one instead of waiting.
    pub(crate) fn wait<E>(&mut self) -> Result<(), StreamError<E>> {
        assert!(self.outstanding > 0, "a result is due");
        if self.does_one() {
            return Ok(());
        }
        let outcome = self.mailbox.take(self.outstanding.div_ceil(2));
        self.take_in(outcome)
    }

    /// Does a job of this stream that no thread has begun, where this thread may.
    fn does_one(&self) -> bool {
        matches!(self.executor, Executor::PoolAndCaller(pool) if pool.try_run_one())
    }

    /// The oldest segment, if all of it is there.
    pub(crate) fn pop_closed(&mut self) -> Option<Closed<C>> {
        let front = self.in_flight.front_mut().filter(|front| front.outstanding == 0 && !front.lost)?;
        let closing = front.closing.take()?;
        let InFlight { pending, sequencer, .. } = self.in_flight.pop_front()?;
        Some(Closed { pending, sequencer, closing })
    }

    /// Commits a segment on its proof: what is held goes out first, then `tail`. The next one's bytes may follow.
    pub(crate) fn commit<E>(
        &mut self,
        mut pending: PendingSegment,
        proof: Verified,
        tail: &[u8],
        after: Committed,
    ) -> Result<(), StreamError<E>> {
        let frames_end = self.frames_end(&mut pending)?;
        self.driver.write(pending.index, frames_end, tail)?;
        self.driver.commit(proof, after)?;
        // The next segment is the oldest now. What has come of it must not keep its credit until a result arrives:
        // there may be none due.
        self.emit()
    }

    /// Commits a segment that the sink has already: `plaintext_len` bytes of it count as written from now on.
    pub(crate) fn commit_proved<E>(
        &mut self,
        pending: &PendingSegment,
        plaintext_len: u64,
        proof: Verified,
        after: Committed,
    ) -> Result<(), StreamError<E>> {
        self.driver.confirm(pending.index, pending.sink_offset, plaintext_len)?;
        self.driver.commit(proof, after)?;
        self.emit()
    }

    /// Where the frames of the oldest segment end in the sink. In ordered mode that is known when they are written, so that
    /// this writes them.
    pub(crate) fn frames_end<E>(&mut self, pending: &mut PendingSegment) -> Result<u64, StreamError<E>> {
        match self.driver.positioned {
            Some(_) => Ok(pending.frames_end),
            None => self.write_out(pending),
        }
    }

    /// Whether every segment that has begun has committed.
    pub(crate) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Publishes the whole. Nothing is in flight any more.
    pub(crate) fn publish<E>(mut self, proof: Complete) -> Result<(), StreamError<E>> {
        assert!(self.outstanding == 0 && self.in_flight.is_empty(), "all segments have committed");
        self.driver.publish(proof)
    }

    /// Publishes what nothing proves to be the whole. Nothing is in flight any more.
    pub(crate) fn publish_asserted<E>(mut self, proof: Asserted) -> Result<(), StreamError<E>> {
        assert!(self.outstanding == 0 && self.in_flight.is_empty(), "all segments have committed");
        self.driver.publish_asserted(proof)
    }

    /// Publishes a part of a stream. Nothing is in flight any more.
    pub(crate) fn publish_part<E>(mut self, proof: PartComplete) -> Result<(), StreamError<E>> {
        assert!(self.outstanding == 0 && self.in_flight.is_empty(), "all segments have committed");
        self.driver.publish_part(proof)
    }

    /// Takes in everything that is out.
    pub(crate) fn wait_for_all<E>(&mut self) -> Result<(), StreamError<E>> {
        while self.outstanding > 0 {
            self.wait()?;
        }
        Ok(())
    }

    /// The failure of a job; of several, the one that comes first in the input. All outstanding results have been
    /// collected.
    pub(crate) fn failure<E>(&mut self) -> Option<StreamError<E>> {
        self.failed.take().and_then(Outcome::into_error)
    }

    /// Stops the jobs that are still out, and waits for them. Nothing is left to be done with the stream but to publish it.
    pub(crate) fn end_jobs(&mut self) {
        self.abort.cancel();
        while self.does_one() {}
        for _ in 0..std::mem::take(&mut self.outstanding) {
            self.mailbox.take(1);
        }
    }

    fn take_credit(&mut self, credit: &mut Credit) -> bool {
        credit.taken = self.lease.try_take(2 * self.run_len);
        credit.taken
    }

    fn take_in<E>(&mut self, outcome: Outcome) -> Result<(), StreamError<E>> {
        let segment = outcome.segment;
        let base = self.in_flight.front().expect("a result belongs to a segment in flight").pending.index.0;
        let owner = &mut self.in_flight[(segment.0 - base) as usize];
        owner.outstanding -= 1;
        self.outstanding -= 1;
        let Done { run, closing } = match outcome {
            Outcome { result: Ok(done), .. } => done,
            // Plaintext that cannot be read is not proved: its segment lacks a run.
            Outcome { result: Err(JobError::Read { .. }), .. } if self.work == Work::Prove => {
                self.lease.give(2 * self.run_len);
                return Ok(());
            }
            failed => {
                owner.lost = true;
                self.note(failed);
                return Ok(());
            }
        };
        if let Some(closing) = closing {
            owner.closing = Some(ClosedBy::Job(closing));
        }
        // A segment without frames has nothing to put in order, and what its job had for output is empty.
        let run = if run.frames.is_empty() { None } else { Some(run) };
        let waits = run.as_ref().is_some_and(|run| run.output.is_some());
        self.lease.give(if waits { self.run_len } else { 2 * self.run_len });
        let Some(run) = run else { return Ok(()) };
        owner.sequencer.accept(run).map_err(|fault| StreamError::Segment { segment, fault })
    }

    /// Keeps the failure that comes first in the input. A job that was stopped has not failed by itself.
    fn note(&mut self, outcome: Outcome) {
        let stopped = |outcome: &Outcome| matches!(outcome.result, Err(JobError::Stopped));
        let first = match &self.failed {
            None => true,
            Some(known) if stopped(known) => true,
            Some(known) => !stopped(&outcome) && outcome.position() < known.position(),
        };
        if first {
            self.failed = Some(outcome);
        }
    }

    /// Puts in order what has arrived; in ordered mode the oldest segment's goes to the sink unless it is held.
    fn emit<E>(&mut self) -> Result<(), StreamError<E>> {
        for InFlight { pending, sequencer, .. } in &mut self.in_flight {
            let segment = pending.index;
            let fault = |fault| StreamError::Segment { segment, fault };
            while let Some(OpenedRun { output, .. }) = sequencer.pop().map_err(fault)? {
                pending.held.extend(output);
            }
        }
        if self.holds || self.driver.positioned.is_some() {
            return Ok(());
        }
        if self.in_flight.front().is_none_or(InFlight::is_proved) {
            return Ok(());
        }
        let Some(mut front) = self.in_flight.pop_front() else { return Ok(()) };
        let written = self.write_out(&mut front.pending);
        self.in_flight.push_front(front);
        written.map(drop)
    }

    /// Ordered mode: writes what of the oldest segment is in order, and says where that ends.
    fn write_out<E>(&mut self, pending: &mut PendingSegment) -> Result<u64, StreamError<E>> {
        let segment = pending.index;
        let begin = if self.appends { self.driver.committed.sink_len } else { pending.sink_offset };
        let mut at = pending.written_to.unwrap_or(begin);
        self.driver.begin(segment, at)?;
        let head = std::mem::take(&mut pending.head);
        self.driver.write(segment, at, &head)?;
        at += head.len() as u64;
        for output in pending.held.drain(..) {
            self.driver.write(segment, at, &output.buffer[..output.len])?;
            at += output.len as u64;
            drop(output);
            self.lease.give(self.run_len);
        }
        pending.written_to = Some(at);
        Ok(at)
    }
}

impl<S: StreamingSink, C> Drop for Pipeline<'_, S, C> {
    /// Nothing of a stream happens after its orchestrator has returned: jobs still out are stopped and waited for, then the
    /// driver waits for a sync that runs, and only then is the sink dropped.
    fn drop(&mut self) {
        self.end_jobs();
        self.driver.stages.rolled_back(self.begun - self.driver.committed.segments);
    }
}

/// Credit for one run, taken before the feed is asked and spent by the run it brings.
#[derive(Default)]
pub(crate) struct Credit {
    taken: bool,
}

/// The minimum: what the sink needs for itself, a run on its way in and out, and a segment where one is held.
fn reserve<E>(
    settings: &Settings<'_>,
    holds: bool,
    own: usize,
    caller: Caller<'_>,
) -> Result<Lease, StreamError<E>> {
    let BufferNeeds { run_len, runs_per_segment, fixed_len } = settings.demand;
    let own = own.saturating_add(fixed_len);
    let held = if holds { run_len.saturating_mul(runs_per_segment) } else { 0 };
    let needed = held.saturating_add(run_len.saturating_mul(2)).saturating_add(own);
    let total = settings.budget.total();
    if needed > total {
        return Err(StreamError::Budget { needed, total });
    }
    settings.budget.reserve(needed, own, caller, settings.cancel).ok_or(StreamError::Cancelled)
}

/// Segments that may be in flight at once. It bounds the fragments that wait for one slow run.
const SEGMENTS_IN_FLIGHT_MAX: usize = 64;
