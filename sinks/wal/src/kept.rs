//! The bytes of segments that committed, read from the log by their place in the stream.
//! Vouches for none of them: who asks proves what it gets.

use std::{io, sync::Arc};

use contract::ReadAt;
use storage::StorageFile;

use super::{
    CommitPoint, Lsn,
    layout::{COMMIT_LEN, CommitBody, HEAD_LEN, Head, Kind},
    recovery::{Read, read_record},
};

/// Where a segment is in the log. There are as many as the stream has segments, so the format's limit on these is theirs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SegmentPlace {
    /// Where it ends in the stream, in bytes.
    pub(super) end: u64,
    /// Its first DATA record that counts; its COMMIT record where it has none.
    pub(super) first: Lsn,
    /// Its COMMIT record.
    pub(super) commit: Lsn,
}

/// What a log had when it was opened.
#[derive(Clone)]
pub(super) struct Kept {
    file: Arc<dyn StorageFile>,
    segments: Arc<Vec<SegmentPlace>>,
}

impl Kept {
    pub(super) fn new(file: Arc<dyn StorageFile>, segments: Arc<Vec<SegmentPlace>>) -> Kept {
        Kept { file, segments }
    }

    /// The commit of the segment before `index`, and where the next record goes, if that segment ends at byte `at`.
    pub(super) fn commit_before(&self, index: u64, at: u64) -> io::Result<Option<(CommitPoint, Lsn)>> {
        let place = index.checked_sub(1).and_then(|before| self.segments.get(usize::try_from(before).ok()?));
        let Some(place) = place.filter(|place| place.end == at) else { return Ok(None) };
        let mut record = Vec::new();
        let Read::Whole(head) = read_record(&*self.file, place.commit, &mut record)? else {
            return Err(changed());
        };
        if head.kind != Kind::Commit || record.len() != HEAD_LEN + COMMIT_LEN {
            return Err(changed());
        }
        let CommitBody { segment, checkpoint, .. } = CommitBody::parse(&record[HEAD_LEN..]);
        Ok(Some((CommitPoint { segment, end: at, lsn: place.commit, checkpoint }, head.end())))
    }

    /// The head of the record at `lsn`, which has bytes of the stream.
    fn data_at(&self, lsn: Lsn) -> io::Result<Head> {
        let mut bytes = [0; HEAD_LEN];
        self.file.read_exact_at(&mut bytes, lsn.to_u64())?;
        Head::parse(&bytes, lsn).filter(|head| head.kind == Kind::Data).ok_or_else(changed)
    }
}

impl ReadAt for Kept {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let (mut at, mut rest) = (offset, buffer);
        let mut index = self.segments.partition_point(|place| place.end <= at);
        while !rest.is_empty() {
            let place = self.segments.get(index).ok_or(io::ErrorKind::UnexpectedEof)?;
            let mut lsn = place.first;
            while lsn < place.commit && !rest.is_empty() {
                let head = self.data_at(lsn)?;
                lsn = head.end();
                let skip = at.checked_sub(head.at).ok_or_else(changed)?;
                if skip >= head.body_len as u64 {
                    continue;
                }
                let len = (head.body_len as u64 - skip).min(rest.len() as u64) as usize;
                let (piece, after) = rest.split_at_mut(len);
                self.file.read_exact_at(piece, head.lsn.to_u64() + HEAD_LEN as u64 + skip)?;
                (at, rest) = (at + len as u64, after);
            }
            index += 1;
        }
        Ok(())
    }

    fn len(&self) -> u64 {
        self.segments.last().map_or(0, |place| place.end)
    }
}

fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the log has changed since it was opened")
}
