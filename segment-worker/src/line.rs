//! The segments of one stream that are in flight: jobs out, results in, order kept, credit and proofs spent.
//! It knows neither what feeds it nor which way the bytes go: `open` and `seal` drive it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;

use frame_worker::{Pool, SegmentIndex};
use sinks::{Checkpoint, PositionedWrite, StreamingSink, Visibility};

use crate::durability::{SyncFailed, SyncThread};
use crate::error::{SegmentFault, StreamError};
use crate::feed::{Run, SegmentPlan};
use crate::flight::{Closed, Flight, InFlight};
use crate::guard::Guard;
use crate::job::{Job, JobError, Outcome, Work};
use crate::lease::{Caller, Lease};
use crate::proof::{Complete, Verified};
use crate::sequencer::{OpenedRun, Sequencer};
use crate::settings::{Committed, Demand, Executor, Settings};
use crate::sync::mailbox::Mailbox;
use crate::{Buffers, CancelToken};

/// What an orchestrator does next.
pub(crate) enum Turn {
    /// Ask the feed; credit for a run is there.
    Feed,
    /// Wait for a result; one is due.
    Wait,
    /// A job has failed. What is still out may have failed further back in the input.
    Failed,
    /// Nothing is left in flight.
    Idle,
}

/// One stream under way, from its reservation to its publish. Dropped before that, it stops what is out and waits for it.
pub(crate) struct Line<'a, S: StreamingSink, C> {
    pub(crate) committed: Committed,
    pub(crate) buffers: Buffers,
    settings: Settings<'a>,
    work: Work,
    guard: Guard<S>,
    positioned: Option<Arc<dyn PositionedWrite>>,
    holds: bool,
    flights: VecDeque<InFlight<C>>,
    mailbox: Arc<Mailbox<Outcome>>,
    outstanding: usize,
    outstanding_max: usize,
    lease: Lease,
    failed: Option<Outcome>,
    abort: CancelToken,
    inline: bool,
    sync: Option<SyncThread>,
}

