//! A sink over a bounded ring in memory, and the reader on the other side of it.
//! Knows nothing of threads but that the reader has one of its own.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, Read},
    sync::Arc,
};

use contract::{
    Checkpoint, CommitError, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt,
    cursor::{Committed, Cursor},
};
use parking_lot::{Condvar, Mutex, MutexGuard};

/// Holds a segment until it commits, and hands committed bytes to a [`RingReader`].
///
/// Its class is *incremental*: what has committed can be read at once, and the reader must come to the end of the
/// stream before it relies on the whole. The end is clean only after publish. Drop, discard and every error end the
/// reader's stream with an error, after the bytes that had committed.
///
/// Tentative bytes are in the ring and out of the reader's reach: the profile says [`Visibility::Private`], the engine
/// writes frames as soon as they are authentic, and a segment is held here and nowhere else. What counts as the target in
/// the contract is the stream *with its end*: before publish there is none.
///
/// A write waits while the ring is full of bytes that wait for the reader, however long that takes. A reader that is
/// dropped ends the wait and the sink: [`io::ErrorKind::BrokenPipe`]. The reader needs a thread of its own.
pub struct RingSink {
    shared: Arc<Shared>,
    cursor: Cursor,
}

/// Reads what a [`RingSink`] has committed, in order, and waits for more until the sink publishes.
///
/// After publish and the last byte a read gives 0, the end. If the sink ended otherwise, every read after the last
/// committed byte is [`io::ErrorKind::ConnectionAborted`].
pub struct RingReader {
    shared: Arc<Shared>,
}

impl RingSink {
    /// A ring of `capacity` bytes, and its reader. A segment longer than that is refused at its first excess byte:
    /// pass at least the stream's segment length, better twice that, so that one segment can be read while another is
    /// written.
    ///
    /// # Errors
    /// There is no memory for it ([`io::ErrorKind::OutOfMemory`]).
    pub fn new(capacity: usize) -> io::Result<(Self, RingReader)> {
        let mut bytes = VecDeque::new();
        bytes.try_reserve_exact(capacity).map_err(|_| {
            io::Error::new(io::ErrorKind::OutOfMemory, format!("no memory for a ring of {capacity} bytes"))
        })?;
        let ring = Ring { capacity, bytes, committed: 0, end: End::Open };
        let shared = Arc::new(Shared { ring: Mutex::new(ring), changed: Condvar::new() });
        Ok((Self { shared: shared.clone(), cursor: Cursor::default() }, RingReader { shared }))
    }

    /// Ends the stream as one that is not whole.
    fn break_off(&self) {
        let mut ring = self.shared.ring.lock();
        if ring.end == End::Open {
            ring.end = End::Broken;
            ring.cut_open();
        }
        self.shared.changed.notify_all();
    }

    fn check_publish(&self, plain_len: u64) -> io::Result<()> {
        self.cursor.check_closed()?;
        let committed = self.cursor.committed_end();
        match committed == plain_len {
            true => Ok(()),
            false => {
                let message = format!("publishing {plain_len} bytes where {committed} have committed");
                Err(io::Error::new(io::ErrorKind::InvalidInput, message))
            }
        }
    }
}

impl StreamingSink for RingSink {
    fn capabilities(&self) -> SinkCapabilities {
        // Constant since the ring was made.
        let capacity = self.shared.ring.lock().capacity;
        SinkCapabilities::new(Visibility::Private).reserve_bytes(capacity)
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.shared.ring.lock().check_open()?;
        self.cursor.begin(index, at)
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.cursor.write(at, data.len())?;
        self.shared.write(data).inspect_err(|_| self.break_off())
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        self.cursor.roll_back()?;
        let mut ring = self.shared.ring.lock();
        ring.check_open()?;
        ring.cut_open();
        Ok(())
    }

    fn commit_segment(&mut self, _mark: &Checkpoint) -> Result<(), CommitError> {
        let mut ring = self.shared.ring.lock();
        ring.check_open().map_err(CommitError::NotCommitted)?;
        if self.cursor.commit() == Committed::NothingOpen {
            let message = "a ring is written in order, and no segment is open";
            return Err(CommitError::NotCommitted(io::Error::new(io::ErrorKind::InvalidInput, message)));
        }
        ring.committed = ring.bytes.len();
        self.shared.changed.notify_all();
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.check_publish(plain_len).map_err(CommitError::NotCommitted)?;
        let mut ring = self.shared.ring.lock();
        ring.check_open().map_err(CommitError::NotCommitted)?;
        ring.end = End::Published;
        self.shared.changed.notify_all();
        Ok(())
    }

    fn discard(&mut self) -> io::Result<()> {
        self.break_off();
        Ok(())
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        None
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        None
    }
}

impl Drop for RingSink {
    fn drop(&mut self) {
        self.break_off();
    }
}

