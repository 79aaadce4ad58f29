//! What is to be believed of a log that is found: two decision tables, and the scan that asks them.
//! Changes nothing: it reads, and says.

use std::sync::Arc;

use cofferdam_io::Patience;
use contract::AttemptId;
use storage::StorageFile;

use super::{
    CommitPoint, Lsn, WalError,
    kept::Anchors,
    layout::{
        CommitBody, DATA_LEN_MAX, Epoch, HEAD_LEN, Head, Header, Kind, MAGIC, SECTOR, SLOTS_AT, Slot,
        is_whole,
    },
};

/// What comes of opening a log: see [`decide`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Opening {
    /// Nothing was ever in it: it is made anew.
    MakeAnew,
    /// Its records are read, and held against this slot.
    Scan {
        attempt_id: AttemptId,
        newest: NewestSlot,
    },
    Refuse(Refusal),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    NotALog,
    OtherVersion(u32),
    Damaged { lsn: Lsn, what: &'static str },
}

/// The newest slot that can be read, and where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NewestSlot {
    pub(super) slot: Slot,
    pub(super) place: usize,
}

/// Whether the file reaches to where records are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Extent {
    /// It ends before, or right there.
    Bare,
    Records,
}

/// The first table: header, slots and extent against one another.
///
/// A log is made in this order: both slots, sync, header, sync; records come after that. So a header that is there had
/// its slots before it, and records had both.
///
/// | row | header | slots | file | | |
/// |---|---|---|---|---|---|
/// | W1 | other version | any | any | refuse | says which version |
/// | W2 | damaged | any | any | refuse | not a log, or no longer one: never overwritten |
/// | W3 | absent | none, or from the start | bare | make anew | died while it was made; nothing was ever in it |
/// | W4 | absent | of a later place | bare | refuse | the header is gone, and the records with it |
/// | W5 | absent | any | records | refuse | the header is gone |
/// | W6 | whole | none | any | refuse | one slot may be torn, two never are |
/// | W7 | whole | one or two | any | scan | with the newer one |
pub(super) fn decide(header: Header, newest: Option<NewestSlot>, extent: Extent) -> Opening {
    use Extent::{Bare, Records};

    let from_start = newest.is_none_or(|newest| newest.slot.durable == Lsn::FIRST);
    let damaged = |what| Opening::Refuse(Refusal::Damaged { lsn: Lsn::from_u64(0), what });
    match (header, newest, from_start, extent) {
        (Header::OtherVersion(version), _, _, Bare | Records) => {
            Opening::Refuse(Refusal::OtherVersion(version)) // W1
        }
        (Header::Damaged, _, _, Bare | Records) => Opening::Refuse(Refusal::NotALog), // W2
        (Header::Absent, _, true, Bare) => Opening::MakeAnew,                         // W3
        (Header::Absent, _, false, Bare) => damaged("header and records are gone"),   // W4
        (Header::Absent, _, _, Records) => damaged("the header is gone"),             // W5
        (Header::Whole { .. }, None, _, Bare | Records) => damaged("both slots are unreadable"), // W6
        (Header::Whole { attempt_id }, Some(newest), _, Bare | Records) => {
            Opening::Scan { attempt_id, newest }
        } // W7
    }
}

/// What stands where a record may begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// The file ends there.
    End,
    /// No record, or one whose checksum is wrong, or that the file ends in.
    Broken,
    /// A record whose checksum is right.
    Whole(Age, Fit),
}

/// A record's epoch beside the slot's, and beside that of the record before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Age {
    Current,
    /// Of an earlier epoch than the slot's, not earlier than the record before.
    OnPartial,
    /// Earlier than the record before.
    Backwards,
    /// Later than the slot's.
    Later,
}

/// Whether a record goes with the ones before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fit {
    Fits,
    Strange,
}

/// Where a record stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// Before the durable lsn: it was whole on the medium once.
    Durable,
    /// At or behind it: a crash may have torn it.
    Open,
}

/// What is to be done with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It belongs to the log.
    Take,
    /// The log ends before it.
    Cut,
    /// The log is damaged there.
    Damaged(&'static str),
}

