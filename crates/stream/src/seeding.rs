//! Restoring over a seed: a file that may hold much of the plaintext already, such as the copy of yesterday.
//! Its bytes are taken into the sink and are claims there, as what an earlier attempt left is. It proves nothing.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use contract::{ReadAt, StreamingSink};
use framing::{IndexEntry, SegmentIndex};
use segment_worker::ProvedSegments;
use storage::{Seed, SeedError, Taken, TargetError};

use crate::index::Walk;
use crate::open::RunContext;
use crate::{Error, ErrorKind, Warning};

/// Opens the file at `path` to take bytes over from it.
///
/// # Errors
/// [`ErrorKind::Usage`] where something other than a regular file stands there.
pub fn open_seed(path: &Path) -> Result<Seed, Error> {
    Seed::open(path).map_err(|error| match error {
        SeedError::NotAFile(what) => {
            Error::new(ErrorKind::Usage, format!("the seed {} is {what}", path.display()))
                .advise("A seed is a regular file, such as an earlier restore of the same thing.")
        }
        SeedError::Io(error) => Error::io(format!("the seed {} could not be opened", path.display()), error),
        _ => Error::new(ErrorKind::Usage, format!("{} is no seed", path.display())),
    })
}

/// A seed, and how a sink takes its bytes over.
pub(crate) struct Seeding<S> {
    pub(crate) seed: Seed,
    pub(crate) take: fn(&mut S, &Seed, Range<u64>) -> io::Result<Taken>,
    pub(crate) prepare_rest: fn(&mut S, u64) -> Result<(), TargetError>,
}

impl<S> Seeding<S> {
    /// Has `sink` take the bytes of `range` over, as far as the seed has them.
    fn take(&self, sink: &mut S, range: Range<u64>) -> Result<Taken, Error> {
        (self.take)(sink, &self.seed, range)
            .map_err(|error| Error::io("the seed could not be copied to beside the target", error))
    }

    /// Looks after the room of what will stand beside what was taken: refuses it, takes it, or tells that it may not fit.
    pub(crate) fn prepare_rest(&self, sink: &mut S, len: u64) -> Result<(), Error> {
        (self.prepare_rest)(sink, len).map_err(Error::target)
    }
}

/// The segments that nothing has proved yet, but for the last, piece by piece: once the sink has taken a piece over from the
/// seed, those of its segments that the seed reaches come out, to be proved where they are now. So while one piece is
/// taken, the one before is proved.
pub(crate) struct SeededSegments<'a, S> {
    seeding: &'a Seeding<S>,
    sink: &'a mut S,
    means: &'a RunContext<'a>,
    walk: Walk<'a>,
    proved: &'a ProvedSegments,
    ready: VecDeque<(SegmentIndex, IndexEntry)>,
    taken: u64,
    /// What of the seed cannot be read is warned of once, and comes from the stream.
    pub(crate) warning: Option<Warning>,
}

impl<'a, S> SeededSegments<'a, S> {
    pub(crate) fn new(
        seeding: &'a Seeding<S>,
        sink: &'a mut S,
        walk: &Walk<'a>,
        proved: &'a ProvedSegments,
        means: &'a RunContext<'a>,
    ) -> SeededSegments<'a, S> {
        let (walk, ready) = (walk.clone(), VecDeque::new());
        SeededSegments { seeding, sink, means, walk, proved, ready, taken: 0, warning: None }
    }

    /// Takes the next piece over. False: there is none.
    pub(crate) fn take_piece(&mut self) -> Result<bool, Error> {
        if self.means.cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "interrupted"));
        }
        let piece = self.next_piece()?;
        let (Some((_, first)), Some((_, last))) = (piece.first(), piece.last()) else { return Ok(false) };
        let (start, end) = (first.plaintext_offset, plaintext_end(last));
        let taken = self.seeding.take(self.sink, start..end)?;
        if let Some((at, _)) = taken.unreadable {
            self.warning.get_or_insert(Warning::SeedUnreadable { at });
        }
        self.taken += taken.bytes;
        if let Some(observer) = self.means.observer {
            observer.seeding(self.taken);
        }
        let reached = start + taken.bytes;
        self.ready.extend(piece.into_iter().filter(|(_, entry)| plaintext_end(entry) <= reached));
        Ok(true)
    }

    /// Neighbouring segments that nothing has proved yet.
    fn next_piece(&mut self) -> Result<Vec<(SegmentIndex, IndexEntry)>, Error> {
        let (mut piece, mut len) = (Vec::new(), 0);
        while len < PIECE_LEN && !self.walk.is_at_end() && !self.walk.is_at_last() {
            let index = SegmentIndex(self.walk.segments());
            let proved = self.proved.contains(index);
            if proved && !piece.is_empty() {
                break;
            }
            let entry = self.walk.entry()?;
            self.walk.pass(&entry)?;
            if !proved {
                len += u64::from(entry.plaintext_len);
                piece.push((index, entry));
            }
        }
        Ok(piece)
    }
}

impl<S: StreamingSink> SeededSegments<'_, S> {
    /// What the sink has kept and taken so far.
    pub(crate) fn resumable(&self) -> Option<Arc<dyn ReadAt>> {
        self.sink.resumable()
    }
}

impl<S> Iterator for SeededSegments<'_, S> {
    type Item = Result<(SegmentIndex, IndexEntry), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(segment) = self.ready.pop_front() {
                return Some(Ok(segment));
            }
            match self.take_piece() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn plaintext_end(entry: &IndexEntry) -> u64 {
    entry.plaintext_offset + u64::from(entry.plaintext_len)
}

/// Bytes that are taken over at a time, rounded up to whole segments: about as much as is proved meanwhile.
const PIECE_LEN: u64 = 4 << 20;
