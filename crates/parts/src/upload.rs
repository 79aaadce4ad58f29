//! What a plan says of an object as its target: the one upload that all attempts send to, and how each part is cut for it.
//! It knows no store and no request.

use std::fmt;
use std::ops::Range;

use crate::text::{Hex, Lines, Quoted, Values, Writer};
use crate::{PartExtent, RecordError, UPLOAD_NUMBERS_MAX, UPLOAD_PIECE_LEN_MAX, UPLOAD_PIECE_LEN_MIN};

/// The upload that becomes the object, once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedUpload {
    /// The store's name for it.
    pub id: String,
    /// What is kept with the object, and tells it from all others.
    pub attempt: [u8; 16],
    /// The version of the object that is replaced, as the store names it. `None`: nothing was there when it was planned.
    pub replaces: Option<String>,
    /// How each part is cut.
    pub cuts: Vec<PartCut>,
}

/// How a part is cut for the store: pieces of one length, the last one shorter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartCut {
    /// The store's numbers of the pieces, from 1 for the object's first; the end is excluded.
    pub numbers: Range<u64>,
    /// Bytes of each piece but the last.
    pub piece_len: u64,
}

impl PartCut {
    /// The pieces of a part of `len` bytes: number and bytes of each.
    pub fn pieces(&self, len: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let piece_len = self.piece_len;
        (0..).zip(self.numbers.clone()).map(move |(index, number)| {
            let start = piece_len.saturating_mul(index);
            (number, len.saturating_sub(start).min(piece_len))
        })
    }

    /// Whether the pieces are the part, none is empty, and each is as long as stores take; the object's last may be shorter.
    fn fits(&self, len: u64, is_last: bool) -> bool {
        let count = self.numbers.end.saturating_sub(self.numbers.start);
        if count == 0 || self.piece_len == 0 || len.div_ceil(self.piece_len) != count {
            return false;
        }
        let last_len = len - (count - 1) * self.piece_len;
        let longest = if count == 1 { last_len } else { self.piece_len };
        let shortest = if is_last { longest } else { last_len };
        let is_all = is_last && count == 1;
        longest <= UPLOAD_PIECE_LEN_MAX && (is_all || shortest >= UPLOAD_PIECE_LEN_MIN)
    }
}

impl PlannedUpload {
    /// Whether it can be of an object that has these parts: their numbers follow each other from 1 on.
    pub(crate) fn fits(&self, parts: &[PartExtent]) -> bool {
        let mut next = 1;
        let last = parts.len().saturating_sub(1);
        let are_cut = self.cuts.len() == parts.len()
            && self.cuts.iter().zip(parts).enumerate().all(|(index, (cut, extent))| {
                let follows = cut.numbers.start == next;
                next = cut.numbers.end;
                follows && cut.fits(extent.len(), index == last)
            });
        let is_name = |name: &str| !name.is_empty() && name.len() <= STORE_NAME_LEN_MAX;
        are_cut
            && next <= UPLOAD_NUMBERS_MAX + 1
            && is_name(&self.id)
            && self.replaces.as_deref().is_none_or(is_name)
    }

    /// The lines before those of the parts.
    pub(crate) fn write_head(&self, text: &mut Writer) {
        text.line("upload", &[&Quoted(self.id.as_ref())]);
        text.line("attempt", &[&Hex(&self.attempt)]);
        if let Some(version) = &self.replaces {
            text.line("version", &[&Quoted(version.as_ref())]);
        }
    }

    /// The lines after those of the parts.
    pub(crate) fn write_cuts(&self, text: &mut Writer) {
        for (part, PartCut { numbers, piece_len }) in self.cuts.iter().enumerate() {
            let values: [&dyn fmt::Display; 4] = [&part, &numbers.start, &numbers.end, piece_len];
            text.line("numbers", &values);
        }
    }

    /// Reads what [`write_head`](PlannedUpload::write_head) has written, if it is there.
    pub(crate) fn parse_head(lines: &mut Lines<'_>) -> Result<Option<PlannedUpload>, RecordError> {
        let Some(id) = lines.line_if_there::<1>("upload")? else { return Ok(None) };
        let id = store_name(&id, 0)?;
        let attempt = lines.line::<1>("attempt")?.bytes(0)?;
        let version = lines.line_if_there::<1>("version")?;
        let replaces = version.map(|version| store_name(&version, 0)).transpose()?;
        Ok(Some(PlannedUpload { id, attempt, replaces, cuts: Vec::new() }))
    }

    /// Reads the lines of so many parts.
    pub(crate) fn parse_cuts(&mut self, lines: &mut Lines<'_>, parts: usize) -> Result<(), RecordError> {
        for part in 0..parts as u64 {
            let values = lines.line::<4>("numbers")?;
            if values.number(0)? != part {
                return Err(values.malformed());
            }
            self.cuts.push(PartCut { numbers: values.range(1)?, piece_len: values.number(3)? });
        }
        Ok(())
    }
}

/// A name that a store has given.
pub(crate) fn store_name<const N: usize>(
    values: &Values<'_, N>,
    index: usize,
) -> Result<String, RecordError> {
    let name = values.path(index)?.into_string().map_err(|_| values.malformed())?;
    if name.len() <= STORE_NAME_LEN_MAX { Ok(name) } else { Err(values.malformed()) }
}

/// Bytes of what a store calls an upload, a version or a piece.
pub(crate) const STORE_NAME_LEN_MAX: usize = 2048;
