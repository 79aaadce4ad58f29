//! Which bytes of a stream a sink has taken, and whether it may take more.
//! Knows nothing of where the bytes are.

use std::{collections::BTreeMap, io};

/// The ranges written so far, and the sink's state of life. One lock around it serves writers on all threads; it is
/// held for the bookkeeping of a write and never across the write itself.
#[derive(Debug)]
pub struct WrittenRanges {
    state: State,
    /// Start to end of each range. Ranges neither overlap nor touch: runs that arrive nearly in order keep this to
    /// about as many entries as there are writers.
    ranges: BTreeMap<u64, u64>,
    len_max: u64,
}

impl WrittenRanges {
    /// Ranges that may stand apart from each other. Writers that leave more gaps than this are not writing a stream.
    pub const RANGES_MAX: usize = 65_536;

    /// No ranges yet, of a stream of at most `len_max` bytes.
    pub fn new(len_max: u64) -> Self {
        Self { state: State::Live, ranges: BTreeMap::new(), len_max }
    }

    /// Notes that the bytes from `at` on are about to be written, if they may be; or that they are there and have been proved.
    ///
    /// # Errors
    /// The sink takes nothing more; [`io::ErrorKind::FileTooLarge`]; [`io::ErrorKind::InvalidInput`] where one of them was written
    /// before; too many gaps.
    pub fn claim(&mut self, at: u64, len: usize) -> io::Result<()> {
        self.check_live()?;
        let end = at.checked_add(len as u64).filter(|end| *end <= self.len_max);
        let Some(end) = end else {
            let message = format!("{len} bytes at {at} go beyond the sink's limit of {} bytes", self.len_max);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        };
        if len == 0 {
            return Ok(());
        }
        let before = self.ranges.range(..=at).next_back().map(|(start, end)| (*start, *end));
        let after = self.ranges.range(at..).next().map(|(start, end)| (*start, *end));
        if before.is_some_and(|(_, before)| before > at) || after.is_some_and(|(after, _)| after < end) {
            let message = format!("bytes {at} to {end} of the stream are written twice");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let start = before.filter(|(_, before)| *before == at).map_or(at, |(start, _)| start);
        let end = match after.filter(|(after, _)| *after == end) {
            Some((after, joined)) => {
                self.ranges.remove(&after);
                joined
            }
            None => end,
        };
        self.ranges.insert(start, end);
        if self.ranges.len() > Self::RANGES_MAX {
            return Err(io::Error::other("writes leave too many gaps"));
        }
        Ok(())
    }

    /// Counts the first `end` bytes as written. Nothing has been written yet.
    ///
    /// # Errors
    /// The sink takes nothing more; [`io::ErrorKind::InvalidInput`] where others were written, or `end` is beyond the limit.
    pub fn keep(&mut self, end: u64) -> io::Result<()> {
        self.check_live()?;
        if !self.ranges.is_empty() || end > self.len_max {
            let message =
                format!("the first {end} bytes cannot count as written: too many, or others were written");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        if end > 0 {
            self.ranges.insert(0, end);
        }
        Ok(())
    }

    /// Forgets every byte from `at` on.
    pub fn cut(&mut self, at: u64) {
        self.ranges.split_off(&at);
        if let Some(mut last) = self.ranges.last_entry() {
            let end = (*last.get()).min(at);
            *last.get_mut() = end;
        }
    }

    /// Whether the bytes written are exactly those of a stream of `len` bytes, and the sink may publish them.
    ///
    /// # Errors
    /// They are not ([`io::ErrorKind::InvalidInput`]); the sink has failed or is closed.
    pub fn check_complete(&self, len: u64) -> io::Result<()> {
        self.check_live()?;
        let first = self.ranges.first_key_value().map_or((0, 0), |(start, end)| (*start, *end));
        let complete =
            if len == 0 { self.ranges.is_empty() } else { first == (0, len) && self.ranges.len() == 1 };
        if complete {
            return Ok(());
        }
        let whole_to = self.whole_to();
        let end = self.ranges.last_key_value().map_or(0, |(_, end)| *end);
        let message =
            format!("publishing {len} bytes, but bytes were written up to {end}, whole up to {whole_to}");
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }

    /// Where the first byte is that was not written.
    pub fn whole_to(&self) -> u64 {
        self.ranges.get(&0).copied().unwrap_or(0)
    }

    /// Whether more may be written.
    ///
    /// # Errors
    /// The sink has failed, and why, or is closed.
    pub fn check_live(&self) -> io::Result<()> {
        match &self.state {
            State::Live => Ok(()),
            State::Failed(Some((kind, said))) => Err(io::Error::new(*kind, said.clone())),
            State::Failed(None) => Err(io::Error::other("the sink failed earlier and takes nothing more")),
            State::Closed => Err(io::Error::other("the sink is closed and takes nothing more")),
        }
    }

    /// Nothing more is written, whatever comes: final.
    pub fn fail(&mut self) {
        if let State::Live = self.state {
            self.state = State::Failed(None);
        }
    }

    /// A write failed: final. Whoever comes later hears why, for of several writers' errors any may be the one reported.
    pub fn fail_for(&mut self, error: &io::Error) {
        if let State::Live = self.state {
            self.state = State::Failed(Some((error.kind(), error.to_string())));
        }
    }

    /// Published, discarded or dropped. Tells whether this call was the one that did it.
    pub fn close(&mut self) -> Closing {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Closed => Closing::Again,
            State::Live | State::Failed(_) => Closing::First,
        }
    }
}

/// Whether a call to close was the one that did it.
#[derive(PartialEq, Eq, Debug)]
pub enum Closing {
    /// It was.
    First,
    /// It was closed before.
    Again,
}

#[derive(Debug)]
enum State {
    Live,
    Failed(Option<(io::ErrorKind, String)>),
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> WrittenRanges {
        WrittenRanges::new(u64::MAX)
    }

