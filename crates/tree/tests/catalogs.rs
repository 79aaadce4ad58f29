//! The vectors of vectors/catalogs.txt: trees that are right, and trees that lie, each of which is refused where TREE §6 says.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::{io, ops::Range, sync::Arc};

use cofferdam_io::ReadAt;
use tree::{Catalog, Content, Layout, Place, TreeError};

struct Vector {
    name: String,
    expect: String,
    about: String,
    plaintext: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    let text = include_str!("vectors/catalogs.txt");
    text.split("\n\n").skip(1).map(read_vector).collect()
}

fn read_vector(text: &str) -> Vector {
    let mut lines = text.lines();
    let mut field =
        |key: &str| lines.next().and_then(|line| line.strip_prefix(key)).unwrap().trim().to_owned();
    let [name, expect, about, len] = ["name:", "expect:", "about:", "len:"].map(&mut field);
    let mut plaintext = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["zeros", count] => plaintext.resize(plaintext.len() + count.parse::<usize>().unwrap(), 0),
            ["byte", byte, count] => {
                let len = plaintext.len() + count.parse::<usize>().unwrap();
                plaintext.resize(len, u8::from_str_radix(byte, 16).unwrap());
            }
            [digits] => {
                let bytes = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
                plaintext.extend(bytes.map(|byte| u8::from_str_radix(byte, 16).unwrap()));
            }
            _ => panic!("{name}: {line}"),
        }
    }
    assert_eq!(plaintext.len(), len.parse::<usize>().unwrap(), "{name}");
    Vector { name, expect, about, plaintext }
}

/// Bytes in memory.
struct Memory(Vec<u8>);

impl ReadAt for Memory {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let range = start..start.saturating_add(buffer.len());
        buffer.copy_from_slice(self.0.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

/// The skeleton of a plaintext, cut out of it by the layout.
fn skeleton(layout: &Layout, plaintext: &[u8]) -> Memory {
    let mut bytes = Vec::new();
    let take = &mut |piece: tree::Piece<'_>| {
        if let Place::Skeleton(at) = piece.place {
            assert_eq!(at, bytes.len() as u64, "the skeleton is dense");
            bytes.extend(&plaintext[piece.at as usize..][..piece.len as usize]);
        }
        Ok(())
    };
    layout.for_each_piece(0..plaintext.len() as u64, take).unwrap();
    assert_eq!(bytes.len() as u64, layout.skeleton_len(plaintext.len() as u64));
    Memory(bytes)
}

/// What a reader says of a plaintext, in the words of the vectors.
fn verdict(plaintext: &[u8]) -> Result<&'static str, (&'static str, TreeError)> {
    let class = |error: TreeError| match error {
        TreeError::Name { .. } => ("name", error),
        error => ("catalog", error),
    };
    let catalog = match Catalog::open(Arc::new(Memory(plaintext.to_vec()))).map_err(class)? {
        Content::PlainFile { tar_len } => {
            assert_eq!(tar_len as usize + 64, plaintext.len());
            return Ok("plain-file");
        }
        Content::Tree(catalog) => catalog,
    };
    let layout = Layout::new(Arc::new(catalog.check().map_err(class)?));
    let skeleton = skeleton(&layout, plaintext);
    let mut found = 0;
    for page in 0..layout.catalog().pages() {
        let take = &mut |located: &tree::LocatedEntry, member: tree::Member| {
            assert_eq!((located.number, &located.entry.path), (found, &member.path));
            let by_path = layout.catalog().find(&member.path)?.unwrap();
            let by_offset = layout.catalog().entry_at(located.header_at + 511)?.unwrap();
            assert!(by_path == *located && by_offset == *located);
            found += 1;
            Ok(())
        };
        layout.for_each_member(page, &skeleton, take).map_err(|error| ("header", error))?;
    }
    assert_eq!(found, layout.catalog().entries());
    layout.check_archive_end(&skeleton).map_err(|error| ("header", error))?;
    Ok("ok")
}

