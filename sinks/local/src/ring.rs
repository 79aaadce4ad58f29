//! A sink over a bounded ring of blocks in memory, and the reader on the other side of it.
//! Knows nothing of threads but that the reader has one of its own.

use std::{
    fmt,
    io::{self, Read},
    sync::Arc,
};

use contract::{
    Checkpoint, CommitError, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt,
    cursor::{Committed, Cursor},
};
use crossbeam_channel::{Receiver, Select, Sender, TryRecvError, bounded};

/// Holds a segment until it commits, and hands committed bytes to a [`RingReader`].
///
/// Its class is *incremental*: what has committed can be read at once, and the reader must come to the end of the
/// stream before it relies on the whole. The end is clean only after publish. Drop, discard and every error end the
/// reader's stream with an error, after the bytes that had committed.
///
/// Tentative bytes are in the ring and out of the reader's reach: its visibility is [`Visibility::Private`], the engine
/// writes frames as soon as they are authentic, and a segment is held here and nowhere else. What counts as the target in
/// the contract is the stream *with its end*: before publish there is none.
///
/// # Memory
///
/// The ring is a fixed number of blocks of one length, allocated once. A block is at the sink (unused, or part of the open
/// segment), on its way to the reader, with the reader, or on its way back. Each segment begins with a block of its own,
/// so it takes up to one block more than its length. There are at least 32 blocks, unless the ring is shorter than
/// 32 bytes, and none is longer than 1 MiB.
///
/// A write waits while every block holds bytes that wait for the reader, however long that takes. A reader that is
/// dropped ends the wait and the sink: [`io::ErrorKind::BrokenPipe`]. The reader needs a thread of its own.
pub struct RingSink {
    /// None once the sink is published, broken off, or failed.
    open: Option<Writer>,
    blocks: Blocks,
    cursor: Cursor,
}

/// Reads what a [`RingSink`] has committed, in order, and waits for more until the sink publishes.
///
/// After publish and the last byte a read gives 0, the end. If the sink ended otherwise, every read after the last
/// committed byte is [`io::ErrorKind::ConnectionAborted`].
pub struct RingReader {
    committed: Receiver<Message>,
    emptied: Sender<Vec<u8>>,
    /// The block that is being read, and how much of it was.
    block: Vec<u8>,
    taken: usize,
    published: bool,
}

impl RingSink {
    /// A ring of `capacity` bytes, rounded up to whole blocks, and its reader. A segment longer than `capacity` is refused
    /// at its first excess byte: pass at least the stream's segment length, better twice that, so that one segment can
    /// be read while another is written.
    ///
    /// # Errors
    /// There is no memory for it ([`io::ErrorKind::OutOfMemory`]).
    pub fn new(capacity: usize) -> io::Result<(Self, RingReader)> {
        let blocks = Blocks::of(capacity);
        let unused = blocks.allocate().map_err(|_| {
            io::Error::new(io::ErrorKind::OutOfMemory, format!("no memory for a ring of {capacity} bytes"))
        })?;
        // Neither channel can be full when something is sent: there are no more blocks, and one end of the stream.
        let (to_reader, committed) = bounded(blocks.count.saturating_add(1));
        let (to_sink, emptied) = bounded(blocks.count);
        let segment = Vec::with_capacity(blocks.count);
        let open = Writer { to_reader, emptied, unused, segment, segment_len: 0 };
        let sink = Self { open: Some(open), blocks, cursor: Cursor::default() };
        Ok((sink, RingReader { committed, emptied: to_sink, block: Vec::new(), taken: 0, published: false }))
    }

    /// Ends the stream as one that is not whole.
    fn break_off(&mut self) {
        self.open = None;
    }

