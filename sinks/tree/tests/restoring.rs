//! Trees restored: in any order, from many threads, over what was there; refused or broken off, they leave what was there.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

#[path = "../../../crates/tree/tests/fixture/mod.rs"]
mod fixture;
mod place;

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    sync::Arc,
};

use cofferdam_io::ReadAt;
use contract::{AttemptId, CommitError, IfExists, StreamingSink};
use fixture::{difference, list, make_tree};
use place::{Fixture, Memory, checkpoint, fresh, replacing, write_positioned};
use storage::TargetError;
use tree_sink::{Attempt, OldTree, Opened, Room, SpooledTree, TreeOptions, TreeSink, TreeSinkError};

#[test]
fn a_tree_comes_back_as_it_was_in_whatever_order_it_is_written() {
    let fixture = Fixture::new();
    let expected = list(&fixture.tree());
    for (piece_len, threads) in [(997, 4), (65_536, 3), (1 << 20, 2), (64 << 20, 1)] {
        let mut sink = fixture.sink(fresh());
        write_positioned(&sink, &fixture.plaintext, piece_len, threads);
        assert!(!fixture.target().exists(), "nothing is seen before publish");
        let mode = fs::metadata(sink.staging_path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700, "nobody else may look in");
        sink.commit_segment(&checkpoint()).unwrap();
        sink.publish(fixture.plaintext.len() as u64).unwrap();
        assert_eq!(difference(&expected, &list(&fixture.target())), None, "pieces of {piece_len}");
        assert_eq!(fixture.beside(), ["target"]);
        fs::remove_dir_all(fixture.target()).unwrap();
    }
}

#[test]
fn a_tree_in_order_may_roll_back_to_other_bytes() {
    let fixture = Fixture::new();
    let mut sink = fixture.sink(fresh());
    roll_back_each_segment(&mut sink, &fixture.plaintext);
    assert_eq!(difference(&list(&fixture.tree()), &list(&fixture.target())), None);
}

/// Nothing but zeros is not written: where something was before, it is.
#[test]
fn a_tree_from_a_pipe_may_roll_back_to_other_bytes() {
    let fixture = Fixture::of(|tree| {
        make_tree(tree);
        fs::write(tree.join("zeros"), vec![0; 1 << 20]).unwrap();
    });
    let attempt_id = AttemptId::new(b"an attempt").unwrap();
    let mut sink = SpooledTree::create(fixture.target(), &fresh(), None, &attempt_id, None).unwrap();
    roll_back_each_segment(&mut sink, &fixture.plaintext);
    assert_eq!(difference(&list(&fixture.tree()), &list(&fixture.target())), None);
}

/// Writes other bytes in the place of each segment first.
fn roll_back_each_segment(sink: &mut dyn StreamingSink, plaintext: &[u8]) {
    let segments: Vec<&[u8]> = plaintext.chunks(300_000).collect();
    let mut at = 0;
    for (index, segment) in (0..).zip(segments) {
        sink.begin_segment(index, at).unwrap();
        sink.write_tentative(at, &vec![0xee; segment.len()]).unwrap();
        sink.rollback_segment().unwrap();
        sink.begin_segment(index, at).unwrap();
        for (piece_at, piece) in (0..).step_by(70_000).zip(segment.chunks(70_000)) {
            sink.write_tentative(at + piece_at, piece).unwrap();
        }
        sink.commit_segment(&checkpoint()).unwrap();
        at += segment.len() as u64;
    }
    sink.publish(at).unwrap();
}

#[test]
fn holes_come_back_as_holes() {
    let fixture = Fixture::of(|tree| {
        let sparse = fs::File::create(tree.join("sparse")).unwrap();
        sparse.set_len(64 << 20).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 32 << 20).unwrap();
    });
    fixture.restore(fresh());
    let found = fs::metadata(fixture.target().join("sparse")).unwrap();
    assert_eq!(found.size(), 64 << 20);
    assert!(found.blocks() * 512 < 1 << 20, "{} blocks", found.blocks());
    assert_eq!(difference(&list(&fixture.tree()), &list(&fixture.target())), None);
}