impl<'a, S: StreamingSink, C> Line<'a, S, C> {
    /// Takes the stream's minimum from the budget, waiting for it while holding nothing. The stream goes on at `start`.
    pub(crate) fn new<E>(
        sink: S,
        settings: Settings<'a>,
        work: Work,
        start: Committed,
    ) -> Result<Line<'a, S, C>, StreamError<E>> {
        assert!(start.durable_len <= start.sink_len, "what is durable has committed");
        let guard = Guard::new(sink, start.segments);
        let visibility = if work == Work::Seal { Visibility::Private } else { guard.profile().visibility };
        let holds = settings.release.holds(settings.frame_len, visibility) && work == Work::Open;
        // A held segment must not be written by its jobs, wherever the sink could take it.
        let positioned = if holds { None } else { guard.positioned() };
        let pool = settings.executor.pool();
        let on_pool = pool.is_some_and(Pool::is_current);
        let caller = if on_pool { Caller::OnPool } else { Caller::Elsewhere };
        let own = guard.profile().reserve_bytes;
        let mut lease = reserve(&settings, holds, own, caller)?;
        assert!(lease.try_take(own), "the minimum has room for what the sink needs for itself");
        let sync = SyncThread::start(guard.durability(), settings.durability, &start, settings.cancel)?;
        Ok(Line {
            committed: start,
            buffers: Buffers::new(settings.demand.run_len, settings.budget),
            inline: pool.is_none() || on_pool,
            outstanding_max: pool
                .map_or(1, |_| RUNS_PER_THREAD * settings.executor.threads() + RUNS_IN_RESERVE),
            settings,
            work,
            guard,
            positioned,
            holds,
            flights: VecDeque::new(),
            mailbox: Arc::new(Mailbox::new()),
            outstanding: 0,
            lease,
            failed: None,
            abort: CancelToken::new(),
            sync,
        })
    }

    /// Takes in what jobs have left, then says what to do. `fed` says that the feed has no more.
    pub(crate) fn turn<E>(&mut self, fed: bool, credit: &mut Credit) -> Result<Turn, StreamError<E>> {
        let durable = self.look()?;
        self.note_durable(durable);
        if self.failed.is_some() {
            return Ok(Turn::Failed);
        }
        let room = self.flights.len() < SEGMENTS_IN_FLIGHT_MAX && self.outstanding < self.outstanding_max;
        if !fed && room && (credit.taken || self.take_credit(credit)) {
            return Ok(Turn::Feed);
        }
        if self.outstanding > 0 {
            return Ok(Turn::Wait);
        }
        assert!(
            fed || self.flights.is_empty(),
            "with nothing outstanding, the minimum pays for the next run"
        );
        Ok(Turn::Idle)
    }

    /// A segment begins. Its number is wire data, so that a wrong one is a fault of the stream.
    pub(crate) fn begin<E>(&mut self, plan: SegmentPlan) -> Result<(), StreamError<E>> {
        let SegmentPlan { index, worker, digest, sink_offset, head } = plan;
        self.look()?;
        if index.0 != self.committed.segments + self.flights.len() as u64 {
            return Err(StreamError::Segment { segment: index, fault: SegmentFault::Chain });
        }
        if let Some(sink) = &self.positioned
            && !head.is_empty()
        {
            sink.write_at(sink_offset, &head)
                .map_err(|source| StreamError::Sink { segment: index, source })?;
        }
        let sequencer = Sequencer::new(index, digest, self.settings.frame_len);
        let frames_end = sink_offset + head.len() as u64;
        let flight = Flight { index, worker, frames_end, sink_offset, head, held: Vec::new() };
        self.flights.push_back(InFlight { flight, sequencer, outstanding: 0, closing: None, lost: false });
        Ok(())
    }

    /// Sends a run of the segment that began last on its way, paid for by `credit`.
    pub(crate) fn submit(&mut self, run: Run, credit: &mut Credit) {
        assert!(std::mem::take(&mut credit.taken), "a run is paid for before it is read");
        assert!(run.input_len.max(run.output_len) <= self.settings.demand.run_len, "a run fits its buffers");
        let last = self.flights.back_mut().expect("a run belongs to a segment");
        last.outstanding += 1;
        last.flight.frames_end = run.sink_offset + run.output_len as u64;
        self.outstanding += 1;
        let job = Job {
            segment: last.flight.index,
            worker: last.flight.worker.clone(),
            run,
            work: self.work,
            sink: self.positioned.clone(),
            buffers: self.buffers.clone(),
            stops: [self.settings.cancel.clone(), self.abort.clone()],
        };
        let mailbox = self.mailbox.clone();
        match self.settings.executor.pool() {
            Some(pool) if !self.inline => {
                let budget = self.settings.budget.clone();
                budget.leave(move || mailbox.post(job.perform()));
                pool.spawn(move || _ = budget.do_one());
            }
            _ => mailbox.post(job.perform()),
        }
    }

    /// The segment that began last has all its runs.
    pub(crate) fn close(&mut self, closing: C) {
        self.flights.back_mut().expect("a close belongs to a segment").closing = Some(closing);
    }

    /// Takes in the results that are there.
    pub(crate) fn collect<E>(&mut self) -> Result<(), StreamError<E>> {
        while let Some(outcome) = self.mailbox.try_take() {
            self.take_in(outcome)?;
        }
        self.emit()
    }

    /// Waits until half of what is out has come back, which is one result at least, and takes the first in. The other half
    /// keeps the threads busy meanwhile. Where this thread may do jobs itself, it does one in place of waiting.
    pub(crate) fn wait<E>(&mut self) -> Result<(), StreamError<E>> {
        assert!(self.outstanding > 0, "a result is due");
        if matches!(self.settings.executor, Executor::PoolAndCaller(_)) && self.settings.budget.do_one() {
            return Ok(());
        }
        let outcome = self.mailbox.take(self.outstanding.div_ceil(2));
        self.take_in(outcome)
    }

    /// The oldest segment, if all of it is there.
    pub(crate) fn pop_closed(&mut self) -> Option<Closed<C>> {
        let front = self.flights.front_mut().filter(|front| front.outstanding == 0 && !front.lost)?;
        let closing = front.closing.take()?;
        let InFlight { flight, sequencer, .. } = self.flights.pop_front()?;
        Some(Closed { flight, sequencer, closing })
    }

    /// Commits a segment on its proof: what is held goes out first, then `tail`. The next one's bytes may follow.
    pub(crate) fn commit<E>(
        &mut self,
        mut flight: Flight,
        proof: Verified,
        tail: &[u8],
        after: Committed,
    ) -> Result<(), StreamError<E>> {
        let segment = flight.index;
        self.write_rest(&mut flight, tail)?;
        self.look()?;
        let mark = proof.mark.clone();
        self.guard.commit(proof).map_err(|source| StreamError::Commit { segment, source })?;
        self.committed = after;
        let posted = self.sync.as_ref().map_or(Ok(after.durable_len), |sync| sync.post(&after, mark));
        self.committed.durable_len = posted.as_ref().map_or(after.durable_len, |durable| *durable);
        // It has committed, whatever became of its sync.
        (self.settings.observe)(&self.committed);
        self.heed(posted)?;
        // The next segment is the oldest now. What has come of it must not keep its credit until a result arrives:
        // there may be none due.
        self.emit()
    }

    /// Writes what stands behind the last segment, which has committed before. No commit follows that would say where an
    /// ordered sink's bytes belong, so that only positions can take them.
    pub(crate) fn append<E>(&mut self, bytes: &[u8]) -> Result<(), StreamError<E>> {
        self.look()?;
        let at = self.committed.sink_len;
        let written = match &self.positioned {
            Some(sink) => sink.write_at(at, bytes),
            None => Err(io::Error::new(io::ErrorKind::Unsupported, NO_POSITION)),
        };
        let segment = SegmentIndex(self.committed.segments.saturating_sub(1));
        written.map_err(|source| StreamError::Sink { segment, source })?;
        self.committed.sink_len += bytes.len() as u64;
        Ok(())
    }

    /// Whether every segment that has begun has committed.
    pub(crate) fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    /// Publishes the whole. Nothing is in flight any more.
    pub(crate) fn publish<E>(mut self, proof: Complete) -> Result<(), StreamError<E>> {
        assert!(self.outstanding == 0 && self.flights.is_empty(), "all segments have committed");
        if let Some(sync) = self.sync.take() {
            let durable = self.heed(sync.stop())?;
            self.note_durable(durable);
            self.look()?;
        }
        self.guard.publish(proof).map_err(StreamError::Publish)
    }

    /// The checkpoint of a commit.
    pub(crate) fn mark(&self, committed: &Committed) -> Checkpoint {
        (self.settings.mark)(committed)
    }

    /// Takes in everything that is out.
    pub(crate) fn wait_for_all<E>(&mut self) -> Result<(), StreamError<E>> {
        while self.outstanding > 0 {
            self.wait()?;
        }
        Ok(())
    }

    /// The failure of a job, of several that of the one furthest back in the input. All that was out has been taken in.
    pub(crate) fn failure<E>(&mut self) -> Option<StreamError<E>> {
        self.failed.take().and_then(Outcome::into_error)
    }

    /// Before every call on the sink, so that none begins after a cancellation or a failed sync that has been seen. Gives
    /// the bytes that are durable.
    fn look<E>(&mut self) -> Result<u64, StreamError<E>> {
        if self.settings.cancel.is_cancelled() {
            return Err(StreamError::Cancelled);
        }
        let durable = self.sync.as_ref().map_or(Ok(self.committed.durable_len), SyncThread::look);
        self.heed(durable)
    }

    /// A failed sync ends the sink: it is not even asked to roll back.
    fn heed<E>(&mut self, durable: Result<u64, SyncFailed>) -> Result<u64, StreamError<E>> {
        durable.map_err(|failed| {
            self.guard.poison();
            failed.into()
        })
    }

    /// Reports what has become durable since the last commit, also while the source idles.
    fn note_durable(&mut self, durable: u64) {
        if durable > self.committed.durable_len {
            self.committed.durable_len = durable;
            (self.settings.observe)(&self.committed);
        }
    }

    fn take_credit(&mut self, credit: &mut Credit) -> bool {
        credit.taken = self.lease.try_take(2 * self.settings.demand.run_len);
        credit.taken
    }

    fn take_in<E>(&mut self, outcome: Outcome) -> Result<(), StreamError<E>> {
        let segment = outcome.segment;
        let base = self.flights.front().expect("a result belongs to a segment in flight").flight.index.0;
        let owner = &mut self.flights[(segment.0 - base) as usize];
        owner.outstanding -= 1;
        self.outstanding -= 1;
        let run = match outcome {
            Outcome { result: Ok(run), .. } => run,
            failed => {
                owner.lost = true;
                self.note(failed);
                return Ok(());
            }
        };
        let run_len = self.settings.demand.run_len;
        self.lease.give(if run.output.is_some() { run_len } else { 2 * run_len });
        owner.sequencer.accept(run).map_err(|fault| StreamError::Segment { segment, fault })
    }

    /// Keeps the failure furthest back in the input. A job that was stopped has not failed by itself.
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
        for InFlight { flight, sequencer, .. } in &mut self.flights {
            let segment = flight.index;
            let fault = |fault| StreamError::Segment { segment, fault };
            while let Some(OpenedRun { output, .. }) = sequencer.pop().map_err(fault)? {
                flight.held.extend(output);
            }
        }
        if self.holds || self.positioned.is_some() {
            return Ok(());
        }
        let Some(mut front) = self.flights.pop_front() else { return Ok(()) };
        let written = self.write_out(&mut front.flight);
        self.flights.push_front(front);
        written
    }

    fn write_rest<E>(&mut self, flight: &mut Flight, tail: &[u8]) -> Result<(), StreamError<E>> {
        let sink = self.positioned.clone();
        if sink.is_none() {
            self.write_out(flight)?;
        }
        self.look()?;
        let written = match sink {
            _ if tail.is_empty() => Ok(()),
            Some(sink) => sink.write_at(flight.frames_end, tail),
            None => self.guard.write(flight.frames_end, tail),
        };
        written.map_err(|source| StreamError::Sink { segment: flight.index, source })
    }

    /// Ordered mode: writes what of the oldest segment is in order.
    fn write_out<E>(&mut self, flight: &mut Flight) -> Result<(), StreamError<E>> {
        let segment = flight.index;
        let refused = |source| StreamError::Sink { segment, source };
        self.look()?;
        if !self.guard.is_open() {
            self.guard.begin(flight.sink_offset).map_err(refused)?;
        }
        if !flight.head.is_empty() {
            self.guard.write(flight.sink_offset, &std::mem::take(&mut flight.head)).map_err(refused)?;
        }
        for output in flight.held.drain(..) {
            if output.len > 0 {
                self.look()?;
                self.guard.write(output.sink_offset, &output.buffer[..output.len]).map_err(refused)?;
            }
            self.buffers.give(output.buffer);
            self.lease.give(self.settings.demand.run_len);
        }
        Ok(())
    }
}