    /// The sink's side, if there is a reader and the stream has not ended.
    fn check_open(&mut self) -> io::Result<&mut Writer> {
        let closed = "the ring is closed, or failed earlier";
        let writer = self.open.as_mut().ok_or_else(|| io::Error::new(io::ErrorKind::BrokenPipe, closed))?;
        writer.take_back()?;
        Ok(writer)
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

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        let blocks = self.blocks;
        let writer = self.check_open()?;
        let segment_len = writer.segment_len.checked_add(data.len());
        if segment_len.is_none_or(|len| len > blocks.capacity) {
            let message = format!(
                "a segment of more than {} bytes does not fit the ring; make the ring as large as a segment",
                blocks.capacity
            );
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        writer.write(data, blocks)
    }
}

impl StreamingSink for RingSink {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Private).reserve_bytes(self.blocks.count * self.blocks.len)
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.check_open()?;
        self.cursor.begin(index, at)
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.cursor.write(at, data.len())?;
        self.write(data).inspect_err(|_| self.break_off())
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        self.cursor.roll_back()?;
        self.check_open()?.roll_back();
        Ok(())
    }

    fn commit_segment(&mut self, _checkpoint: &Checkpoint) -> Result<(), CommitError> {
        self.check_open().map_err(CommitError::NotCommitted)?;
        if self.cursor.commit() == Committed::NothingOpen {
            let message = "a ring is written in order, and no segment is open";
            return Err(CommitError::NotCommitted(io::Error::new(io::ErrorKind::InvalidInput, message)));
        }
        self.check_open().and_then(Writer::commit).map_err(CommitError::NotCommitted)
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.check_publish(plain_len).map_err(CommitError::NotCommitted)?;
        let writer = self.check_open().map_err(CommitError::NotCommitted)?;
        let sent = writer.to_reader.send(Message::Published);
        sent.map_err(|_| CommitError::NotCommitted(reader_gone()))?;
        self.open = None;
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

impl RingReader {
    /// Whether a read returns without waiting: with bytes, at the end, or with an error.
    pub fn is_ready(&self) -> bool {
        let mut next = Select::new();
        next.recv(&self.committed);
        self.taken < self.block.len() || self.published || next.try_ready().is_ok()
    }

    /// Waits for a block, or for the end, which stays.
    fn wait(&self) -> io::Result<Message> {
        match self.published {
            true => Ok(Message::Published),
            false => self.committed.recv().map_err(|_| broken_off()),
        }
    }

    /// Moves bytes of the block into `buffer`, and gives the block back as soon as it is empty: the sink may wait for it.
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let left = &self.block[self.taken..];
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.taken += count;
        if self.taken == self.block.len() {
            // A sink that has ended wants no block.
            let _ = self.emptied.send(std::mem::take(&mut self.block));
            self.taken = 0;
        }
        count
    }
}

impl Read for RingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while count < buffer.len() {
            if self.block.is_empty() {
                let next = if count == 0 { Ok(self.wait()?) } else { self.committed.try_recv() };
                match next {
                    Ok(Message::Block(block)) => self.block = block,
                    Ok(Message::Published) => self.published = true,
                    Err(_) => {}
                }
            }
            if self.block.is_empty() {
                break;
            }
            count += self.take(&mut buffer[count..]);
        }
        Ok(count)
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

/// What goes to the reader. A sink that goes away without the second has broken off.
enum Message {
    /// Bytes of a committed segment, at least one.
    Block(Vec<u8>),
    Published,
}

/// How many blocks there are, and how long each is: `capacity` bytes, rounded up to whole blocks.
#[derive(Clone, Copy)]
struct Blocks {
    capacity: usize,
    count: usize,
    len: usize,
}

impl Blocks {
    fn of(capacity: usize) -> Blocks {
        let len = (capacity / BLOCKS_MIN).clamp(1, BLOCK_LEN_MAX);
        Blocks { capacity, count: capacity.div_ceil(len), len }
    }

    fn allocate(self) -> Result<Vec<Vec<u8>>, std::collections::TryReserveError> {
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(self.count)?;
        for _ in 0..self.count {
            let mut block = Vec::new();
            block.try_reserve_exact(self.len)?;
            blocks.push(block);
        }
        Ok(blocks)
    }
}