#[test]
fn what_breaks_off_or_is_discarded_leaves_nothing() {
    let fixture = Fixture::new();
    for is_discarded in [false, true] {
        let mut sink = fixture.sink(fresh());
        let positioned = sink.positioned().unwrap();
        let half = fixture.plaintext.len() / 2;
        positioned.write_all_at(0, &fixture.plaintext[..half]).unwrap();
        if is_discarded {
            sink.discard().unwrap();
        }
        drop(sink);
        assert!(fixture.beside().is_empty(), "{:?}", fixture.beside());
        assert!(positioned.write_all_at(half as u64, &fixture.plaintext[half..]).is_err());
        assert!(fixture.beside().is_empty());
    }
}

#[test]
fn a_tree_that_is_not_whole_is_not_published() {
    let fixture = Fixture::new();
    let len = fixture.plaintext.len();
    for (missing, published_len) in
        [(0..1, len), (len / 2..len / 2 + 1, len), (len - 1..len, len), (len - 1..len, len - 1)]
    {
        let mut sink = fixture.sink(fresh());
        let positioned = sink.positioned().unwrap();
        for part in [0..missing.start, missing.end..len] {
            positioned.write_all_at(part.start as u64, &fixture.plaintext[part]).unwrap();
        }
        let error = sink.publish(published_len as u64).unwrap_err();
        assert!(matches!(error, CommitError::NotCommitted(_)), "{error}");
        drop(sink);
        assert!(fixture.beside().is_empty());
    }
}

/// Whatever of headers, padding apart, or catalog is another byte than the catalog that was read at the start says.
#[test]
fn a_tree_that_is_another_than_its_catalog_said_is_not_published() {
    let fixture = Fixture::of(|tree| fs::write(tree.join("a"), [b'x'; 600]).unwrap());
    // The name of `a` in its header (behind the root's, which may have a pax header before it), and the last page.
    let name_at = fixture.plaintext.windows(4).position(|bytes| bytes == b"./a\0").unwrap();
    let tar_len_at = fixture.plaintext.len() - 48;
    let tar_len = u64::from_le_bytes(fixture.plaintext[tar_len_at..][..8].try_into().unwrap()) as usize;
    for at in [name_at, name_at + 100, tar_len - 1, tar_len, tar_len + 10, fixture.plaintext.len() - 64] {
        let mut sink = fixture.sink(fresh());
        let mut other = fixture.plaintext.clone();
        other[at] ^= 1;
        sink.positioned().unwrap().write_all_at(0, &other).unwrap();
        let error = sink.publish(other.len() as u64).unwrap_err();
        assert!(matches!(error, CommitError::NotCommitted(_)), "byte {at}: {error}");
        drop(sink);
        assert!(fixture.beside().is_empty(), "byte {at}");
    }
}

#[test]
fn a_target_that_is_there_is_refused_or_replaced_as_a_whole() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.target().join("old/deep")).unwrap();
    fs::write(fixture.target().join("old/deep/f"), "old").unwrap();
    assert!(matches!(fixture.refusal(fresh()), TreeSinkError::Target(TargetError::DirectoryExists { .. })));
    let restored = fixture.restore(replacing());
    assert_eq!((restored.old_tree, restored.not_removed), (None, None));
    assert_eq!(difference(&list(&fixture.tree()), &list(&fixture.target())), None);
    assert_eq!(fixture.beside(), ["target"]);
    // Once more, and the tree that was replaced is kept.
    fs::write(fixture.target().join("mine"), "kept").unwrap();
    let restored = fixture.restore(replacing().old_tree(OldTree::Keep));
    assert_eq!(fixture.beside(), ["target", "target.cofferdam-old"]);
    assert_eq!(fs::read(restored.old_tree.unwrap().join("mine")).unwrap(), b"kept");
    // The next one that is kept has another name, for that one is taken: nothing that is kept is at a name where attempts are looked for.
    let restored = fixture.restore(replacing().old_tree(OldTree::Keep));
    assert!(restored.old_tree.unwrap().ends_with("target.cofferdam-old-2"));
}

#[test]
fn only_a_directory_is_replaced() {
    let fixture = Fixture::new();
    fs::write(fixture.target(), "a file").unwrap();
    assert!(matches!(fixture.refusal(replacing()), TreeSinkError::Target(_)));
    fs::remove_file(fixture.target()).unwrap();
    symlink(fixture.tree(), fixture.target()).unwrap();
    assert!(matches!(fixture.refusal(replacing()), TreeSinkError::Target(TargetError::OtherKind { .. })));
    assert_eq!(fixture.beside(), ["target"]);
}

