//! Checks for the fuzzer: trees. An even first byte: the rest is a plaintext, whose catalog may say anything. An odd one: the rest is an archive,
//! which comes in pieces of a length that the second byte chooses.
//! It knows no file system.

use std::{io, sync::Arc};

use tree::{ArchiveScanner, Catalog, Content, Layout, Place, ReadAt, ScannedMember};

/// Everything below, for one input. Panics on a fault.
pub(crate) fn check(data: &[u8]) {
    match data {
        [mode, rest @ ..] if mode % 2 == 0 => check_plaintext(rest),
        [_, piece_len, rest @ ..] => check_archive(rest, usize::from(*piece_len) * 7 + 1),
        _ => {}
    }
}

/// A catalog that passes all checks leads to headers within the plaintext, and its layout is all of the plaintext and nothing else.
fn check_plaintext(plaintext: &[u8]) {
    let source = Arc::new(Bytes(plaintext.to_vec()));
    let Ok(Content::Tree(catalog)) = Catalog::open(source.clone()) else { return };
    let Ok(checked) = catalog.check() else { return };
    let layout = Layout::new(Arc::new(checked));
    let (mut at, mut skeleton_at, mut data_len) = (0, 0, 0);
    let pieces = layout.for_each_piece(0..plaintext.len() as u64, &mut |piece| {
        assert!(piece.at == at && piece.len > 0);
        at += piece.len;
        match piece.place {
            Place::Skeleton(place) => {
                assert_eq!(place, skeleton_at);
                skeleton_at += piece.len;
            }
            Place::File { entry, offset, .. } => {
                assert!(offset == 0 && piece.len == entry.size);
                data_len += piece.len;
            }
        }
        Ok(())
    });
    assert!(pieces.is_ok() && at == plaintext.len() as u64);
    assert_eq!(data_len, layout.checked().counts().data_len);
    for number in 0..layout.catalog().entries() {
        let Ok(Some(located)) = layout.catalog().entry(number) else { panic!("entry {number} is gone") };
        assert!(located.data_at() + located.entry.size <= plaintext.len() as u64);
        assert_eq!(layout.catalog().find(&located.entry.path).ok().flatten().as_ref(), Some(&located));
        if let Ok(member) = located.read_member(&*source) {
            assert_eq!(member.path, located.entry.path);
        }
    }
}

/// Pieces make no difference, and what is read of a header can be written so that it reads the same.
fn check_archive(archive: &[u8], piece_len: usize) {
    let at_once = scan(archive, archive.len().max(1));
    let in_pieces = scan(archive, piece_len);
    assert_eq!(at_once, in_pieces);
    for found in at_once.0 {
        let header = found.member.to_header();
        assert_eq!(header.ok().and_then(|header| tree::Member::parse(&header).ok()), Some(found.member));
    }
}

fn scan(archive: &[u8], piece_len: usize) -> (Vec<ScannedMember>, Option<u64>) {
    let (mut scanner, mut members) = (ArchiveScanner::default(), Vec::new());
    for piece in archive.chunks(piece_len) {
        let pushed = scanner.push(piece, &mut |found| {
            members.push(found);
            Ok(())
        });
        if pushed.is_err() {
            return (members, None);
        }
    }
    (members, scanner.finish().ok())
}

struct Bytes(Vec<u8>);

impl ReadAt for Bytes {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let range = start..start.checked_add(buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(self.0.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}
