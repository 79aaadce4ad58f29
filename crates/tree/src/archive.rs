//! An archive that comes in order, in pieces of any length: its members, and whether it stays within the strict profile.
//! Knows nothing of data: it is passed over.

use crate::{
    HeaderFault, Member, TreeError,
    entry::padded,
    header::FirstBlock,
    limits::{ARCHIVE_END_LEN, BLOCK_LEN, HEADER_LEN_MAX},
};

/// Finds the members of an archive in its bytes.
///
/// ```
/// use tree::{ArchiveScanner, EntryKind, Member, TreePath};
///
/// let member = Member::new(TreePath::parse(b"empty")?, EntryKind::File, 0o644);
/// let archive = [member.to_header()?, vec![0; 1024]].concat();
///
/// let (mut scanner, mut paths) = (ArchiveScanner::default(), Vec::new());
/// for piece in archive.chunks(100) {
///     scanner.push(piece, &mut |found| Ok(paths.push(found.member.path)))?;
/// }
/// assert_eq!(scanner.finish()?, archive.len() as u64);
/// assert_eq!(paths, [member.path]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ArchiveScanner {
    state: State,
    /// Bytes taken so far.
    at: u64,
    /// What has come of the header that is due, [`HEADER_LEN_MAX`] bytes at most.
    header: Vec<u8>,
}

/// A member whose header has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScannedMember {
    /// Where in the archive its header begins.
    pub header_at: u64,
    /// Bytes of its header. Its data begins behind it.
    pub header_len: u64,
    /// What the header says.
    pub member: Member,
}

impl Default for ArchiveScanner {
    fn default() -> Self {
        Self { state: State::Header { len: BLOCK_LEN }, at: 0, header: Vec::new() }
    }
}