    #[test]
    fn ranges_in_any_order_become_one() {
        // Every order of four neighbouring ranges.
        let parts = [(0_u64, 3_usize), (3, 1), (4, 5), (9, 2)];
        let mut orders = 0;
        for a in 0..4 {
            for b in (0..4).filter(|b| *b != a) {
                for c in (0..4).filter(|c| *c != a && *c != b) {
                    let d = 6 - a - b - c;
                    let mut written = written();
                    for part in [a, b, c] {
                        written.claim(parts[part].0, parts[part].1).unwrap();
                    }
                    assert!(written.check_complete(11).is_err(), "{a}{b}{c} leaves a hole");
                    written.claim(parts[d].0, parts[d].1).unwrap();
                    written.check_complete(11).unwrap();
                    assert_eq!(written.ranges.len(), 1);
                    orders += 1;
                }
            }
        }
        assert_eq!(orders, 24);
    }

    #[test]
    fn a_byte_written_twice_is_refused_wherever_the_ranges_meet() {
        for (at, len) in [(10, 1), (5, 6), (19, 1), (19, 9), (12, 3), (5, 30), (10, 10)] {
            let mut written = written();
            written.claim(10, 10).unwrap();
            assert!(written.claim(at, len).is_err(), "{at}+{len}");
        }
        let mut written = written();
        written.claim(10, 10).unwrap();
        written.claim(5, 5).unwrap();
        written.claim(20, 5).unwrap();
        written.claim(15, 0).unwrap();
    }

    #[test]
    fn it_is_whole_up_to_the_first_gap() {
        let mut written = written();
        for (at, len, whole_to) in [(5, 5, 0), (0, 2, 2), (3, 2, 2), (2, 1, 10), (10, 1, 11)] {
            written.claim(at, len).unwrap();
            assert_eq!(written.whole_to(), whole_to);
        }
    }

    #[test]
    fn only_the_exact_length_is_complete() {
        let mut written = written();
        written.check_complete(0).unwrap();
        written.claim(0, 8).unwrap();
        written.check_complete(8).unwrap();
        for len in [0, 7, 9, u64::MAX] {
            assert!(written.check_complete(len).is_err(), "{len}");
        }
    }

    #[test]
    fn a_cut_forgets_what_lies_behind_it_and_lets_it_be_written_again() {
        for at in 0..=12_u64 {
            let mut written = written();
            written.claim(0, 8).unwrap();
            written.claim(10, 2).unwrap();
            written.cut(at);
            assert!(written.check_complete(12).is_err() || at > 12);
            written.cut(8.min(at));
            written.check_complete(at.min(8)).unwrap();
            written.claim(at.min(8), 4).unwrap();
            written.check_complete(at.min(8) + 4).unwrap();
        }
    }

    #[test]
    fn bytes_that_are_kept_count_as_written_and_only_at_the_start() {
        for end in [0, 1, 8] {
            let mut written = WrittenRanges::new(8);
            written.keep(end).unwrap();
            written.check_complete(end).unwrap();
            assert!(written.claim(0, 8).is_err() || end == 0);
        }
        let mut written = WrittenRanges::new(8);
        assert!(written.keep(9).is_err());
        written.claim(7, 1).unwrap();
        assert!(written.keep(1).is_err());
    }

    #[test]
    fn limits_and_overflow_are_errors() {
        let mut written = WrittenRanges::new(100);
        written.claim(90, 10).unwrap();
        assert_eq!(written.claim(100, 1).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(written.claim(u64::MAX, 2).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn writers_that_leave_too_many_gaps_are_stopped() {
        let mut written = written();
        let most = WrittenRanges::RANGES_MAX as u64;
        for gap in 0..most {
            written.claim(gap * 2, 1).unwrap();
        }
        assert!(written.claim(most * 2, 1).is_err());
    }

    #[test]
    fn nothing_follows_a_failure_or_a_close() {
        let mut failed = written();
        failed.fail();
        assert!(failed.claim(0, 1).is_err());
        assert!(failed.check_complete(0).is_err());
        let mut closed = written();
        assert_eq!(closed.close(), Closing::First);
        closed.fail();
        assert_eq!(closed.close(), Closing::Again);
        assert!(closed.claim(0, 1).is_err());
    }
}