impl RingReader {
    /// Whether a read returns without waiting: with bytes, at the end, or with an error.
    pub fn is_ready(&self) -> bool {
        let ring = self.shared.ring.lock();
        ring.committed > 0 || ring.end != End::Open
    }
}

impl Read for RingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let mut ring = self.shared.ring.lock();
        while ring.committed == 0 {
            match ring.end {
                End::Open => self.shared.changed.wait(&mut ring),
                End::Published => return Ok(0),
                End::Broken | End::Abandoned => return Err(broken_off()),
            }
        }
        let count = ring.take(buffer);
        self.shared.changed.notify_all();
        Ok(count)
    }
}

impl Drop for RingReader {
    fn drop(&mut self) {
        let mut ring = self.shared.ring.lock();
        if ring.end == End::Open {
            ring.end = End::Abandoned;
        }
        ring.bytes = VecDeque::new();
        ring.committed = 0;
        self.shared.changed.notify_all();
    }
}

impl fmt::Debug for RingSink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RingSink").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

impl fmt::Debug for RingReader {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RingReader").finish_non_exhaustive()
    }
}

/// What the two sides share. Each change wakes whoever waits; there is one thread on either side.
struct Shared {
    ring: Mutex<Ring>,
    changed: Condvar,
}

impl Shared {
    /// Takes all of `data` into the open segment, a part at a time as the reader makes room.
    fn write(&self, mut data: &[u8]) -> io::Result<()> {
        let mut ring = self.ring.lock();
        ring.check_fits(data.len())?;
        loop {
            ring.check_open()?;
            data = ring.put(data);
            if data.is_empty() {
                return Ok(());
            }
            self.wait_for_room(&mut ring);
        }
    }

    /// The open segment fits the ring, so what fills it otherwise has committed and is the reader's to take.
    fn wait_for_room(&self, ring: &mut MutexGuard<'_, Ring>) {
        assert!(ring.committed > 0, "a full ring holds more than the open segment");
        self.changed.wait(ring);
    }
}

struct Ring {
    capacity: usize,
    /// What has committed and was not read, then the open segment's.
    /// It never grows: as much is put in as there is room for.
    bytes: VecDeque<u8>,
    /// How many of them have committed.
    committed: usize,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// More may come.
    Open,
    Published,
    /// The sink was dropped or discarded, or has failed.
    Broken,
    /// The reader was dropped.
    Abandoned,
}

impl Ring {
    fn check_open(&self) -> io::Result<()> {
        match self.end {
            End::Open => Ok(()),
            End::Abandoned => {
                Err(io::Error::new(io::ErrorKind::BrokenPipe, "the ring's reader has gone away"))
            }
            End::Published | End::Broken => {
                Err(io::Error::new(io::ErrorKind::BrokenPipe, "the ring is closed, or failed earlier"))
            }
        }
    }

    fn check_fits(&self, more: usize) -> io::Result<()> {
        let open = self.bytes.len() - self.committed;
        match open.checked_add(more).is_some_and(|segment| segment <= self.capacity) {
            true => Ok(()),
            false => {
                let message = format!(
                    "a segment of more than {} bytes does not fit the ring; make the ring as large as a segment",
                    self.capacity
                );
                Err(io::Error::new(io::ErrorKind::FileTooLarge, message))
            }
        }
    }

    /// Takes what there is room for, and gives back the rest.
    fn put<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let (now, later) = data.split_at(data.len().min(self.capacity - self.bytes.len()));
        self.bytes.extend(now);
        later
    }

    /// Moves committed bytes into `buffer`.
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let (front, _) = self.bytes.as_slices();
        let count = front.len().min(self.committed).min(buffer.len());
        buffer[..count].copy_from_slice(&front[..count]);
        self.bytes.drain(..count);
        self.committed -= count;
        count
    }

    fn cut_open(&mut self) {
        self.bytes.truncate(self.committed);
    }
}

