//! Where the archive of a tree ends, in a plaintext that comes once, in order: what is behind it is not passed on.
//! Knows neither who brings the bytes nor who takes them.

use std::io;

use crate::{
    ArchiveScanner, Entry, TreeError,
    catalog::{Tail, encode_entries},
    limits::{BLOCK_LEN, PAGE_ENTRIES_MAX},
};

/// Passes on the archive of a tree, whose plaintext comes in pieces of any length, and nothing of its catalog.
///
/// The archive's end shows when what follows its zeros begins as the catalog of what has come has to begin. Of an archive that has left the strict profile
/// everything is passed on but the last 64 bytes, which have to be a tail that says so.
#[derive(Debug)]
pub struct ArchiveCut {
    state: State,
    scanner: ArchiveScanner,
    /// The first member, by which a first page is known.
    first: Option<Entry>,
    /// Bytes that came, and those of them that were passed on.
    seen: u64,
    passed: u64,
    /// What has come and is neither passed on nor dropped: a block at most, or what may be the tail.
    held: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Members, up to the archive's end.
    Members,
    /// Zeros of the archive's end, block by block.
    End,
    /// The catalog, of which the last bytes are held.
    Catalog,
    /// No archive of the profile: all but the last bytes.
    Other,
}

impl Default for ArchiveCut {
    fn default() -> ArchiveCut {
        let held = Vec::with_capacity(BLOCK_LEN);
        ArchiveCut {
            state: State::Members,
            scanner: ArchiveScanner::default(),
            first: None,
            seen: 0,
            passed: 0,
            held,
        }
    }
}