#[test]
fn a_target_that_became_another_directory_is_not_replaced() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.target()).unwrap();
    let mut sink = fixture.sink(replacing());
    write_positioned(&sink, &fixture.plaintext, 1 << 20, 1);
    fs::rename(fixture.target(), fixture.scratch.path().join("moved")).unwrap();
    fs::create_dir(fixture.target()).unwrap();
    fs::write(fixture.target().join("new"), "of somebody else").unwrap();
    let error = sink.publish(fixture.plaintext.len() as u64).unwrap_err();
    assert!(matches!(error, CommitError::NotCommitted(_)), "{error}");
    drop(sink);
    assert_eq!(fs::read(fixture.target().join("new")).unwrap(), b"of somebody else");
    assert_eq!(fixture.beside(), ["target"]);
}

#[test]
fn a_target_that_appeared_meanwhile_stays() {
    let fixture = Fixture::new();
    let mut sink = fixture.sink(fresh());
    write_positioned(&sink, &fixture.plaintext, 1 << 20, 1);
    fs::create_dir(fixture.target()).unwrap();
    let error = sink.publish(fixture.plaintext.len() as u64).unwrap_err();
    assert_eq!(error.io().kind(), io::ErrorKind::AlreadyExists);
    drop(sink);
    assert_eq!(fixture.beside(), ["target"]);
    assert_eq!(fs::read_dir(fixture.target()).unwrap().count(), 0);
}

#[test]
fn two_restores_of_one_target_are_not_at_work_at_once() {
    let fixture = Fixture::new();
    let first = fixture.sink(fresh());
    assert!(matches!(fixture.refusal(fresh()), TreeSinkError::Target(TargetError::Held { .. })));
    drop(first);
    drop(fixture.sink(fresh()));
    assert!(fixture.beside().is_empty());
}

#[test]
fn what_a_crashed_restore_left_is_removed_and_what_is_no_directory_stays() {
    let fixture = Fixture::new();
    let staging = fixture.scratch.path().join("at/.target.cofferdam-staging");
    // Of an attempt that has written something, and has a journal.
    let attempt = Attempt { id: &AttemptId::new(b"a restore").unwrap(), is_ours: &|_| false };
    let plaintext = Memory(fixture.plaintext.clone());
    let Opened::Fresh(mut sink) = TreeSink::open(fixture.target(), &plaintext, &fresh(), &attempt).unwrap()
    else {
        panic!("nothing was there");
    };
    sink.positioned().unwrap().write_all_at(0, &fixture.plaintext[..1]).unwrap();
    sink.commit_segment(&checkpoint()).unwrap();
    drop(sink);
    assert!(staging.is_dir());
    fs::create_dir_all(staging.join("a/b")).unwrap();
    symlink(fixture.tree(), staging.join("out")).unwrap();
    fs::write(staging.join("a/b/f"), "stale").unwrap();
    fs::set_permissions(staging.join("a"), fs::Permissions::from_mode(0o000)).unwrap();
    let before = list(&fixture.tree());
    fixture.restore(fresh());
    assert_eq!(difference(&before, &list(&fixture.target())), None);
    assert_eq!(difference(&before, &list(&fixture.tree())), None, "links are not followed");
    fs::remove_dir_all(fixture.target()).unwrap();
    fs::write(&staging, "somebody's").unwrap();
    assert!(matches!(fixture.refusal(fresh()), TreeSinkError::Target(TargetError::InTheWay { .. })));
    assert_eq!(fs::read(&staging).unwrap(), b"somebody's");
    fs::remove_file(&staging).unwrap();
    symlink(fixture.tree(), &staging).unwrap();
    assert!(matches!(fixture.refusal(fresh()), TreeSinkError::Target(TargetError::InTheWay { .. })));
    assert_eq!(difference(&before, &list(&fixture.tree())), None);
}