fn broken_off() -> io::Error {
    let message = "the stream broke off before its end; what was read is not the whole";
    io::Error::new(io::ErrorKind::ConnectionAborted, message)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use testing::conformance::{SinkUnderTest, check_all};

    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint::from_bytes([3; Checkpoint::LEN])
    }

    fn segment(sink: &mut RingSink, index: u64, at: u64, data: &[u8]) {
        sink.begin_segment(index, at).unwrap();
        sink.write_tentative(at, data).unwrap();
        sink.commit_segment(&checkpoint()).unwrap();
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i % 251) as u8).collect()
    }

    /// A reader that never waits, and whether it has come to the end.
    struct Reading {
        reader: RingReader,
        bytes: Vec<u8>,
        ended: bool,
    }

    impl Reading {
        /// The stream with its end, once the end is there.
        fn target(&mut self) -> Option<Vec<u8>> {
            let mut buffer = [0; 10_000];
            while !self.ended && self.reader.is_ready() {
                match self.reader.read(&mut buffer) {
                    Ok(0) => self.ended = true,
                    Ok(count) => self.bytes.extend_from_slice(&buffer[..count]),
                    Err(_) => break,
                }
            }
            self.ended.then(|| self.bytes.clone())
        }
    }

    #[test]
    fn the_ring_keeps_the_contract() {
        let violations = check_all(&mut || {
            // Room for every stream of the suite: nobody reads while it is written.
            let (sink, reader) = RingSink::new(4 << 20).unwrap();
            let reading = Mutex::new(Reading { reader, bytes: Vec::new(), ended: false });
            SinkUnderTest::new(sink, move || reading.lock().target())
        });
        assert!(violations.is_empty(), "{violations:#?}");
    }

    #[test]
    fn a_reader_gets_the_stream_through_a_ring_of_one_segment_and_larger_ones() {
        let expected = pattern(300_000);
        for capacity in [10_000, 10_001, 25_000, 1_000_000] {
            for read_len in [1_000, 7_919, 400_000] {
                let (mut sink, mut reader) = RingSink::new(capacity).unwrap();
                let memory = sink.shared.ring.lock().bytes.capacity();
                let received = thread::spawn(move || {
                    let (mut bytes, mut buffer) = (Vec::new(), vec![0; read_len]);
                    loop {
                        match reader.read(&mut buffer).unwrap() {
                            0 => return bytes,
                            count => bytes.extend_from_slice(&buffer[..count]),
                        }
                    }
                });
                for (index, data) in expected.chunks(10_000).enumerate() {
                    segment(&mut sink, index as u64, index as u64 * 10_000, data);
                }
                assert_eq!(sink.shared.ring.lock().bytes.capacity(), memory);
                sink.publish(300_000).unwrap();
                assert!(received.join().unwrap() == expected, "{capacity}, {read_len}");
            }
        }
    }

    #[test]
    fn a_reader_sees_what_has_committed_and_nothing_else() {
        let (mut sink, mut reader) = RingSink::new(100).unwrap();
        segment(&mut sink, 0, 0, b"committed");
        sink.begin_segment(1, 9).unwrap();
        sink.write_tentative(9, b"wrong").unwrap();
        let mut buffer = [0; 100];
        assert_eq!(reader.read(&mut buffer).unwrap(), 9);
        assert_eq!(reader.shared.ring.lock().committed, 0);
        sink.rollback_segment().unwrap();
        segment(&mut sink, 1, 9, b", right");
        assert_eq!(reader.read(&mut buffer).unwrap(), 7);
        assert_eq!(&buffer[..7], b", right");
    }

    #[test]
    fn without_publish_the_end_is_an_error_behind_what_had_committed() {
        let ends: [fn(RingSink); 4] = [
            drop,
            |mut sink| sink.discard().unwrap(),
            |mut sink| assert!(matches!(sink.publish(10), Err(CommitError::NotCommitted(_)))),
            |mut sink| assert!(sink.write_tentative(14, &[1; 100]).is_err()),
        ];
        for end in ends {
            let (mut sink, mut reader) = RingSink::new(100).unwrap();
            segment(&mut sink, 0, 0, b"committed");
            sink.begin_segment(1, 9).unwrap();
            sink.write_tentative(9, b"wrong").unwrap();
            end(sink);
            let mut bytes = Vec::new();
            for _ in 0..2 {
                let error = reader.read_to_end(&mut bytes).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
            }
            assert_eq!(bytes, b"committed");
        }
    }

    #[test]
    fn a_reader_that_waits_is_woken_by_the_drop_and_a_writer_that_waits_by_the_readers() {
        let (sink, mut reader) = RingSink::new(10).unwrap();
        let waiting = thread::spawn(move || reader.read(&mut [0; 1]));
        drop(sink);
        assert_eq!(waiting.join().unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);

        let (mut sink, reader) = RingSink::new(10).unwrap();
        segment(&mut sink, 0, 0, &[1; 10]);
        sink.begin_segment(1, 10).unwrap();
        let waiting = thread::spawn(move || {
            let error = sink.write_tentative(10, &[2; 10]).unwrap_err();
            assert!(matches!(sink.commit_segment(&checkpoint()), Err(CommitError::NotCommitted(_))));
            error
        });
        drop(reader);
        assert_eq!(waiting.join().unwrap().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_segment_that_does_not_fit_is_refused_and_one_that_just_fits_is_not() {
        let (mut sink, mut reader) = RingSink::new(10).unwrap();
        segment(&mut sink, 0, 0, &[1; 10]);
        assert_eq!(reader.read(&mut [0; 20]).unwrap(), 10);
        sink.begin_segment(1, 10).unwrap();
        sink.write_tentative(10, &[2; 5]).unwrap();
        let error = sink.write_tentative(15, &[2; 6]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().contains("10 bytes"), "{error}");
    }
}