/// The sink's side of an open ring.
struct Writer {
    to_reader: Sender<Message>,
    /// Blocks that the reader has emptied.
    emptied: Receiver<Vec<u8>>,
    unused: Vec<Vec<u8>>,
    /// The open segment; all of its blocks but the last are full.
    segment: Vec<Vec<u8>>,
    segment_len: usize,
}

impl Writer {
    /// Takes back the blocks that were emptied, and sees whether the reader is still there.
    fn take_back(&mut self) -> io::Result<()> {
        loop {
            match self.emptied.try_recv() {
                Ok(block) => self.unused.push(block),
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(reader_gone()),
            }
        }
    }

    /// Takes all of `data`, which fits, into the open segment; waits for blocks as it needs them.
    fn write(&mut self, mut data: &[u8], blocks: Blocks) -> io::Result<()> {
        while !data.is_empty() {
            if self.segment_len == self.segment.len() * blocks.len {
                assert!(self.segment.len() < blocks.count, "a segment that fits the ring fits its blocks");
                let block = self.empty_block()?;
                self.segment.push(block);
            }
            let room = self.segment.len() * blocks.len - self.segment_len;
            let (now, later) = data.split_at(data.len().min(room));
            self.segment.last_mut().expect("a block with room").extend_from_slice(now);
            self.segment_len += now.len();
            data = later;
        }
        Ok(())
    }

    /// The open segment has less than all blocks. So if none is unused, the reader has one, or one is on its way to it.
    fn empty_block(&mut self) -> io::Result<Vec<u8>> {
        let mut block = match self.unused.pop() {
            Some(block) => block,
            None => self.emptied.recv().map_err(|_| reader_gone())?,
        };
        block.clear();
        Ok(block)
    }

    fn roll_back(&mut self) {
        self.unused.append(&mut self.segment);
        self.segment_len = 0;
    }

    fn commit(&mut self) -> io::Result<()> {
        self.segment_len = 0;
        for block in self.segment.drain(..) {
            self.to_reader.send(Message::Block(block)).map_err(|_| reader_gone())?;
        }
        Ok(())
    }
}

fn reader_gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the ring's reader has gone away")
}

fn broken_off() -> io::Error {
    let message = "the stream broke off before its end; what was read is not the whole";
    io::Error::new(io::ErrorKind::ConnectionAborted, message)
}

/// Blocks of any ring that is long enough: what one segment leaves unused is at most this part of it.
const BLOCKS_MIN: usize = 32;
/// Bytes of a block: long enough that handing one over costs little beside copying it.
const BLOCK_LEN_MAX: usize = 1 << 20;
const _: () = assert!(BLOCKS_MIN > 0 && BLOCK_LEN_MAX > 0);

#[cfg(test)]
mod tests {
    use std::thread;

    use parking_lot::Mutex;
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
                let memory = sink.capabilities().reserve_bytes;
                assert!(
                    (capacity..capacity + capacity / BLOCKS_MIN).contains(&memory),
                    "{capacity}: {memory}"
                );
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
                let (len, writer) = (sink.blocks.len, sink.check_open().unwrap());
                assert!(writer.unused.iter().all(|block| block.capacity() == len), "a block has grown");
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
        assert!(!reader.is_ready());
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

    #[test]
    fn a_segment_begins_with_a_block_of_its_own_so_short_ones_fit_as_long_as_there_are_blocks() {
        let (mut sink, mut reader) = RingSink::new(100 * BLOCKS_MIN).unwrap();
        for index in 0..BLOCKS_MIN as u64 {
            segment(&mut sink, index, index, &[1]);
        }
        let mut buffer = [0; 2 * BLOCKS_MIN];
        assert_eq!(reader.read(&mut buffer).unwrap(), BLOCKS_MIN);
        // All blocks are back: the longest segment there can be finds room.
        let at = BLOCKS_MIN as u64;
        segment(&mut sink, at, at, &[2; 100 * BLOCKS_MIN]);
        sink.publish(101 * at).unwrap();
        assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap(), 100 * at);
    }
}