#[test]
fn a_tree_that_lies_is_refused_before_anything_is_made() {
    let scratch = tempfile::tempdir().unwrap();
    let target = scratch.path().join("target");
    let refused = |plaintext: Vec<u8>| TreeSink::create(&target, &Memory(plaintext), &fresh()).unwrap_err();
    assert!(matches!(refused(vec![0; 63]), TreeSinkError::Tree(_)));
    assert!(matches!(refused(vec![0; 4_096]), TreeSinkError::Tree(_)));
    let fixture = Fixture::new();
    assert!(matches!(
        refused(fixture.plaintext[..fixture.plaintext.len() - 1].to_vec()),
        TreeSinkError::Tree(_)
    ));
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn a_tree_for_which_there_is_no_room_is_refused_unless_it_is_said_to_have_holes() {
    let fixture = Fixture::of(|tree| {
        fs::File::create(tree.join("huge")).unwrap().set_len(1 << 20).unwrap();
    });
    // The catalog says so, whatever comes: 8 EiB in one file, of which nothing else is read.
    let member = tree::Member {
        size: 1 << 60,
        ..tree::Member::new(tree::TreePath::parse(b"huge").unwrap(), tree::EntryKind::File, 0o600)
    };
    let mut writer = tree::CatalogWriter::new(fixture.scratch.path()).unwrap();
    writer.push(member.to_entry(512)).unwrap();
    let tar_len = writer.next_header_at() + 1_024;
    let plaintext = Arc::new(writer.finish(tar_len).unwrap()).into_plaintext();
    let create = |options| TreeSink::create(fixture.target(), &*plaintext, &options);
    assert!(matches!(create(fresh()), Err(TreeSinkError::Target(TargetError::NoRoom { .. }))));
    assert!(create(fresh().room(Room::Assume)).is_ok());
    assert!(fixture.beside().is_empty());
}

#[test]
fn set_id_bits_are_left_out_and_counted_unless_asked_for() {
    let fixture = Fixture::new();
    let restored = fixture.restore(TreeOptions::new(IfExists::Refuse));
    assert_eq!(restored.left_out.set_id_bits, 1);
    let mode = |root: &Path| fs::metadata(root.join("a/b/1")).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&fixture.tree()), mode(&fixture.target())), (0o4711, 0o711));
}