/// The second table: what stands at a place, against the side of the durable lsn that it stands on.
///
/// | row | found | side | | |
/// |---|---|---|---|---|
/// | R1 | whole, current or earlier, fits | durable | take | |
/// | R2 | whole, backwards or later | durable | damaged | epochs never go back, and none is drawn without its slots |
/// | R3 | whole, strange | durable | damaged | spliced: its writer had other records before it |
/// | R4 | broken | durable | damaged | |
/// | R5 | end | durable | damaged | |
/// | R6 | whole, current, fits | open | take | |
/// | R7 | whole, current, strange | open | damaged | no crash makes one: an epoch writes each place once, in order |
/// | R8 | whole, earlier or backwards | open | cut | the stale tail of an earlier epoch |
/// | R9 | whole, later | open | damaged | both slots of its epoch are gone |
/// | R10 | broken | open | cut | torn |
/// | R11 | end | open | cut | ends here |
pub(super) fn judge(found: Found, side: Side) -> Verdict {
    use Age::{Backwards, Current, Later, OnPartial};
    use Fit::{Fits, Strange};

    match (side, found) {
        (Side::Durable, Found::Whole(Current | OnPartial, Fits)) => Verdict::Take, // R1
        (Side::Durable, Found::Whole(Backwards | Later, Fits | Strange)) => {
            Verdict::Damaged("a record of another epoch") // R2
        }
        (Side::Durable, Found::Whole(Current | OnPartial, Strange)) => {
            Verdict::Damaged("a record that does not follow from the ones before") // R3
        }
        (Side::Durable, Found::Broken) => Verdict::Damaged("no whole record"), // R4
        (Side::Durable, Found::End) => Verdict::Damaged("the log ends here"),  // R5
        (Side::Open, Found::Whole(Current, Fits)) => Verdict::Take,            // R6
        (Side::Open, Found::Whole(Current, Strange)) => {
            Verdict::Damaged("a record that does not follow from the ones before") // R7
        }
        (Side::Open, Found::Whole(OnPartial | Backwards, Fits | Strange)) => Verdict::Cut, // R8
        (Side::Open, Found::Whole(Later, Fits | Strange)) => {
            Verdict::Damaged("a record of an epoch that no slot knows") // R9
        }
        (Side::Open, Found::Broken) => Verdict::Cut, // R10
        (Side::Open, Found::End) => Verdict::Cut,    // R11
    }
}

/// What a log holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Scan {
    pub(super) newest: NewestSlot,
    /// The last segment that committed with all of its bytes there.
    pub(super) last: Option<CommitPoint>,
    /// Behind the last COMMIT or FINISH record: the next writer begins here.
    pub(super) end: Lsn,
    /// The stream's length, where it is finished.
    pub(super) finished: Option<u64>,
    /// Where segments that committed begin, and the one after them.
    pub(super) anchors: Arc<Anchors>,
}

/// Reads the sectors before the records, and asks the first table.
pub(super) fn examine(file: &dyn StorageFile) -> Result<Opening, WalError> {
    let read = WalError::io("read");
    let len = file.len().map_err(&read)?;
    let header = Header::parse(&sector_at(file, super::layout::HEADER_AT).map_err(&read)?);
    let mut newest: Option<NewestSlot> = None;
    for (place, at) in SLOTS_AT.into_iter().enumerate() {
        let Some(slot) = Slot::parse(&sector_at(file, at).map_err(&read)?) else { continue };
        if newest.is_none_or(|newest| slot.generation > newest.slot.generation) {
            newest = Some(NewestSlot { slot, place });
        }
    }
    let extent = if len > Lsn::FIRST.to_u64() { Extent::Records } else { Extent::Bare };
    Ok(decide(header, newest, extent))
}

/// Whether it begins as a log does, or as one whose making was broken off, however damaged the rest is.
pub(super) fn is_a_log(file: &dyn StorageFile) -> Result<bool, WalError> {
    let header = sector_at(file, super::layout::HEADER_AT).map_err(WalError::io("read"))?;
    let len = file.len().map_err(WalError::io("read"))?;
    Ok(header.starts_with(&MAGIC) || Header::parse(&header) == Header::Absent && len <= Lsn::FIRST.to_u64())
}

/// Reads every record up to where the log ends.
pub(super) fn scan(file: &dyn StorageFile, newest: NewestSlot) -> Result<Scan, WalError> {
    let Slot { epoch, durable, .. } = newest.slot;
    let mut chain = Chain::new();
    let mut record = Vec::with_capacity(HEAD_LEN + DATA_LEN_MAX);
    let mut next = Lsn::FIRST;
    while chain.finished.is_none() {
        let side = if next < durable { Side::Durable } else { Side::Open };
        let (found, head) = match read_record(file, next, &mut record).map_err(WalError::io("read"))? {
            Read::End => (Found::End, None),
            Read::Broken => (Found::Broken, None),
            Read::Whole(head) => {
                let body = &record[HEAD_LEN..];
                (Found::Whole(chain.age(&head, epoch), chain.fit(&head, body)), Some((head, body)))
            }
        };
        match (judge(found, side), head) {
            (Verdict::Take, Some((head, body))) => {
                chain.take(&head, body);
                next = head.end();
            }
            (Verdict::Take | Verdict::Cut, _) => break,
            (Verdict::Damaged(what), _) => return Err(WalError::Damaged { lsn: next, what }),
        }
    }
    Ok(Scan {
        newest,
        last: chain.last,
        end: chain.end,
        finished: chain.finished,
        anchors: Arc::new(chain.anchors),
    })
}

