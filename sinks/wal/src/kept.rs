//! The bytes of segments that committed, read from the log by their place in the stream.
//! Vouches for none of them: who asks proves what it gets.

use std::{io, sync::Arc};

use contract::ReadAt;
use parking_lot::Mutex;
use storage::StorageFile;

use super::{
    CommitPoint, Lsn,
    layout::{COMMIT_LEN, CommitBody, HEAD_LEN, Head, Kind},
    recovery::{Read, read_record},
};

/// Where a segment begins, in the stream and in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Anchor {
    /// Which one, from 0.
    segment: u64,
    /// In the stream, in bytes.
    start: u64,
    /// Behind the COMMIT record of the segment before.
    lsn: Lsn,
}

impl Anchor {
    const FIRST: Anchor = Anchor { segment: 0, start: 0, lsn: Lsn::FIRST };
}

/// Some of the places where segments begin: between two of them one walks from record to record. However long a log is, there are
/// at most [`ANCHORS_MAX`](Self::ANCHORS_MAX), further and further apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Anchors {
    anchors: Vec<Anchor>,
    /// Bytes of the log from one to the next, at least.
    apart: u64,
}

impl Anchors {
    /// 24 bytes each.
    const ANCHORS_MAX: usize = 1 << 16;
    const APART_MIN: u64 = 1 << 20;

    pub(super) fn new() -> Anchors {
        Anchors { anchors: vec![Anchor::FIRST], apart: Self::APART_MIN }
    }

    /// A segment begins there: the one after those that came before.
    pub(super) fn note(&mut self, segment: u64, start: u64, lsn: Lsn) {
        let last = self.anchors.last().map_or(Lsn::FIRST, |anchor| anchor.lsn);
        if lsn.to_u64() - last.to_u64() < self.apart {
            return;
        }
        if self.anchors.len() == Self::ANCHORS_MAX {
            let mut number = 0;
            self.anchors.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.apart *= 2;
        }
        self.anchors.push(Anchor { segment, start, lsn });
    }

    /// The last before which `is_before` is true. It is true of the first one.
    fn last(&self, is_before: impl Fn(&Anchor) -> bool) -> Anchor {
        let count = self.anchors.partition_point(is_before);
        count.checked_sub(1).map_or(Anchor::FIRST, |last| self.anchors[last])
    }
}

/// What a log had when it was opened.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    file: Arc<dyn StorageFile>,
    anchors: Arc<Anchors>,
    /// Where what has committed ends in the stream, in bytes.
    len: u64,
    /// Where that was read last: what is proved is read in order.
    last: Arc<Mutex<Anchor>>,
}

/// A segment as its COMMIT record tells.
struct Segment {
    first: Lsn,
    commit: CommitPoint,
    /// Where the next one begins.
    next: Anchor,
}

impl Kept {
    pub(super) fn new(file: Arc<dyn StorageFile>, anchors: Arc<Anchors>, len: u64) -> Kept {
        Kept { file, anchors, len, last: Arc::new(Mutex::new(Anchor::FIRST)) }
    }

    /// The commit of the segment before `index`, and where the next record goes, if that segment ends at byte `at`.
    pub(super) fn commit_before(&self, index: u64, at: u64) -> io::Result<Option<(CommitPoint, Lsn)>> {
        let Some(before) = index.checked_sub(1) else { return Ok(None) };
        let mut anchor = self.anchors.last(|anchor| anchor.segment <= before);
        loop {
            let Some(segment) = self.segment_at(anchor)? else { return Ok(None) };
            if segment.commit.segment == before {
                return Ok((segment.commit.end == at).then_some((segment.commit, segment.next.lsn)));
            }
            anchor = segment.next;
        }
    }