impl ArchiveScanner {
    /// Takes the next bytes, and calls `found` for each header that ends in them.
    ///
    /// # Errors
    /// [`TreeError::OutsideProfile`] or [`TreeError::Name`], or that of `found`; no call follows.
    pub fn push(
        &mut self,
        bytes: &[u8],
        found: &mut dyn FnMut(ScannedMember) -> Result<(), TreeError>,
    ) -> Result<(), TreeError> {
        let count = self.push_to_end(bytes, found)?;
        let zeros = &bytes[count..];
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(self.fault("bytes behind the archive's end"));
        }
        self.advance(zeros.len())
    }

    /// As [`push`](Self::push), but takes nothing behind the archive's two blocks of zeros. Gives how many bytes were taken.
    pub(crate) fn push_to_end(
        &mut self,
        mut bytes: &[u8],
        found: &mut dyn FnMut(ScannedMember) -> Result<(), TreeError>,
    ) -> Result<usize, TreeError> {
        let all = bytes.len();
        while !bytes.is_empty() {
            let count = match self.state {
                State::Header { len } => {
                    let count = (len - self.header.len()).min(bytes.len());
                    self.header.extend_from_slice(&bytes[..count]);
                    count
                }
                State::Body { left } => {
                    let count = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    self.state = State::Body { left: left - count as u64 };
                    count
                }
                State::End => break,
            };
            self.advance(count)?;
            bytes = &bytes[count..];
            self.step(found)?;
        }
        Ok(all - bytes.len())
    }

    /// Whether both blocks of zeros have come.
    pub(crate) fn is_at_end(&self) -> bool {
        self.state == State::End
    }

    fn advance(&mut self, count: usize) -> Result<(), TreeError> {
        let at = self.at.checked_add(count as u64);
        self.at = at.ok_or_else(|| self.fault("a length beyond all numbers"))?;
        Ok(())
    }

    /// Ends the archive. Gives its length in bytes.
    ///
    /// # Errors
    /// [`TreeError::CutOff`]: it ends within a member, within a block, or without its end.
    pub fn finish(&self) -> Result<u64, TreeError> {
        let is_whole = self.at.is_multiple_of(BLOCK_LEN as u64);
        match (&self.state, &*self.header) {
            // Of one block of zeros `header` keeps nothing; the second one makes it `End`.
            (State::End, []) if is_whole => Ok(self.at),
            _ => Err(TreeError::CutOff { at: self.at }),
        }
    }

    /// Goes on where something is whole.
    fn step(
        &mut self,
        found: &mut dyn FnMut(ScannedMember) -> Result<(), TreeError>,
    ) -> Result<(), TreeError> {
        match self.state {
            State::Header { len } if self.header.len() == len => self.end_header(len, found),
            State::Body { left: 0 } => {
                self.state = State::Header { len: BLOCK_LEN };
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end_header(
        &mut self,
        len: usize,
        found: &mut dyn FnMut(ScannedMember) -> Result<(), TreeError>,
    ) -> Result<(), TreeError> {
        let header_at = self.at - len as u64;
        if self.header.iter().all(|byte| *byte == 0) {
            // One block of zeros, or both: the second is looked at in their place.
            self.state = match len {
                BLOCK_LEN => State::Header { len: ARCHIVE_END_LEN },
                _ => State::End,
            };
            if let State::End = self.state {
                self.header.clear();
            }
            return Ok(());
        }
        let first = self.header.first_chunk::<BLOCK_LEN>().map(FirstBlock::parse);
        let first = first.ok_or_else(|| self.fault("a header that is cut off"))?;
        let first = first.map_err(|what| TreeError::profile(header_at, what))?;
        if len < first.header_len() {
            self.state = State::Header { len: first.header_len() };
            return Ok(());
        }
        let member = Member::parse(&self.header).map_err(|fault| of_header(header_at, fault))?;
        self.header.clear();
        let left =
            padded(member.size).ok_or_else(|| TreeError::profile(header_at, "a size beyond all numbers"))?;
        self.state = if left == 0 { State::Header { len: BLOCK_LEN } } else { State::Body { left } };
        found(ScannedMember { header_at, header_len: len as u64, member })
    }

    fn fault(&self, what: &'static str) -> TreeError {
        TreeError::profile(self.at, what)
    }
}

/// Why there is no member at `at`.
pub(crate) fn of_header(at: u64, fault: HeaderFault) -> TreeError {
    match fault {
        HeaderFault::OutsideProfile(what) => TreeError::profile(at, what),
        HeaderFault::Name(path, fault) => TreeError::name(&path, fault),
    }
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// A header, of which this much is known to come.
    Header { len: usize },
    /// Data and padding, of which this many bytes are left.
    Body { left: u64 },
    /// Zeros up to the end.
    End,
}

const _: () = assert!(ARCHIVE_END_LEN <= HEADER_LEN_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EntryKind, NameFault, TreePath};

    fn member(path: &str, size: u64) -> Member {
        Member { size, ..Member::new(TreePath::parse(path.as_bytes()).unwrap(), EntryKind::File, 0o644) }
    }

    /// An archive of three members, with data that looks like headers.
    fn archive() -> Vec<u8> {
        let inner = member("inner", 0).to_header().unwrap();
        let long = Member { uid: 1 << 30, ..member("long", 0) };
        let mut bytes = member("a", 700).to_header().unwrap();
        bytes.extend([&inner[..], &inner[..188], &[0; 324]].concat());
        bytes.extend(long.to_header().unwrap());
        bytes.extend(member("z", 512).to_header().unwrap());
        bytes.extend([&inner[..], &[0; 1_536]].concat());
        bytes
    }

    /// Offset, length of the header, path.
    type Found = (u64, u64, String);

    fn scan(archive: &[u8], piece_len: usize) -> Result<(Vec<Found>, u64), TreeError> {
        let (mut scanner, mut members) = (ArchiveScanner::default(), Vec::new());
        for piece in archive.chunks(piece_len) {
            scanner.push(piece, &mut |found| {
                members.push((found.header_at, found.header_len, found.member.path.to_string()));
                Ok(())
            })?;
        }
        Ok((members, scanner.finish()?))
    }

    #[test]
    fn members_are_found_whatever_the_pieces() {
        let archive = archive();
        let expected = [(0, 512, "a"), (1_536, 1_536, "long"), (3_072, 512, "z")]
            .map(|(at, len, path)| (at, len, path.into()));
        for piece_len in [1, 7, 511, 512, 513, 1_024, archive.len()] {
            let (members, len) = scan(&archive, piece_len).unwrap();
            assert_eq!(members, expected, "pieces of {piece_len}");
            assert_eq!(len, archive.len() as u64);
        }
    }

    #[test]
    fn an_archive_that_is_cut_has_no_end() {
        let archive = archive();
        let whole_to = archive.len() - 512;
        assert_eq!(scan(&archive[..whole_to], 512).unwrap().1, whole_to as u64);
        for len in (0..whole_to).step_by(64).chain([whole_to - 1, whole_to + 1]) {
            assert!(scan(&archive[..len], 512).is_err(), "{len} bytes of {}", archive.len());
        }
    }

    #[test]
    fn what_is_behind_the_end_or_a_single_block_of_zeros_is_refused() {
        let mut archive = archive();
        let member = member("b", 0).to_header().unwrap();
        assert!(scan(&[&*archive, &member].concat(), 512).is_err());
        let end = archive.len() - 1_536;
        archive[end + 512..][..512].copy_from_slice(&member);
        for piece_len in [1, 512, 4_096] {
            assert!(scan(&archive, piece_len).is_err());
        }
    }

    #[test]
    fn a_member_out_of_the_tree_is_told_by_its_name() {
        let mut header = member("xx/passwd", 0).to_header().unwrap();
        header[2..4].copy_from_slice(b"..");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let error = scan(&[header, vec![0; 1_024]].concat(), 512).unwrap_err();
        assert!(matches!(error, TreeError::Name { fault: NameFault::Dots, .. }), "{error}");
    }
}
