//! Where an ordered stream stands: which segment is open, and where the next byte belongs.
//! Knows nothing of the bytes.

use std::io;

/// Follows the ordered calls of rules 2 to 4, and answers one out of order with an error.
#[derive(Debug, Default)]
pub struct Cursor {
    next_index: u64,
    committed_end: u64,
    /// Where the open segment's next byte belongs.
    open_end: Option<u64>,
}

impl Cursor {
    /// Behind the segments of an earlier attempt.
    pub fn resuming_at(index: u64, at: u64) -> Self {
        Self { next_index: index, committed_end: at, open_end: None }
    }

    /// A segment begins: the next one, where the last committed one ended.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`]: another one, elsewhere, or while one is open.
    pub fn begin(&mut self, index: u64, at: u64) -> io::Result<()> {
        if self.open_end.is_some() || index != self.next_index || at != self.committed_end {
            let (next, end) = (self.next_index, self.committed_end);
            return Err(misuse(format!(
                "segment {index} begins at {at} where segment {next} was due at {end}, or another one is open"
            )));
        }
        self.open_end = Some(at);
        Ok(())
    }

    /// A write is about to be made: where the one before ended.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`]: elsewhere, or with no segment open.
    pub fn write(&mut self, at: u64, len: usize) -> io::Result<()> {
        let end = at.checked_add(len as u64);
        match (self.open_end, end) {
            (Some(due), Some(end)) if due == at => {
                self.open_end = Some(end);
                Ok(())
            }
            (due, _) => Err(misuse(format!("a write at {at} where {due:?} was due"))),
        }
    }

    /// Gives where the segment began, from which everything is to be forgotten.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`]: no segment is open.
    pub fn roll_back(&mut self) -> io::Result<u64> {
        match self.open_end.take() {
            Some(_) => Ok(self.committed_end),
            None => Err(misuse("a roll back with no segment open".into())),
        }
    }

    /// Commits the open segment. In positioned mode none is, and there is nothing to do here.
    pub fn commit(&mut self) -> Committed {
        match self.open_end.take() {
            Some(end) => {
                self.committed_end = end;
                self.next_index += 1;
                Committed::OpenSegment
            }
            None => Committed::NothingOpen,
        }
    }

    /// Passes segment `index`, the next one, whose `len` bytes at `at` are not written. It stands behind it then, also
    /// where positioned writes, which it does not follow, have left it behind.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`]: a segment is open.
    pub fn pass(&mut self, index: u64, at: u64, len: u64) -> io::Result<()> {
        self.check_closed()?;
        self.next_index = index + 1;
        self.committed_end = at.saturating_add(len);
        Ok(())
    }

    /// Whether a publish may follow.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`]: a segment is open.
    pub fn check_closed(&self) -> io::Result<()> {
        match self.open_end {
            Some(_) => Err(misuse(format!("segment {} is still open", self.next_index))),
            None => Ok(()),
        }
    }

    /// Bytes of the open segment, if one is open.
    pub fn open_len(&self) -> Option<u64> {
        self.open_end.map(|end| end - self.committed_end)
    }

    /// The segment that is open, or comes next.
    pub fn next_index(&self) -> u64 {
        self.next_index
    }

    /// Bytes of the committed segments.
    pub fn committed_end(&self) -> u64 {
        self.committed_end
    }
}

/// What a commit found.
#[derive(PartialEq, Eq, Debug)]
pub enum Committed {
    /// The segment that was open.
    OpenSegment,
    /// No segment, as in positioned mode.
    NothingOpen,
}

fn misuse(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_follow_one_another() {
        let mut cursor = Cursor::default();
        cursor.begin(0, 0).unwrap();
        cursor.write(0, 5).unwrap();
        cursor.write(5, 0).unwrap();
        cursor.write(5, 2).unwrap();
        assert_eq!(cursor.open_len(), Some(7));
        assert_eq!(cursor.commit(), Committed::OpenSegment);
        cursor.begin(1, 7).unwrap();
        cursor.write(7, 3).unwrap();
        assert_eq!(cursor.roll_back().unwrap(), 7);
        cursor.begin(1, 7).unwrap();
        assert!(cursor.check_closed().is_err());
        assert_eq!(cursor.commit(), Committed::OpenSegment);
        cursor.check_closed().unwrap();
        assert_eq!(cursor.committed_end(), 7);
        assert_eq!(cursor.commit(), Committed::NothingOpen);
    }

    #[test]
    fn calls_out_of_order_are_errors() {
        let fresh = Cursor::default;
        assert!(fresh().write(0, 1).is_err());
        assert!(fresh().roll_back().is_err());
        assert!(fresh().begin(1, 0).is_err());
        assert!(fresh().begin(0, 1).is_err());
        let mut open = fresh();
        open.begin(0, 0).unwrap();
        assert!(open.begin(0, 0).is_err());
        assert!(open.write(1, 1).is_err());
        open.write(0, 1).unwrap();
        assert!(open.write(0, 1).is_err());
        assert!(open.write(1, usize::MAX).is_err());
    }
}
