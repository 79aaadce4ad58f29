//! The plaintext of a stream of another format at any place, where its chunks are of one length.
//! It knows no sink. It says that bytes are authentic and at their place, not that all others are there.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use cofferdam_io::ReadAt;
use foreign::{Chunks, Detected, Format, Layout};
use segment_worker::{Lease, StreamError};
use sources::Source;

use super::head;
use super::open::layout_of_reads;
use super::peeked_source::PeekedSource;
use crate::open::{OpenOptions, of_place};
use crate::resources::Resources;
use crate::{Error, ErrorKind, Remedy, index, memory};

/// The plaintext of a stream of another format, by [`Read`] and [`Seek`]. It opens the chunks that a read needs, and keeps those of the last one.
///
/// These bytes were sealed by someone with the stream's key, for this place of it. The last chunk was opened when the reader was made, so that
/// the length is the stream's; that the chunks between are there and unchanged is not looked at.
pub struct ForeignReader {
    place: Arc<dyn ReadAt>,
    begin: u64,
    layout: Layout,
    chunks: Arc<dyn Chunks>,
    format: Format,
    resources: Resources,
    position: u64,
    /// Plaintext of a run, and where it begins.
    cached: Vec<u8>,
    cached_at: u64,
    wire: Vec<u8>,
    per_run: u64,
    _lease: Lease,
}

impl OpenOptions<'_> {
    /// As [`OpenOptions::reader`], of a stream of another format.
    ///
    /// # Errors
    /// As of a stream that is opened, for its head and its last chunk; [`ErrorKind::Usage`] where the source has no offsets, or the
    /// format has none; [`ErrorKind::NotAStream`] of what is of no other format.
    pub fn foreign_reader(&self, source: impl Source) -> Result<ForeignReader, Error> {
        self.resources.check()?;
        let place = source.positioned();
        let reader = match (place.clone(), PeekedSource::peek(source, self.resources)?.1) {
            (Some(place), Some(Detected::Binary(format))) => self.read_chunks_of(place, format),
            (_, Some(detected)) => Err(in_order_only(detected)),
            (_, None) => {
                Err(Error::new(ErrorKind::NotAStream, "this is no stream of another format that is known"))
            }
        };
        reader.map_err(|error| of_place(error, place))
    }

    fn read_chunks_of(&self, place: Arc<dyn ReadAt>, format: Format) -> Result<ForeignReader, Error> {
        self.refuse_what_foreign_streams_lack(format)?;
        let resources = self.resources;
        let identities = self.identities.ok_or_else(|| {
            Error::new(ErrorKind::NoKey, "without a key a stream can be verified and not read")
        })?;
        let opened = head::open_at(&*place, format, identities, resources)?;
        let layout = layout_of_reads(&*place, &opened, resources)?;
        let budget = resources.budget();
        let plan = resources.plan_chunks(layout.full, &budget, Some(layout.plaintext_len()), 0);
        let needed = 2 * plan.demand.run_len;
        if needed > budget.total() {
            return Err(Error::opening(StreamError::Budget { needed, total: budget.total() }));
        }
        let lease = budget
            .lease(needed, resources.pool.as_ref(), &|| resources.cancel.is_cancelled())
            .ok_or_else(|| Error::new(ErrorKind::Cancelled, "interrupted"))?;
        let per_run = (plan.demand.run_len / layout.full.wire) as u64;
        Ok(ForeignReader {
            wire: memory::zeroed("chunks", plan.demand.run_len)?,
            cached: Vec::new(),
            cached_at: 0,
            begin: opened.head_len as u64,
            chunks: opened.chunks,
            resources: resources.clone(),
            position: 0,
            place,
            layout,
            format,
            per_run,
            _lease: lease,
        })
    }
}

fn in_order_only(detected: Detected) -> Error {
    let what = match detected {
        Detected::Armored => "an armored age file can only be read in order",
        Detected::Binary(_) => "a stream can be read at any place only where the source has offsets",
    };
    Error::new(ErrorKind::Usage, what).remedied(Remedy::GiveFile)
}

impl ForeignReader {
    /// Plaintext bytes of the stream.
    pub fn len(&self) -> u64 {
        self.layout.plaintext_len()
    }

    /// Whether the stream has no plaintext.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it was sealed in.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Opens the run of chunks that has the byte at `offset`, which there is.
    fn load(&mut self, offset: u64) -> Result<(), Error> {
        let first = offset / self.layout.full.plaintext as u64;
        let end = self.layout.chunks.min(first + self.per_run);
        let begin = self.begin + self.layout.wire_offset(first);
        let lens: Vec<_> = (first..end).map(|index| self.layout.chunk(index)).collect();
        let wire_len = lens.iter().map(|chunk| chunk.lens.wire).sum();
        let plaintext_len = lens.iter().map(|chunk| chunk.lens.plaintext).sum();
        self.resources.take_of_rate(wire_len as u64, self.resources.stop())?;
        self.resources.check_cancelled()?;
        let wire = &mut self.wire[..wire_len];
        index::read(&*self.place, begin, wire)?;
        // Nothing of a run that fails is cached, and its memory is what the next one takes.
        self.cached = Vec::new();
        let mut plaintext = memory::zeroed("chunks", plaintext_len)?;
        let (mut at, mut out) = (0, &mut plaintext[..]);
        for chunk in &lens {
            let (text, rest) = std::mem::take(&mut out).split_at_mut(chunk.lens.plaintext);
            self.chunks.open(chunk, &wire[at..at + chunk.lens.wire], text).map_err(|problem| {
                Error::damaged(format!("chunk {} {problem}", chunk.index)).at(begin + at as u64)
            })?;
            at += chunk.lens.wire;
            out = rest;
        }
        (self.cached, self.cached_at) = (plaintext, self.layout.plaintext_offset(first));
        Ok(())
    }

    fn cached_from(&self, offset: u64) -> &[u8] {
        let begin = offset.checked_sub(self.cached_at).and_then(|begin| usize::try_from(begin).ok());
        begin.and_then(|begin| self.cached.get(begin..)).unwrap_or_default()
    }
}

/// An error is the library's own, the inner one of [`io::Error::other`].
impl Read for ForeignReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.position >= self.len() {
            return Ok(0);
        }
        if self.cached_from(self.position).is_empty() {
            let place = self.place.clone();
            self.load(self.position).map_err(|error| io::Error::other(of_place(error, Some(place))))?;
        }
        let cached = self.cached_from(self.position);
        let count = cached.len().min(buffer.len());
        buffer[..count].copy_from_slice(&cached[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for ForeignReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.len().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        let before = || io::Error::new(io::ErrorKind::InvalidInput, "a position before the beginning");
        self.position = position.ok_or_else(before)?;
        Ok(self.position)
    }
}

impl fmt::Debug for ForeignReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignReader")
            .field("format", &self.format)
            .field("len", &self.len())
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
