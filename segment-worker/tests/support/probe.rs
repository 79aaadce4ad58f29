//! A sink that keeps what it is given, notes every call, and does to it what the test wants.
//! It has no opinion: whether a call was right is judged afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use contract::{Checkpoint, CommitError, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt};
use parking_lot::Mutex;

/// What a sink is asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Call {
    Begin,
    Write,
    RollBack,
    Confirm,
    Commit,
    Publish,
}

/// One call: which, the how many-eth of its kind, and where in the sink.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) call: Call,
    pub(crate) nth: usize,
    pub(crate) at: u64,
}

/// What kind of sink a probe is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Positioned,
    Ordered,
    /// Ordered, and others see its bytes at once.
    Seen,
}

impl Kind {
    pub(crate) const ALL: [Kind; 3] = [Kind::Positioned, Kind::Ordered, Kind::Seen];
}

/// The sink.
pub(crate) struct Probe {
    shared: Arc<Shared>,
    kind: Kind,
    pub(crate) reserve_bytes: usize,
    pub(crate) durability: Option<Arc<dyn SyncTo>>,
}

/// What a probe has seen.
#[derive(Clone)]
pub(crate) struct Report(Arc<Shared>);

struct Shared {
    notes: Mutex<Notes>,
    on_call: Box<dyn Fn(Event) -> io::Result<()> + Send + Sync>,
}

#[derive(Default)]
struct Notes {
    counts: BTreeMap<Call, usize>,
    log: Vec<Call>,
    writes: BTreeMap<u64, Vec<u8>>,
    rewrites: usize,
    addresses: BTreeSet<usize>,
    checkpoints: Vec<u64>,
    published: Option<u64>,
    running: usize,
    dropped: bool,
    late: usize,
    /// What it has of an earlier attempt, if it keeps bytes.
    kept: Option<Vec<u8>>,
    /// Segments and bytes that an earlier sink has.
    before: (u64, u64),
}

impl Probe {
    pub(crate) fn new(kind: Kind) -> (Probe, Report) {
        Probe::watched(kind, |_| Ok(()))
    }

    /// The same sink, which goes on behind `segments` segments of `len` bytes.
    pub(crate) fn going_on_behind(self, segments: u64, len: u64) -> Probe {
        self.shared.notes.lock().before = (segments, len);
        self
    }

    /// The same sink, which has kept `bytes`: claims, from the first byte on.
    pub(crate) fn keeping(self, bytes: Vec<u8>) -> Probe {
        self.shared.notes.lock().kept = Some(bytes);
        self
    }

    /// `on_call` is told of each call before it is done, and decides whether it succeeds.
    pub(crate) fn watched(
        kind: Kind,
        on_call: impl Fn(Event) -> io::Result<()> + Send + Sync + 'static,
    ) -> (Probe, Report) {
        let shared = Arc::new(Shared { notes: Mutex::default(), on_call: Box::new(on_call) });
        (Probe { shared: shared.clone(), kind, reserve_bytes: 0, durability: None }, Report(shared))
    }
}

impl Report {
    /// What was published, without what was there before.
    pub(crate) fn published(&self) -> Option<Vec<u8>> {
        let notes = self.0.notes.lock();
        let len = notes.published?;
        assert_eq!(notes.rewrites, 0, "no byte of what is published is written twice");
        let mut whole = Vec::new();
        let before = notes.before.1;
        for (at, bytes) in &notes.writes {
            assert_eq!(*at, before + whole.len() as u64, "bytes are written once, without holes");
            whole.extend(bytes);
        }
        assert_eq!(len, before + whole.len() as u64, "what is published is what was written");
        Some(whole)
    }

    /// Segments that have committed.
    pub(crate) fn commits(&self) -> u64 {
        self.0.notes.lock().checkpoints.len() as u64
    }

    pub(crate) fn count(&self, call: Call) -> usize {
        self.0.notes.lock().counts.get(&call).copied().unwrap_or(0)
    }

    /// The calls in their order.
    pub(crate) fn log(&self) -> Vec<Call> {
        self.0.notes.lock().log.clone()
    }

    /// How many buffers bytes came in.
    pub(crate) fn buffers_seen(&self) -> BTreeSet<usize> {
        self.0.notes.lock().addresses.clone()
    }

