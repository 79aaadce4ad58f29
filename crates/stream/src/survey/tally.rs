//! Adds up what is whole of a stream, and names what is not, in order.
//! It reads nothing.

use super::{DamagedStream, LostRange, Surveyed, Total};
use crate::Error;
use crate::one_segment::OpenedSegment;

/// Adds up what is whole, and names what is not.
pub(super) struct Tally<'a> {
    tell: &'a mut dyn FnMut(&LostRange) -> Result<(), Error>,
    pub(super) surveyed: Surveyed,
    next_segment: u64,
    pub(super) next_byte: u64,
    /// What was found first since the last whole segment.
    reason: Option<String>,
    pub(super) first_fault: Option<Error>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(
        tell: &'a mut dyn FnMut(&LostRange) -> Result<(), Error>,
        stream: &DamagedStream,
    ) -> Tally<'a> {
        let surveyed = Surveyed {
            stream_id: stream.opener().envelope.preamble.stream_id,
            segments: 0,
            plaintext_len: 0,
            lost_ranges: 0,
            lost_len: 0,
            has_whole_index: matches!(stream, DamagedStream::Indexed(_)),
            end_is_known: false,
        };
        Tally { tell, surveyed, next_segment: 0, next_byte: 0, reason: None, first_fault: None }
    }

    /// A segment is whole; what lies between it and the last one is not.
    pub(super) fn enter(&mut self, opened: &OpenedSegment, last: bool) -> Result<(), Error> {
        let (index, offset) = (opened.index, opened.plaintext_offset);
        if index < self.next_segment || offset < self.next_byte {
            self.note(Error::damaged("a segment stands where another one has been").in_segment(index));
            return Ok(());
        }
        if (index, offset) != (self.next_segment, self.next_byte) {
            self.lose(Some((index - self.next_segment, offset - self.next_byte)))?;
        }
        self.reason = None;
        self.surveyed.segments += 1;
        self.surveyed.plaintext_len += opened.plaintext_len;
        self.surveyed.end_is_known = last;
        (self.next_segment, self.next_byte) = (index + 1, offset + opened.plaintext_len);
        Ok(())
    }

    pub(super) fn note(&mut self, fault: Error) {
        self.reason.get_or_insert_with(|| fault.to_string());
        self.first_fault.get_or_insert(fault);
    }

    /// No segment follows.
    pub(super) fn end(&mut self, total: Option<Total>) -> Result<(), Error> {
        match total {
            _ if self.surveyed.end_is_known => Ok(()),
            Some(total) if total.segments > self.next_segment => {
                self.surveyed.end_is_known = true;
                let lost_len = total.plaintext_len.saturating_sub(self.next_byte);
                self.lose(Some((total.segments - self.next_segment, lost_len)))
            }
            _ => self.lose(None),
        }
    }

    /// So many segments with so many bytes are lost, or all that would follow.
    fn lose(&mut self, lost: Option<(u64, u64)>) -> Result<(), Error> {
        let range = LostRange {
            first_segment: self.next_segment,
            segments: lost.map(|(segments, _)| segments),
            plaintext_offset: self.next_byte,
            plaintext_len: lost.map(|(_, len)| len),
            reason: self.reason.take().unwrap_or_else(|| "the stream ends here".to_owned()),
        };
        self.surveyed.lost_ranges += 1;
        if let Some((segments, len)) = lost {
            self.surveyed.lost_len += len;
            self.next_segment += segments;
            self.next_byte += len;
        }
        (self.tell)(&range)
    }
}