    /// The segment that begins at `anchor`, by way of the heads of its records. `None` where the log's records end.
    fn segment_at(&self, anchor: Anchor) -> io::Result<Option<Segment>> {
        let mut lsn = anchor.lsn;
        loop {
            let Some(head) = self.head_at(lsn)? else { return Ok(None) };
            match head.kind {
                Kind::Data => lsn = head.end(),
                Kind::Finish => return Ok(None),
                Kind::Commit => break,
            }
        }
        let mut record = Vec::new();
        let Read::Whole(head) = read_record(&*self.file, lsn, &mut record)? else { return Err(changed()) };
        if head.kind != Kind::Commit || record.len() != HEAD_LEN + COMMIT_LEN {
            return Err(changed());
        }
        let CommitBody { segment, first, checkpoint } = CommitBody::parse(&record[HEAD_LEN..]);
        if segment != anchor.segment || first < anchor.lsn || first > lsn || head.at < anchor.start {
            return Err(changed());
        }
        let commit = CommitPoint { segment, end: head.at, lsn, checkpoint };
        let next = Anchor { segment: segment + 1, start: head.at, lsn: head.end() };
        Ok(Some(Segment { first, commit, next }))
    }

    fn head_at(&self, lsn: Lsn) -> io::Result<Option<Head>> {
        let mut bytes = [0; HEAD_LEN];
        match self.file.read_exact_at(&mut bytes, lsn.to_u64()) {
            Ok(()) => Ok(Head::parse(&bytes, lsn)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Fills what of `buffer` lies in `segment`, which has the byte `at`, and says how much that was.
    fn read_from(&self, segment: &Segment, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let (mut lsn, mut filled) = (segment.first, 0);
        while lsn < segment.commit.lsn && filled < buffer.len() {
            let head = self.head_at(lsn)?.filter(|head| head.kind == Kind::Data).ok_or_else(changed)?;
            lsn = head.end();
            let skip = (at + filled as u64).checked_sub(head.at).ok_or_else(changed)?;
            if skip >= head.body_len as u64 {
                continue;
            }
            let len = (head.body_len as u64 - skip).min((buffer.len() - filled) as u64) as usize;
            let piece_at = head.lsn.to_u64() + HEAD_LEN as u64 + skip;
            self.file.read_exact_at(&mut buffer[filled..filled + len], piece_at)?;
            filled += len;
        }
        Ok(filled)
    }
}

impl ReadAt for Kept {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let is_beyond = offset.checked_add(buffer.len() as u64).is_none_or(|end| end > self.len);
        if is_beyond {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut anchor = self.anchors.last(|anchor| anchor.start <= offset);
        let last = *self.last.lock();
        if last.start <= offset && last.lsn > anchor.lsn {
            anchor = last;
        }
        let mut filled = 0;
        while filled < buffer.len() {
            let segment = self.segment_at(anchor)?.ok_or_else(changed)?;
            let at = offset + filled as u64;
            if segment.commit.end > at {
                *self.last.lock() = anchor;
                match self.read_from(&segment, at, &mut buffer[filled..])? {
                    0 => return Err(changed()),
                    count => filled += count,
                }
            }
            anchor = segment.next;
        }
        Ok(())
    }

    fn len(&self) -> u64 {
        self.len
    }
}

fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the log has changed since it was opened")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_anchors_than_the_limit_and_each_is_where_it_was_noted() {
        let mut anchors = Anchors::new();
        let apart = Anchors::APART_MIN;
        let count = 5 * Anchors::ANCHORS_MAX as u64 + 3;
        let lsn = |segment: u64| Lsn::from_u64(Lsn::FIRST.to_u64() + segment * apart);
        for segment in 1..count {
            anchors.note(segment, 7 * segment, lsn(segment));
            assert!(anchors.anchors.len() <= Anchors::ANCHORS_MAX);
        }
        assert!(anchors.anchors.len() > Anchors::ANCHORS_MAX / 2);
        for anchor in &anchors.anchors {
            let segment = anchor.segment;
            assert_eq!(*anchor, Anchor { segment, start: 7 * segment, lsn: lsn(segment) });
        }
        for segment in [0, 1, 2, 77, count - 1] {
            let found = anchors.last(|anchor| anchor.segment <= segment);
            assert!(found.segment <= segment && segment - found.segment < 2 * (anchors.apart / apart));
        }
    }
}