    /// What holds of every stream once it has returned: nothing of it is still running, its sink is gone, and its
    /// segments committed in order, each once.
    pub(crate) fn assert_over(&self) {
        let notes = self.0.notes.lock();
        assert!(notes.dropped, "the sink is gone");
        assert_eq!(
            (notes.running, notes.late),
            (0, 0),
            "no job is running, and none wrote to a sink that is gone"
        );
        let before = notes.before.0;
        let due = (before + 1)..=(before + notes.checkpoints.len() as u64);
        assert!(notes.checkpoints.iter().copied().eq(due), "in order: {:?}", notes.checkpoints);
    }

    /// The same of a stream that failed: and nothing was published.
    pub(crate) fn assert_unpublished(&self) {
        self.assert_over();
        assert_eq!(self.published(), None);
    }
}

impl Shared {
    fn call(&self, call: Call, at: u64) -> io::Result<()> {
        let nth = {
            let mut notes = self.notes.lock();
            notes.late += usize::from(notes.dropped);
            notes.log.push(call);
            let count = notes.counts.entry(call).or_default();
            *count += 1;
            *count - 1
        };
        (self.on_call)(Event { call, nth, at })
    }

    fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        let _running = Running::start(self);
        self.call(Call::Write, at)?;
        let mut notes = self.notes.lock();
        notes.addresses.insert(data.as_ptr().addr());
        let before = notes.writes.insert(at, data.to_vec());
        notes.rewrites += usize::from(before.is_some());
        Ok(())
    }
}

impl WriteAt for Shared {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.write(at, data)
    }
}

/// Counts a write for as long as it runs, however it ends.
struct Running<'a>(&'a Shared);

impl<'a> Running<'a> {
    fn start(shared: &'a Shared) -> Running<'a> {
        shared.notes.lock().running += 1;
        Running(shared)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.notes.lock().running -= 1;
    }
}

impl StreamingSink for Probe {
    fn capabilities(&self) -> SinkCapabilities {
        let visibility = if self.kind == Kind::Seen { Visibility::Visible } else { Visibility::Private };
        SinkCapabilities::new(visibility).reserve_bytes(self.reserve_bytes)
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
    }

    fn confirm_segment(&mut self, index: u64, at: u64, len: u64) -> io::Result<()> {
        self.shared.call(Call::Confirm, at)?;
        let mut notes = self.shared.notes.lock();
        assert_eq!(index, notes.before.0 + notes.checkpoints.len() as u64, "the next segment is confirmed");
        let kept = notes.kept.as_ref().and_then(|kept| kept.get(at as usize..(at + len) as usize));
        let bytes = kept.ok_or(io::ErrorKind::Unsupported)?.to_vec();
        let before = notes.writes.insert(at, bytes);
        notes.rewrites += usize::from(before.is_some());
        Ok(())
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        let notes = self.shared.notes.lock();
        assert_eq!(index, notes.before.0 + notes.checkpoints.len() as u64, "the next segment begins");
        drop(notes);
        self.shared.call(Call::Begin, at)
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        let notes = self.shared.notes.lock();
        let end = notes.writes.last_key_value().map_or(notes.before.1, |(at, data)| at + data.len() as u64);
        drop(notes);
        assert_eq!(at, end, "an ordered write begins where the one before ended");
        self.shared.write(at, data)
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        self.shared.call(Call::RollBack, 0)
    }

    fn commit_segment(&mut self, checkpoint: &Checkpoint) -> Result<(), CommitError> {
        self.shared.call(Call::Commit, 0).map_err(CommitError::NotCommitted)?;
        let segments = checkpoint.to_bytes().first_chunk().copied().map(u64::from_le_bytes).unwrap();
        self.shared.notes.lock().checkpoints.push(segments);
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.shared.call(Call::Publish, 0).map_err(CommitError::NotCommitted)?;
        let mut notes = self.shared.notes.lock();
        assert_eq!(notes.running, 0, "no write is running at publish");
        notes.published = Some(plain_len);
        Ok(())
    }

    fn discard(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        (self.kind == Kind::Positioned).then(|| self.shared.clone() as Arc<dyn WriteAt>)
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        self.durability.clone()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let mut notes = self.shared.notes.lock();
        notes.dropped = true;
        notes.late += notes.running;
    }
}