#[test]
fn each_vector_gets_its_verdict() {
    let vectors = vectors();
    assert!(vectors.iter().filter(|vector| vector.expect != "ok").count() >= 40);
    let mut wrong = Vec::new();
    for vector in vectors {
        let said = match verdict(&vector.plaintext) {
            Ok(said) => said.to_owned(),
            Err((said, TreeError::Io { what, source })) => {
                format!("{said}, by an I/O error: {what}: {source}")
            }
            Err((said, _)) => said.to_owned(),
        };
        if said != vector.expect {
            wrong.push(format!("{}: {}: {said} instead of {}", vector.name, vector.about, vector.expect));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// No byte of a catalog can be another without an answer, and no answer is a panic.
#[test]
fn a_catalog_with_any_byte_changed_is_answered() {
    for name in ["good", "good-two-a-page", "good-other-order"] {
        let vector = vectors().into_iter().find(|vector| vector.name == name).unwrap();
        let catalog_at = vector.plaintext.len() - vector.plaintext.len() % 512;
        let tar_len =
            u64::from_le_bytes(vector.plaintext[vector.plaintext.len() - 48..][..8].try_into().unwrap());
        assert!(tar_len as usize <= catalog_at);
        for at in tar_len as usize..vector.plaintext.len() {
            for flip in [1, 0x80, 0xff] {
                let mut plaintext = vector.plaintext.clone();
                plaintext[at] ^= flip;
                // The flag of a change is the catalog's alone, and one bit.
                if let Ok(said) = verdict(&plaintext) {
                    assert!(said == "ok" && flip == 1, "{name}: byte {at} ^ {flip:#x}");
                }
            }
        }
    }
}

/// Offset in the plaintext, length, and in a file its path and the offset there.
type Found = (u64, u64, Option<(String, u64)>);

fn pieces(layout: &Layout, range: Range<u64>) -> Vec<Found> {
    let mut pieces = Vec::new();
    let take = &mut |piece: tree::Piece<'_>| {
        let place = match piece.place {
            Place::Skeleton(_) => None,
            Place::File { entry, offset, .. } => Some((entry.path.to_string(), offset)),
        };
        pieces.push((piece.at, piece.len, place));
        Ok(())
    };
    layout.for_each_piece(range, take).unwrap();
    pieces
}

#[test]
fn a_range_is_cut_where_its_bytes_lie() {
    for name in ["good", "good-two-a-page"] {
        let vector = vectors().into_iter().find(|vector| vector.name == name).unwrap();
        let Content::Tree(catalog) = Catalog::open(Arc::new(Memory(vector.plaintext.clone()))).unwrap()
        else {
            panic!("{name} is a tree");
        };
        let layout = Layout::new(Arc::new(catalog.check().unwrap()));
        let file = |path: &str, offset| Some((path.to_owned(), offset));
        // `.` at 0, `a` at 512 with 700 bytes from 1,024 on, `d` at 2,048, `d/e` at 2,560 with a byte at 3,072.
        assert_eq!(pieces(&layout, 1_000..1_100), [(1_000, 24, None), (1_024, 76, file("a", 0))]);
        assert_eq!(pieces(&layout, 1_723..1_800), [(1_723, 1, file("a", 699)), (1_724, 76, None)]);
        assert_eq!(pieces(&layout, 1_030..1_031), [(1_030, 1, file("a", 6))]);
        assert!(pieces(&layout, 3_072..3_073) == [(3_072, 1, file("d/e", 0))]);
        assert!(pieces(&layout, 77..77).is_empty());
        // Whatever is asked for, the pieces are all of it and nothing else.
        let len = vector.plaintext.len() as u64;
        for start in (0..len).step_by(61) {
            for end in (start..=len).step_by(127) {
                let mut at = start;
                for (piece_at, piece_len, _) in pieces(&layout, start..end) {
                    assert_eq!(piece_at, at);
                    assert!(piece_len > 0);
                    at += piece_len;
                }
                assert_eq!(at, end);
            }
        }
    }
}

/// Whoever changes the one changes the other.
#[test]
fn the_vectors_are_what_their_program_makes() {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/catalogs.py");
    let output = std::process::Command::new("python3").arg("-B").arg(program).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == include_bytes!("vectors/catalogs.txt"), "run catalogs.py > catalogs.txt");
}