impl<S: StreamingSink, C> Drop for Line<'_, S, C> {
    /// Nothing of a stream happens after its orchestrator has returned: jobs still out are stopped and waited for, so is
    /// a sync that runs, and only then is the sink dropped.
    fn drop(&mut self) {
        self.abort.cancel();
        while self.outstanding > 0 {
            self.outstanding -= 1;
            self.mailbox.take(1);
        }
        match self.sync.take().map(SyncThread::stop) {
            Some(Ok(durable)) if !thread::panicking() => self.note_durable(durable),
            Some(Err(_)) => self.guard.poison(),
            _ => {}
        }
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
    caller: Caller,
) -> Result<Lease, StreamError<E>> {
    let Demand { run_len, runs_per_segment } = settings.demand;
    let held = if holds { run_len.saturating_mul(runs_per_segment) } else { 0 };
    let needed = held.saturating_add(run_len.saturating_mul(2)).saturating_add(own);
    let total = settings.budget.total();
    if needed > total {
        return Err(StreamError::Budget { needed, total });
    }
    settings.budget.reserve(needed, caller, settings.cancel).ok_or(StreamError::Cancelled)
}

const NO_POSITION: &str =
    "what is left of this stream lies behind its last segment, and the sink takes no bytes there";
/// So many runs a thread are out at once: one that is worked on, one that waits for the thread.
const RUNS_PER_THREAD: usize = 2;
/// And so many beyond, so that no thread idles while the orchestrator is elsewhere.
const RUNS_IN_RESERVE: usize = 2;
/// Segments that may be in flight at once. It bounds the fragments that wait for one slow run.
const SEGMENTS_IN_FLIGHT_MAX: usize = 64;
