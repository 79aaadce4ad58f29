//! The fuzzer's checks, on the vectors and on archives.
//! `cargo xtask fuzz tree` runs them on what nobody makes.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

#[path = "../../../fuzz/src/tree.rs"]
mod tree_checks;

use tree::{EntryKind, Member, TreePath, Xattr};

/// Headers of several kinds, and an archive's end.
fn archive() -> Vec<u8> {
    let member = |path: &str, kind| Member::new(TreePath::parse(path.as_bytes()).unwrap(), kind, 0o644);
    let xattrs = vec![Xattr { name: b"user.a".to_vec(), value: b"x=y\n".to_vec() }];
    let file = Member { size: 3, uid: 1 << 30, xattrs, ..member("d/f", EntryKind::File) };
    let link = Member { link: b"d/f".to_vec(), ..member("h", EntryKind::HardLink) };
    let mut archive = member("d", EntryKind::Directory).to_header().unwrap();
    archive.extend(file.to_header().unwrap());
    archive.extend([7; 512]);
    archive.extend(link.to_header().unwrap());
    archive.extend([0; 1_024]);
    archive
}

#[test]
fn archives_that_are_cut_or_changed_are_refused_or_read_the_same_in_pieces() {
    let archive = archive();
    for len in (0..=archive.len()).step_by(13) {
        tree_checks::check(&[&[1, 9], &archive[..len]].concat());
    }
    for at in 0..archive.len() {
        for flip in [1, 0x20, 0x80] {
            let mut changed = [&[1, 40], archive.as_slice()].concat();
            changed[at + 2] ^= flip;
            tree_checks::check(&changed);
        }
    }
}

#[test]
fn catalogs_that_are_cut_or_changed_are_refused_or_lay_out_all_of_the_plaintext() {
    for directory in [1, 3] {
        let plaintext = plaintext(directory);
        for len in (0..=plaintext.len()).step_by(7) {
            tree_checks::check(&[&[0], &plaintext[..len]].concat());
        }
        for at in 0..plaintext.len() {
            for flip in [1, 0x10, 0x80, 0xff] {
                let mut changed = [&[0], plaintext.as_slice()].concat();
                changed[at + 1] ^= flip;
                tree_checks::check(&changed);
            }
        }
    }
}

/// A tree of some files.
fn plaintext(files: u64) -> Vec<u8> {
    let mut writer = tree::CatalogWriter::new(&std::env::temp_dir()).unwrap();
    let mut plaintext = Vec::new();
    for number in 0..files {
        let path = TreePath::parse(format!("{}", 9 - number).as_bytes()).unwrap();
        let member = Member { size: number * 300, ..Member::new(path, EntryKind::File, 0o600) };
        let header = member.to_header().unwrap();
        writer.push(member.to_entry(header.len() as u64)).unwrap();
        plaintext.extend(header);
        plaintext.resize(plaintext.len() + (member.size as usize).next_multiple_of(512), 0);
    }
    plaintext.extend([0; 1_024]);
    let catalog = writer.finish(plaintext.len() as u64).unwrap();
    let mut bytes = vec![0; tree::ReadAt::len(&catalog) as usize];
    tree::ReadAt::read_exact_at(&catalog, 0, &mut bytes).unwrap();
    plaintext.extend(bytes);
    plaintext
}
