//! The part of a far source that is fetched around where segments are looked for.
//! It knows no record.

use crate::segment_fetch::SegmentFetch;

/// Bytes that are fetched before they are looked at, and stay for whoever opens what was found in them.
pub(super) struct Window<'a> {
    fetch: &'a SegmentFetch,
    begin: u64,
    asked_until: u64,
    /// Bytes at most.
    len: u64,
    source_len: u64,
}

impl<'a> Window<'a> {
    /// From `begin` on. Nothing is asked for yet.
    pub(super) fn new(fetch: &'a SegmentFetch, begin: u64, len: u64, source_len: u64) -> Window<'a> {
        Window { fetch, begin, asked_until: begin, len, source_len }
    }

    /// Has all before `end` come, as far as it is in the window, and what comes after it. Where that is beyond the window, half of it
    /// is given up: what is read there again is a request of its own.
    pub(super) fn reach(&mut self, end: u64) {
        if end > self.begin + self.len {
            self.begin_at(end - self.len / 2);
        }
        let until = self.source_len.min(self.begin + self.len);
        if self.asked_until < until {
            self.fetch.push(self.asked_until..until);
            self.asked_until = until;
        }
    }

    /// Nothing before `begin` is read any more.
    pub(super) fn begin_at(&mut self, begin: u64) {
        if begin > self.begin {
            self.fetch.release(&(self.begin..begin));
            self.begin = begin;
            self.asked_until = self.asked_until.max(begin);
        }
    }

    /// Whether `len` bytes from `position` on are in it.
    pub(super) fn has_room(&self, position: u64, len: u64) -> bool {
        position.saturating_add(len) <= self.begin + self.len
    }
}