impl ArchiveCut {
    /// Takes the next bytes of the plaintext, and calls `pass` with those of the archive.
    ///
    /// # Errors
    /// Those of `pass`.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        pass: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.seen += bytes.len() as u64;
        while !bytes.is_empty() {
            let count = match self.state {
                State::Members => self.members(bytes, pass)?,
                State::End => self.end(bytes, pass)?,
                State::Catalog | State::Other => self.hold_tail(bytes, pass)?,
            };
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Ends the plaintext: what is held of the archive is passed on. Gives the archive's length in bytes.
    ///
    /// # Errors
    /// [`TreeError::Catalog`] where it does not end with a tail that says the same of the archive; [`TreeError::Io`] of `pass`.
    pub fn finish(mut self, pass: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<u64, TreeError> {
        let of_pass = |error| TreeError::io("write the archive", error);
        if self.state == State::End && self.begins_catalog(&self.held) {
            self.state = State::Catalog;
        } else if !matches!(self.state, State::Catalog | State::Other) {
            self.state = State::Other;
            let held = std::mem::take(&mut self.held);
            self.hold_tail(&held, pass).map_err(of_pass)?;
        }
        let fault = |what| Err(TreeError::catalog(self.seen.saturating_sub(Tail::LEN as u64), what));
        let Some(tail) = self.held.last_chunk::<{ Tail::LEN }>() else {
            return fault("the plaintext is too short for a tree");
        };
        let (tail, _) = Tail::parse(tail, self.seen)?;
        match tail.has_catalog == (self.state == State::Catalog) && tail.tar_len == self.passed {
            true => Ok(self.passed),
            false if tail.has_catalog => fault("the archive is another than the tail says"),
            false => {
                fault("the end of an archive without a catalog shows only where it can be read at offsets")
            }
        }
    }

    fn members(&mut self, bytes: &[u8], pass: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<usize> {
        let first = &mut self.first;
        let scanned = self.scanner.push_to_end(bytes, &mut |found| {
            first.get_or_insert_with(|| found.member.to_entry(found.header_len));
            Ok(())
        });
        let Ok(count) = scanned else {
            self.state = State::Other;
            return Ok(0);
        };
        // What is no whole member may yet turn out to be the tail.
        self.hold_tail(&bytes[..count], pass)?;
        if self.scanner.is_at_end() {
            self.state = State::End;
            let held = std::mem::take(&mut self.held);
            self.pass_on(&held, pass)?;
        }
        Ok(count)
    }

    /// Behind the archive's two blocks of zeros: more of them, the catalog, or something else.
    fn end(&mut self, bytes: &[u8], pass: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<usize> {
        let count = (BLOCK_LEN - self.held.len()).min(bytes.len());
        self.held.extend_from_slice(&bytes[..count]);
        if self.held.len() < BLOCK_LEN {
            return Ok(count);
        }
        let block = std::mem::take(&mut self.held);
        if block.iter().all(|byte| *byte == 0) {
            self.pass_on(&block, pass)?;
        } else {
            self.state = if self.begins_catalog(&block) { State::Catalog } else { State::Other };
            self.hold_tail(&block, pass)?;
        }
        Ok(count)
    }

    /// Keeps the last bytes, and passes on what is before them, unless it is the catalog.
    fn hold_tail(
        &mut self,
        bytes: &[u8],
        pass: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<usize> {
        let over = (self.held.len() + bytes.len()).saturating_sub(Tail::LEN);
        let of_held = over.min(self.held.len());
        let held: Vec<u8> = self.held.drain(..of_held).collect();
        let (of_bytes, rest) = bytes.split_at(over - of_held);
        self.held.extend_from_slice(rest);
        if self.state != State::Catalog {
            self.pass_on(&held, pass)?;
            self.pass_on(of_bytes, pass)?;
        }
        Ok(bytes.len())
    }

    fn pass_on(&mut self, bytes: &[u8], pass: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.passed += bytes.len() as u64;
        if bytes.is_empty() { Ok(()) } else { pass(bytes) }
    }

    /// Whether a page with the first member as its first entry may begin so.
    fn begins_catalog(&self, block: &[u8]) -> bool {
        let Some(first) = &self.first else {
            return block.starts_with(Tail::MAGIC);
        };
        let (head_len, entries) = match *block {
            [head @ 0x81..=0x97, ..] => (1, usize::from(head & 0x1f)),
            [0x98, count, ..] => (2, usize::from(count)),
            [0x99, high, low, ..] => (3, usize::from(u16::from_be_bytes([high, low]))),
            _ => return false,
        };
        let begins_with = |(changed, gone)| {
            let mut page = Vec::new();
            encode_entries(&[Entry { changed, gone, ..first.clone() }], &mut page);
            // The head of an array of one is one byte.
            block[head_len..].iter().zip(&page[1..]).all(|(found, due)| found == due)
        };
        // What only the catalog says of a member (T4.6).
        let flags = [(false, false), (true, false), (true, true)];
        entries <= PAGE_ENTRIES_MAX && flags.into_iter().any(begins_with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CatalogWriter, EntryKind, Member, TreePath};

    fn member(path: &str, size: u64) -> Member {
        Member { size, ..Member::new(TreePath::parse(path.as_bytes()).unwrap(), EntryKind::File, 0o644) }
    }

    /// An archive of these members, with `zeros` bytes at its end, and its catalog.
    fn tree(members: &[Member], zeros: usize) -> (Vec<u8>, Vec<u8>) {
        let scratch = tempfile::tempdir().unwrap();
        let (mut archive, mut catalog) = (Vec::new(), CatalogWriter::new(scratch.path()).unwrap());
        for member in members {
            let header = member.to_header().unwrap();
            archive.extend_from_slice(&header);
            archive.extend(vec![0xab; member.size as usize]);
            archive.resize(archive.len().next_multiple_of(BLOCK_LEN), 0);
            catalog.push(member.to_entry(header.len() as u64)).unwrap();
        }
        archive.extend(vec![0; zeros]);
        let written = catalog.finish(archive.len() as u64).unwrap();
        let mut bytes = vec![0; crate::ReadAt::len(&written) as usize];
        crate::ReadAt::read_exact_at(&written, 0, &mut bytes).unwrap();
        (archive, bytes)
    }

    fn without_catalog(archive: &[u8]) -> Vec<u8> {
        let len = archive.len() as u64;
        [archive, &Tail::without_catalog(len).to_bytes(len)].concat()
    }

    fn cut(plaintext: &[u8], piece_len: usize) -> Result<Vec<u8>, TreeError> {
        let (mut cut, mut passed) = (ArchiveCut::default(), Vec::new());
        for piece in plaintext.chunks(piece_len) {
            cut.push(piece, &mut |bytes| {
                passed.extend_from_slice(bytes);
                Ok(())
            })
            .unwrap();
        }
        let mut rest = Vec::new();
        let len = cut.finish(&mut |bytes| {
            rest.extend_from_slice(bytes);
            Ok(())
        })?;
        passed.extend(rest);
        assert_eq!(len, passed.len() as u64);
        Ok(passed)
    }

    #[test]
    fn the_archive_ends_where_its_catalog_begins_whatever_the_pieces() {
        let many: Vec<_> = (0..300).map(|number| member(&format!("{number:04}"), 0)).collect();
        let long = [member(&format!("{}f", "d/".repeat(400)), 3), member("z", 512)];
        let long =
            [Member { path: TreePath::parse(&[b'n'; 200]).unwrap(), ..long[0].clone() }, long[1].clone()];
        for members in [&[][..], &[member("a", 0)], &[member("a", 511), member("b", 1_025)], &long, &many] {
            for zeros in [1_024, 1_536, 10_240] {
                let (archive, catalog) = tree(members, zeros);
                let plaintext = [&archive[..], &catalog].concat();
                for piece_len in [1, 63, 512, 1_000, plaintext.len()] {
                    let passed = cut(&plaintext, piece_len).unwrap();
                    assert!(passed == archive, "{} members, pieces of {piece_len}", members.len());
                }
            }
        }
    }

    #[test]
    fn what_has_no_catalog_is_passed_on_up_to_its_tail() {
        let (archive, catalog) = tree(&[member("a", 700)], 1_024);
        let behind_its_end = [&archive[..], b"what some program adds"].concat();
        let whole_block = [&archive[..], &[7; 1_024]].concat();
        // A catalog as data behind the end of an archive is none of the tree's.
        let other = tree(&[member("b", 700)], 1_024).1;
        let with_other = [&archive[..], &other].concat();
        for bytes in [
            &b""[..],
            b"x",
            &[1; 63],
            &[1; 64],
            &[0; 2_000],
            &archive[..700],
            &behind_its_end,
            &whole_block,
            &with_other,
        ] {
            for piece_len in [1, 64, 512, 5_000] {
                let passed = cut(&without_catalog(bytes), piece_len).unwrap();
                assert!(passed == bytes, "{} bytes in pieces of {piece_len}", bytes.len());
            }
        }
        // Where it is the very one that the archive would have, only an offset could tell.
        let same = [&archive[..], &catalog].concat();
        assert!(cut(&without_catalog(&same), 512).is_err());
    }

    #[test]
    fn a_tail_that_says_something_else_is_refused() {
        let (archive, catalog) = tree(&[member("a", 700)], 1_024);
        let plaintext = [&archive[..], &catalog].concat();
        for len in [0, 1, 63, archive.len(), plaintext.len() - 1] {
            assert!(cut(&plaintext[..len], 512).is_err(), "{len}");
        }
        let mut other = plaintext.clone();
        let at = other.len() - Tail::LEN + 16;
        other[at] ^= 2;
        assert!(cut(&other, 512).is_err());
        // An archive that has left the profile has no catalog.
        let mut left = plaintext;
        left[156] = b'L';
        left[148..156].fill(b' ');
        let sum: u32 = left[..512].iter().map(|byte| u32::from(*byte)).sum();
        left[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert!(cut(&left, 512).is_err());
    }
}
