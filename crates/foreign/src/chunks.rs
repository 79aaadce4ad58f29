//! What every format has in common: chunks that lie one behind the other, each of which opens by itself.
//! It knows no format and no key.

use std::fmt;

use crate::Fault;

/// Opens the chunks of one stream, in any order, on any thread.
pub trait Chunks: Send + Sync {
    /// The most bytes that a chunk has. Buffers are made for these, so they are within limits: plaintext within 4 MiB.
    fn longest(&self) -> ChunkLens;

    /// Opens `wire`, which is all of `chunk`, into all of `plaintext`.
    ///
    /// # Errors
    /// What is wrong with the chunk, in words that follow its name ("fails authentication"). `plaintext` then holds nothing of use.
    fn open(&self, chunk: &Chunk, wire: &[u8], plaintext: &mut [u8]) -> Result<(), &'static str>;

    /// Where in `payload_len` bytes of chunks the mark of the last is, in a format that knows only there whether it proves the whole.
    fn mark(&self, payload_len: u64) -> Option<Mark> {
        let _ = payload_len;
        None
    }

    /// What the bytes at the [mark](Chunks::mark) let be claimed. They have not been authenticated: it is an early word, and no proof.
    fn claim_at(&self, mark: &[u8]) -> Wholeness {
        let _ = mark;
        Wholeness::Proved
    }

    /// How `payload_len` bytes of chunks lie, in a format where that is arithmetic and all that there is to check of them as a whole. Others
    /// are cut in order.
    ///
    /// # Errors
    /// No stream has this length.
    fn layout(&self, payload_len: u64) -> Option<Result<Layout, Fault>> {
        let _ = payload_len;
        None
    }

    /// How they lie for whoever reads some of them at their places, in a format that binds each to its place.
    ///
    /// # Errors
    /// As [`Chunks::layout`].
    fn layout_of_reads(&self, payload_len: u64) -> Option<Result<Layout, Fault>> {
        self.layout(payload_len)
    }
}

/// Bytes of a chunk, sealed and not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkLens {
    /// As it lies in the stream, with all that belongs to it.
    pub wire: usize,
    /// Opened.
    pub plaintext: usize,
}

/// One chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// Which one, from 0.
    pub index: u64,
    /// Whether the stream ends with it.
    pub last: bool,
    /// Its bytes.
    pub lens: ChunkLens,
}

/// Chunks of one length each, but for the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// How many there are; one at least.
    pub chunks: u64,
    /// Those before the last.
    pub full: ChunkLens,
    /// The last.
    pub last: ChunkLens,
}

impl Layout {
    /// Plaintext bytes of all chunks.
    pub fn plaintext_len(&self) -> u64 {
        (self.chunks - 1) * self.full.plaintext as u64 + self.last.plaintext as u64
    }

    /// Chunk `index`, which there is.
    pub fn chunk(&self, index: u64) -> Chunk {
        let last = index + 1 == self.chunks;
        Chunk { index, last, lens: if last { self.last } else { self.full } }
    }

    /// Where chunk `index` begins, in bytes from the first chunk.
    pub fn wire_offset(&self, index: u64) -> u64 {
        index * self.full.wire as u64
    }

    /// Where the plaintext of chunk `index` begins.
    pub fn plaintext_offset(&self, index: u64) -> u64 {
        index * self.full.plaintext as u64
    }
}

/// Where a format that marks its last chunk has that mark, in a stream that lies at hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Where the last chunk begins, in bytes from the first.
    pub offset: u64,
    /// How many bytes of it say whether it is marked.
    pub len: usize,
}

/// Says where each chunk ends, in order. It may keep what it has seen.
pub trait Cutter: Send {
    /// What the stream's next bytes, `ahead`, begin with. `is_all` says that nothing follows them.
    ///
    /// # Errors
    /// That is no chunk, or none that may stand there.
    fn cut(&mut self, ahead: &[u8], is_all: bool) -> Result<Cut, Fault>;

    /// What can be said of the whole, once it has been cut to its end.
    fn claim(&self) -> Wholeness;
}

/// What comes next in a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// It takes this many bytes in all to say; never asked for where nothing follows.
    More(usize),
    /// A chunk. It has passed once this is said.
    Chunk(Chunk),
    /// So many bytes without plaintext, which have been checked.
    Pass(usize),
    /// The end: nothing may follow.
    End,
}

/// What a stream that has been opened to its end shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wholeness {
    /// That it is whole, and as it was sealed.
    Proved,
    /// Less: what is missing for that, in words.
    Asserted(&'static str),
}

impl fmt::Debug for dyn Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").field("longest", &self.longest()).finish_non_exhaustive()
    }
}

impl fmt::Debug for dyn Cutter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cutter").finish_non_exhaustive()
    }
}