#[test]
fn a_directory_in_which_nobody_may_write_is_restored_with_what_is_in_it() {
    let fixture = Fixture::of(|tree| {
        fs::create_dir_all(tree.join("closed/below")).unwrap();
        fs::write(tree.join("closed/below/f"), "f").unwrap();
        for name in ["closed/below", "closed", "."] {
            fs::set_permissions(tree.join(name), fs::Permissions::from_mode(0o555)).unwrap();
        }
    });
    fixture.restore(fresh());
    assert_eq!(difference(&list(&fixture.tree()), &list(&fixture.target())), None);
    // And it can be replaced, and removed.
    fixture.restore(replacing());
    assert_eq!(fixture.beside(), ["target"]);
    for root in [fixture.tree(), fixture.target()] {
        for name in [".", "closed", "closed/below"] {
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}

/// Devices are made by root alone: of others nothing can be seen here.
#[test]
fn devices_are_left_out_with_all_of_their_names() {
    let fixture = Fixture::of(|tree| fs::write(tree.join("f"), "f").unwrap());
    let member =
        |path: &str, kind| tree::Member::new(tree::TreePath::parse(path.as_bytes()).unwrap(), kind, 0o600);
    let device = tree::Member { device: (1, 3), ..member("null", tree::EntryKind::CharDevice) };
    let link = tree::Member { link: b"null".to_vec(), ..member("other-name", tree::EntryKind::HardLink) };
    let mut writer = tree::CatalogWriter::new(fixture.scratch.path()).unwrap();
    let mut plaintext = Vec::new();
    for member in [device, link] {
        let header = member.to_header().unwrap();
        writer.push(member.to_entry(header.len() as u64)).unwrap();
        plaintext.extend(header);
    }
    plaintext.extend([0; 1_024]);
    let catalog = writer.finish(plaintext.len() as u64).unwrap();
    let mut bytes = vec![0; catalog.len() as usize];
    catalog.read_exact_at(0, &mut bytes).unwrap();
    plaintext.extend(bytes);
    let fixture = Fixture { plaintext, ..fixture };
    assert_eq!(fixture.restore(fresh()).left_out.devices, 2);
    assert_eq!(fs::read_dir(fixture.target()).unwrap().count(), 0);
}

#[test]
fn rights_that_the_place_hands_down_are_not_taken() {
    let fixture = Fixture::new();
    let place = fixture.scratch.path().join("at");
    // A default ACL that lets user 12345 in: version 2; owner, that user, group, mask, others.
    let entry = |tag: u16, rights: u16, id: u32| {
        [tag.to_le_bytes().as_slice(), &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let none = u32::MAX;
    let acl = [
        2_u32.to_le_bytes().to_vec(),
        entry(1, 7, none),
        entry(2, 7, 12_345),
        entry(4, 7, none),
        entry(16, 7, none),
        entry(32, 5, none),
    ];
    let flags = rustix::fs::XattrFlags::empty();
    match rustix::fs::setxattr(&place, "system.posix_acl_default", &acl.concat(), flags) {
        // No ACLs on this file system: nothing is handed down.
        Err(rustix::io::Errno::NOTSUP) => return,
        set => set.unwrap(),
    }
    fs::set_permissions(&place, fs::Permissions::from_mode(0o2755)).unwrap();
    fixture.restore(fresh());
    assert_eq!(difference(&list(&fixture.tree()), &list(&fixture.target())), None);
}

/// Whether the file system can is for it to say: what it has afterwards is the sealed time, or is counted.
#[test]
fn times_that_the_file_system_cannot_hold_are_counted() {
    for (seconds, is_held) in [(0, true), (1 << 30, true), (-(1 << 62), false), (1 << 62, false)] {
        let mut fixture = Fixture::of(|_| ());
        let mut writer = tree::CatalogWriter::new(fixture.scratch.path()).unwrap();
        let path = tree::TreePath::parse(b"f").unwrap();
        let mut member = tree::Member::new(path, tree::EntryKind::File, 0o600);
        member.modified.seconds = seconds;
        let mut plaintext = member.to_header().unwrap();
        writer.push(member.to_entry(plaintext.len() as u64)).unwrap();
        plaintext.extend([0; 1_024]);
        let catalog = writer.finish(plaintext.len() as u64).unwrap();
        let mut bytes = vec![0; ReadAt::len(&catalog) as usize];
        ReadAt::read_exact_at(&catalog, 0, &mut bytes).unwrap();
        plaintext.extend(bytes);
        fixture.plaintext = plaintext;
        let restored = fixture.restore(fresh());
        let there = MetadataExt::mtime(&fs::metadata(fixture.target().join("f")).unwrap());
        assert!(there == seconds || !is_held, "{seconds}: {there}");
        assert_eq!(restored.left_out.times, u64::from(there != seconds), "{seconds}: {there}");
    }
}

#[test]
fn old_trees_are_kept_however_many_there_are() {
    let fixture = Fixture::new();
    fixture.restore(fresh());
    let name = |number: usize| match number {
        1 => "target.cofferdam-old".to_owned(),
        number => format!("target.cofferdam-old-{number}"),
    };
    (1..=120).for_each(|number| fs::create_dir(fixture.target().with_file_name(name(number))).unwrap());
    for number in [121, 122] {
        let restored = fixture.restore(replacing().old_tree(OldTree::Keep));
        assert_eq!(restored.old_tree, Some(fixture.target().with_file_name(name(number))));
        assert_eq!(restored.not_removed, None);
    }
    assert_eq!(difference(&list(&fixture.tree()), &list(&fixture.target())), None);
}

/// The security modules of a system give each file their attributes by rules and keys of their own.
#[test]
fn attributes_that_are_the_systems_to_give_are_left_to_it() {
    let name = |name: &str| format!("security.{name}");
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let fixture = Fixture::of(|tree| {
        fs::write(tree.join("f"), "f").unwrap();
        for (xattr, value) in [("user.own", "own"), ("security.selinux", "other_u"), ("security.ima", "x")] {
            let flags = rustix::fs::XattrFlags::empty();
            // A system with such a module has its own word in it.
            let _ = rustix::fs::setxattr(tree.join("f"), xattr, value.as_bytes(), flags);
        }
    });
    let value = |file: &Path, xattr: &str| {
        let mut value = [0; 64];
        rustix::fs::getxattr(file, xattr, &mut value).ok().map(|len| value[..len].to_vec())
    };
    let restored = fixture.restore(fresh());
    assert_eq!(restored.left_out.xattrs, 0);
    let (sealed, found) = (fixture.tree().join("f"), fixture.target().join("f"));
    assert_eq!(value(&found, "user.own"), Some(b"own".to_vec()));
    for xattr in ["selinux", "ima"] {
        let of_sealed = value(&sealed, &name(xattr));
        assert!(of_sealed.is_none() || value(&found, &name(xattr)) != of_sealed, "{xattr}");
    }
}