/// What was read where a record may begin.
pub(super) enum Read {
    End,
    Broken,
    Whole(Head),
}

/// Reads the record at `lsn` into `record`, head and body.
pub(super) fn read_record(file: &dyn StorageFile, lsn: Lsn, record: &mut Vec<u8>) -> std::io::Result<Read> {
    let mut bytes = [0; HEAD_LEN];
    match read_up_to(file, &mut bytes, lsn.to_u64())? {
        0 => return Ok(Read::End),
        HEAD_LEN => {}
        _ => return Ok(Read::Broken),
    }
    let Some(head) = Head::parse(&bytes, lsn) else { return Ok(Read::Broken) };
    // What it held is written over. Where it was as long, nothing is filled with zeros first.
    record.resize(HEAD_LEN + head.body_len, 0);
    record[..HEAD_LEN].copy_from_slice(&bytes);
    let body_at = lsn.plus(HEAD_LEN).to_u64();
    let whole = read_up_to(file, &mut record[HEAD_LEN..], body_at)? == head.body_len && is_whole(record);
    Ok(if whole { Read::Whole(head) } else { Read::Broken })
}

/// What the records so far amount to.
struct Chain {
    epoch: Epoch,
    /// Bytes of the segment that is open, if there are any.
    open: Option<Open>,
    last: Option<CommitPoint>,
    end: Lsn,
    finished: Option<u64>,
    anchors: Anchors,
}

#[derive(Clone, Copy)]
struct Open {
    first: Lsn,
    end: u64,
}

impl Chain {
    fn new() -> Chain {
        Chain {
            epoch: Epoch(0),
            open: None,
            last: None,
            end: Lsn::FIRST,
            finished: None,
            anchors: Anchors::new(),
        }
    }

    fn age(&self, head: &Head, slot: Epoch) -> Age {
        match head.epoch {
            epoch if epoch > slot => Age::Later,
            epoch if epoch < self.epoch => Age::Backwards,
            epoch if epoch < slot => Age::OnPartial,
            _ => Age::Current,
        }
    }

    fn fit(&self, head: &Head, body: &[u8]) -> Fit {
        // An epoch begins behind a COMMIT record.
        let between_segments = head.epoch == self.epoch || self.open.is_none();
        let follows = match head.kind {
            Kind::Data => {
                let due =
                    head.at == self.committed_end() || self.open.is_some_and(|open| open.end == head.at);
                due && head.at.checked_add(head.body_len as u64).is_some()
            }
            Kind::Commit => self.commit_fits(head, &CommitBody::parse(body)),
            Kind::Finish => head.at == self.committed_end(),
        };
        if between_segments && follows { Fit::Fits } else { Fit::Strange }
    }

    fn commit_fits(&self, head: &Head, body: &CommitBody) -> bool {
        let bytes = match self.open.filter(|open| open.first == body.first) {
            Some(open) => head.at == open.end,
            None => head.at == self.committed_end() && body.first == head.lsn,
        };
        let due = self.last.as_ref().map_or(Some(0), |last| last.segment.checked_add(1));
        bytes && due == Some(body.segment)
    }

    fn take(&mut self, head: &Head, body: &[u8]) {
        self.epoch = head.epoch;
        match head.kind {
            Kind::Data => {
                let first = self.open.filter(|open| open.end == head.at).map_or(head.lsn, |open| open.first);
                self.open = Some(Open { first, end: head.at + head.body_len as u64 });
            }
            Kind::Commit => {
                let CommitBody { segment, checkpoint, .. } = CommitBody::parse(body);
                self.anchors.note(segment.saturating_add(1), head.at, head.end());
                self.last = Some(CommitPoint { segment, end: head.at, lsn: head.lsn, checkpoint });
                self.open = None;
                self.end = head.end();
            }
            Kind::Finish => {
                self.finished = Some(head.at);
                self.end = head.end();
            }
        }
    }

    fn committed_end(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.end)
    }
}

fn sector_at(file: &dyn StorageFile, at: u64) -> std::io::Result<Vec<u8>> {
    let mut sector = vec![0; SECTOR];
    let count = read_up_to(file, &mut sector, at)?;
    sector.truncate(count);
    Ok(sector)
}

/// Fewer bytes only where the file ends.
fn read_up_to(file: &dyn StorageFile, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
    let (mut count, mut patience) = (0, Patience::default());
    while count < buffer.len() {
        match file.read_at(&mut buffer[count..], at + count as u64) {
            Ok(0) => break,
            Ok(more) => {
                count += more;
                patience.renew();
            }
            Err(error) => patience.endure(error)?,
        }
    }
    Ok(count)
}
