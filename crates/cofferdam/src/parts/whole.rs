//! The plaintext of a stream as the files of attempts have it, to be read at any place before it is put together.
//! It knows no tree: whoever reads it looks for the catalog of one.

use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::parts::{AttemptName, Piece};
use cofferdam_io::ReadAt;

use super::PlannedRestore;
use super::attempts::AttemptsDir;
use super::comparison::{Comparison, Found, PartBytes as _, places_of};
use super::part_files::PartFiles;

/// One attempt at each part. Nothing is read of a piece that has not the digest that the attempt's receipt says.
pub(super) struct WholePlaintext<'a> {
    pub(super) planned: &'a PlannedRestore,
    pub(super) attempts: &'a AttemptsDir,
    /// By part.
    pub(super) chosen: &'a [AttemptName],
    pub(super) comparison: &'a Comparison<'a>,
    pub(super) last: Mutex<Last<'a>>,
}

/// What was read last: whoever reads a catalog reads it in order.
#[derive(Default)]
pub(super) struct Last<'a> {
    part: Option<OpenPart<'a>>,
    /// A part whose file is not what its receipt says.
    wrong: Option<u64>,
}

struct OpenPart<'a> {
    files: PartFiles<'a>,
    pieces: Vec<CheckedPiece>,
}

struct CheckedPiece {
    /// In the part.
    start: u64,
    piece: Piece,
    is_right: bool,
}

impl<'a> WholePlaintext<'a> {
    /// The part whose file has turned out to be wrong, if one has.
    pub(super) fn wrong(&self) -> Option<u64> {
        self.lock().wrong
    }

    fn lock(&self) -> MutexGuard<'_, Last<'a>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The part that has the byte at `offset`.
    fn part_at(&self, offset: u64) -> io::Result<u64> {
        let parts = self.planned.plan.parts();
        let number = parts.partition_point(|part| part.plaintext.end <= offset);
        if number < parts.len() { Ok(number as u64) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn open(&self, number: u64) -> io::Result<Option<OpenPart<'a>>> {
        let files = self.planned.open_files(self.attempts, number, self.chosen[number as usize]);
        let Some(files) = files.map_err(io::Error::other)? else { return Ok(None) };
        let places = places_of(files.receipt().pieces());
        let pieces = places.iter().map(|(start, piece)| CheckedPiece {
            start: *start,
            piece: **piece,
            is_right: false,
        });
        Ok(Some(OpenPart { pieces: pieces.collect(), files }))
    }

    /// Reads what of `range`, in the part, is in `part`, whose pieces are compared before.
    fn read_part(&self, part: &mut OpenPart<'_>, range: Range<u64>, buffer: &mut [u8]) -> io::Result<Found> {
        let first = part.pieces.partition_point(|piece| piece.start + piece.piece.len <= range.start);
        for piece in part.pieces[first..].iter_mut().take_while(|piece| piece.start < range.end) {
            if !piece.is_right {
                match self.comparison.is_right(&part.files, piece.start, &piece.piece) {
                    Ok(true) => piece.is_right = true,
                    Ok(false) => return Ok(Found::Wrong),
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Found::Wrong),
                    Err(error) => return Err(error),
                }
            }
        }
        part.files.read(range.start, buffer)?;
        Ok(Found::Right)
    }
}

impl ReadAt for WholePlaintext<'_> {
    fn read_exact_at(&self, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        let mut last = self.lock();
        while !buffer.is_empty() {
            let number = self.part_at(offset)?;
            let wrong = |last: &mut Last<'_>| {
                last.wrong = Some(number);
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("the file of part {number} is not what its receipt says"),
                )
            };
            let part = match last.part.take().filter(|part| part.files.receipt().part() == number) {
                Some(part) => Some(part),
                None => self.open(number)?,
            };
            let Some(mut part) = part else { return Err(wrong(&mut last)) };
            let extent = part.files.receipt().extent();
            let start = offset - extent.plaintext.start;
            let count = (extent.len() - start).min(buffer.len() as u64);
            let (now, rest) = buffer.split_at_mut(count as usize);
            if self.read_part(&mut part, start..start + count, now)? == Found::Wrong {
                return Err(wrong(&mut last));
            }
            last.part = Some(part);
            (offset, buffer) = (offset + count, rest);
        }
        Ok(())
    }

    fn len(&self) -> u64 {
        self.planned.plan.plaintext_len()
    }
}
