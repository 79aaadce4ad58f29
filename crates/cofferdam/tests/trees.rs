//! Owns trees through the engine: a directory is sealed, and restored as it was or not at all.
//! Refuses to know how a tree is laid out; what it is made of is the fixture's.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

#[path = "../../tree/tests/fixture/mod.rs"]
mod fixture;
mod streams;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cofferdam::tree::{Content, OnChange, Plan, TreePath, TreeRoot, TreeSource, WalkOptions};
use cofferdam::tree_sink::{OldTree, SetIdBits, TreeOptions, TreeSink};
use cofferdam::{
    BytesSource, CancelToken, ContentKind, Error, ErrorKind, IfExists, IfNoTree, MemorySink, Sealer,
    TreeInput, TreeOutcome, check_tree, tree_content,
};
use fixture::{difference, list, make_tree};

use streams::counting::CountedSource;
use streams::{Shared, in_order, opener, scratch, small_sealer};

/// Seals a directory in frames and segments so small that most files span many.
fn seal(directory: &Path, plan: &Path) -> Vec<u8> {
    let root = || TreeRoot::open(directory).unwrap();
    let (plan, _) = Plan::create(&root(), plan, &WalkOptions::default()).unwrap();
    let source = TreeSource::new(root(), Arc::new(plan), OnChange::Refuse).unwrap();
    let (sink, contents) = MemorySink::new();
    small_sealer().tree().seal(source, sink).unwrap();
    contents.take().unwrap()
}

/// What a stream of these bytes, sealed so, is said to be.
fn content_of(sealer: &Sealer, plaintext: &[u8]) -> Result<Content, Error> {
    let (sink, contents) = MemorySink::new();
    sealer.seal(BytesSource::new(plaintext.to_vec()), sink).unwrap();
    let reader = opener().reader(BytesSource::new(contents.take().unwrap())).unwrap();
    tree_content(&Arc::new(reader))
}

/// The last 64 bytes of a tree without a catalog, whose archive has so many bytes (TREE T5.1, T5.4).
fn tail_without_catalog(tar_len: u64) -> Vec<u8> {
    let mut tail = b"CFDTREE\0\x01\0\x01\0\0\0\0\0".to_vec();
    for number in [tar_len, 0, tar_len, tar_len, tar_len + 64, 0] {
        tail.extend(number.to_le_bytes());
    }
    tail
}

/// A directory with one of everything, and what it is when it is sealed.
fn sealed_tree() -> (tempfile::TempDir, fixture::Listing, Vec<u8>) {
    let scratch = scratch();
    let directory = scratch.path().join("tree");
    fs::create_dir(&directory).unwrap();
    fs::create_dir(scratch.path().join("at")).unwrap();
    make_tree(&directory);
    let listing = list(&directory);
    let sealed = seal(&directory, &scratch.path().join("plan"));
    (scratch, listing, sealed)
}

fn sink(sealed: &[u8], target: &Path) -> TreeSink {
    let reader = opener().reader(BytesSource::new(sealed.to_vec())).unwrap();
    let options = TreeOptions::new(IfExists::Refuse).set_id_bits(SetIdBits::Restore);
    TreeSink::create(target, &reader, &options).unwrap()
}

#[test]
fn a_directory_is_sealed_and_restored_at_offsets_and_in_order() {
    let (scratch, expected, sealed) = sealed_tree();
    let target = scratch.path().join("at/offsets");
    opener().open(BytesSource::new(sealed.clone()), sink(&sealed, &target)).unwrap();
    assert_eq!(difference(&expected, &list(&target)), None);
    let target = scratch.path().join("at/in-order");
    opener().open(in_order(sealed.clone()), sink(&sealed, &target)).unwrap();
    assert_eq!(difference(&expected, &list(&target)), None);
}

#[test]
fn a_damaged_tree_leaves_nothing() {
    let (scratch, _, sealed) = sealed_tree();
    let place = scratch.path().join("at");
    for at in [sealed.len() / 4, sealed.len() / 2] {
        let mut damaged = sealed.clone();
        damaged[at] ^= 1;
        opener().open(BytesSource::new(damaged), sink(&sealed, &place.join("target"))).unwrap_err();
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
    }
}

#[test]
fn files_are_found_and_read_one_by_one() {
    let (_scratch, listing, sealed) = sealed_tree();
    let reader = Arc::new(opener().reader(BytesSource::new(sealed)).unwrap());
    assert_eq!(ContentKind::of_metadata(reader.metadata()).unwrap(), Some(ContentKind::Tree));
    let Content::Tree(catalog) = tree_content(&reader).unwrap() else {
        panic!("a directory has a catalog");
    };
    let mut files = 0;
    for (name, found) in listing.iter().filter(|(name, _)| !name.is_empty()) {
        let located = catalog.find(&TreePath::parse(name).unwrap()).unwrap().unwrap();
        let mut contents = vec![0; located.entry.size as usize];
        assert_eq!(reader.read_at(located.data_at(), &mut contents).unwrap(), contents.len());
        if located.entry.size > 0 {
            assert!(contents == found.contents, "{}", located.entry.path);
            files += 1;
        }
    }
    assert!(files > 10);
}

#[test]
fn a_stream_is_a_tree_if_it_says_so_and_damaged_if_it_is_none() {
    let (_scratch, _, sealed) = sealed_tree();
    let (sink, plaintext) = MemorySink::new();
    opener().open(BytesSource::new(sealed), sink).unwrap();
    let plaintext = plaintext.take().unwrap();
    assert!(matches!(content_of(&small_sealer().tree(), &plaintext), Ok(Content::Tree(_))));
    // The same bytes, and nobody says that they are a tree.
    let len = plaintext.len() as u64;
    let content = content_of(&small_sealer(), &plaintext);
    assert!(matches!(content, Ok(Content::PlainFile { tar_len }) if tar_len == len), "{content:?}");
    for bytes in [&plaintext[..plaintext.len() - 1], b"no tree at all", b"", &[0; 64]] {
        let refused = content_of(&small_sealer().tree(), bytes).map_err(|error| error.kind());
        assert!(matches!(refused, Err(ErrorKind::Damaged)), "{} bytes: {refused:?}", bytes.len());
    }
}

#[test]
fn a_tree_without_a_catalog_is_a_plain_file_of_what_is_before_its_tail() {
    for bytes in [&b"an archive that left the profile"[..], b""] {
        let plaintext = [bytes, &tail_without_catalog(bytes.len() as u64)].concat();
        let content = content_of(&small_sealer().tree(), &plaintext);
        let expected = bytes.len() as u64;
        assert!(matches!(content, Ok(Content::PlainFile { tar_len }) if tar_len == expected), "{content:?}");
    }
}

#[test]
fn nobody_but_the_library_says_that_a_stream_is_a_tree() {
    let (sink, contents) = MemorySink::new();
    let sealer = small_sealer().metadata("cofferdam.content", "tar+catalog/1");
    let refused = sealer.seal(BytesSource::new(*b"no tree"), sink).map_err(|error| error.kind());
    assert_eq!(refused.unwrap_err(), ErrorKind::Usage);
    assert!(contents.take().is_none());
}

#[test]
fn a_file_that_changes_is_an_input_that_changed_where_that_is_refused() {
    let scratch = scratch();
    let directory = scratch.path().join("tree");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("file"), "as planned").unwrap();
    let root = || TreeRoot::open(&directory).unwrap();
    let (plan, _) = Plan::create(&root(), &scratch.path().join("plan"), &WalkOptions::default()).unwrap();
    let source = TreeSource::new(root(), Arc::new(plan), OnChange::Refuse).unwrap();
    fs::write(directory.join("file"), "otherwise").unwrap();
    let (sink, contents) = MemorySink::new();
    let refused = small_sealer().tree().seal(source, sink).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::SourceChanged);
    assert!(contents.take().is_none());
}

/// The plaintext of a sealed tree, and where its archive ends (TREE T5.1).
fn plaintext_of(sealed: &[u8]) -> (Vec<u8>, usize) {
    let (sink, plaintext) = MemorySink::new();
    opener().open(BytesSource::new(sealed.to_vec()), sink).unwrap();
    let plaintext = plaintext.take().unwrap();
    let tar_len = plaintext[plaintext.len() - 48..][..8].try_into().unwrap();
    (plaintext, u64::from_le_bytes(tar_len) as usize)
}

#[test]
fn the_archive_alone_goes_out_at_offsets_and_in_order() {
    let (_scratch, _, sealed) = sealed_tree();
    let (plaintext, tar_len) = plaintext_of(&sealed);
    let (sink, archive) = MemorySink::new();
    opener().open_archive(BytesSource::new(sealed.clone()), sink, IfNoTree::Refuse).unwrap();
    assert!(archive.take().unwrap() == plaintext[..tar_len]);
    let (sink, archive) = MemorySink::new();
    opener().open_archive(in_order(sealed), sink, IfNoTree::Refuse).unwrap();
    assert!(archive.take().unwrap() == plaintext[..tar_len]);
    // Without a catalog, with bytes behind the archive's end that could be one's beginning.
    for bytes in [&plaintext[..tar_len + 5], &plaintext[..tar_len - 1], b"none at all"] {
        let plaintext = [bytes, &tail_without_catalog(bytes.len() as u64)].concat();
        let (sink, sealed) = MemorySink::new();
        small_sealer().tree().seal(BytesSource::new(plaintext), sink).unwrap();
        let (sink, archive) = MemorySink::new();
        opener().open_archive(in_order(sealed.take().unwrap()), sink, IfNoTree::Refuse).unwrap();
        assert!(archive.take().unwrap() == bytes, "{} bytes", bytes.len());
    }
}

#[test]
fn a_plaintext_that_does_not_end_as_a_tree_is_damaged_and_bytes_are_no_tree() {
    let (_scratch, _, sealed) = sealed_tree();
    let (plaintext, _) = plaintext_of(&sealed);
    let archive_of = |sealer: &Sealer, bytes: &[u8], if_no_tree| {
        let (sink, sealed) = MemorySink::new();
        sealer.seal(BytesSource::new(bytes.to_vec()), sink).unwrap();
        let (sink, archive) = MemorySink::new();
        let opened = opener().open_archive(BytesSource::new(sealed.take().unwrap()), sink, if_no_tree);
        opened.map(|_| archive.take().unwrap()).map_err(|error| error.kind())
    };
    for bytes in [&plaintext[..plaintext.len() - 1], b"no tree at all", b""] {
        let refused = archive_of(&small_sealer().tree(), bytes, IfNoTree::OpenAll);
        assert_eq!(refused.unwrap_err(), ErrorKind::Damaged, "{} bytes", bytes.len());
    }
    assert_eq!(archive_of(&small_sealer(), &plaintext, IfNoTree::Refuse).unwrap_err(), ErrorKind::Usage);
    assert!(archive_of(&small_sealer(), &plaintext, IfNoTree::OpenAll).unwrap() == plaintext);
}

#[test]
fn a_header_that_says_something_else_than_the_catalog_is_found() {
    let (scratch, listing, sealed) = sealed_tree();
    let check = |plaintext: &[u8]| {
        let (sink, sealed) = MemorySink::new();
        small_sealer().tree().seal(BytesSource::new(plaintext.to_vec()), sink).unwrap();
        let reader = Arc::new(opener().reader(BytesSource::new(sealed.take().unwrap())).unwrap());
        check_tree(&reader).map_err(|error| error.kind())
    };
    let (mut plaintext, tar_len) = plaintext_of(&sealed);
    let counts = check(&plaintext).unwrap().unwrap();
    let members = counts.files + counts.hard_links + counts.symlinks + counts.directories + counts.others;
    assert_eq!(members as usize, listing.len());
    // A byte in the archive's end, which is zeros (TREE T1.1).
    plaintext[tar_len - 1] = 1;
    assert_eq!(check(&plaintext), Err(ErrorKind::Damaged));
    plaintext[tar_len - 1] = 0;
    // The last digit of the mode in its ustar block, with a checksum that is right again.
    let at = plaintext.windows(8).position(|bytes| bytes == b"./a.txt\0").unwrap();
    plaintext[at + 106] ^= 1;
    let field = &mut plaintext[at..at + 512];
    field[148..156].fill(b' ');
    let sum: u32 = field.iter().map(|byte| u32::from(*byte)).sum();
    field[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(check(&plaintext), Err(ErrorKind::Damaged));
    // Restored it is the same, and nothing is kept of it: no other run would come further.
    let place = scratch.path().join("at");
    let (sink, sealed) = MemorySink::new();
    small_sealer().tree().seal(BytesSource::new(plaintext), sink).unwrap();
    let opener = opener().trees(TreeOptions::default(), &TreeOutcome::default());
    let refused =
        opener.restore_to(BytesSource::new(sealed.take().unwrap()), place.join("target")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Damaged, "{refused}");
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
    // Nothing to compare with.
    assert_eq!(check(&[&b"x"[..], &tail_without_catalog(1)].concat()), Ok(None));
}

#[test]
fn one_file_of_a_tree_is_found_and_read_by_a_small_part_of_the_stream() {
    let scratch = scratch();
    let directory = scratch.path().join("tree");
    for number in 0..2_000 {
        let name = directory.join(format!("{}/{number}", number / 100));
        fs::create_dir_all(name.parent().unwrap()).unwrap();
        fs::write(name, format!("file {number} ").repeat(200)).unwrap();
    }
    let sealed = Shared::new(seal(&directory, &scratch.path().join("plan")));
    let len = sealed.as_ref().len() as u64;
    let read = Arc::new(AtomicU64::new(0));
    let reader = Arc::new(opener().reader(CountedSource::of(sealed, read.clone())).unwrap());
    let Content::Tree(catalog) = tree_content(&reader).unwrap() else { panic!("a directory has a catalog") };
    let found = catalog.find(&TreePath::parse(b"7/777").unwrap()).unwrap().unwrap();
    found.read_member(&*reader).unwrap();
    let mut contents = vec![0; found.entry.size as usize];
    reader.read_at(found.data_at(), &mut contents).unwrap();
    assert_eq!(contents, "file 777 ".repeat(200).as_bytes());
    // One page of the catalog has all 2,000 entries; of the index, and of the files, next to nothing is read.
    let read = read.load(Ordering::SeqCst);
    assert!(read < len / 8, "{read} of {len}");
}

#[test]
fn a_directory_is_sealed_by_its_name_and_nothing_is_left_of_its_plan() {
    let (scratch, expected, _) = sealed_tree();
    let (states, out) = (scratch.path().join("states"), scratch.path().join("out.cfd"));
    let input = TreeInput::new(scratch.path().join("tree"));
    let sealed = small_sealer().seal_tree(&input, &out, &states).unwrap();
    assert_eq!((sealed.changed.count, sealed.left_out.unwrap().sockets), (0, 0));
    assert_eq!(fs::read_dir(&states).unwrap().count(), 0);
    let target = scratch.path().join("at/restored");
    let sealed = fs::read(&out).unwrap();
    opener().open(BytesSource::new(sealed.clone()), sink(&sealed, &target)).unwrap();
    assert_eq!(difference(&expected, &list(&target)), None);

    let cancel = CancelToken::new();
    cancel.cancel();
    assert_eq!(input.plan(&states, &cancel).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(fs::read_dir(&states).unwrap().count(), 0);
}

/// It would be removed with the old directory, and nothing would be left of it but what was restored.
#[test]
fn a_directory_that_holds_the_sealed_stream_is_replaced_only_if_it_is_kept() {
    let (scratch, listing, sealed) = sealed_tree();
    let target = scratch.path().join("target");
    fs::create_dir_all(target.join("backups")).unwrap();
    let stream = target.join("backups/tree.cfd");
    fs::write(&stream, &sealed).unwrap();
    std::os::unix::fs::symlink(&stream, scratch.path().join("link.cfd")).unwrap();
    let restore = |options: TreeOptions, sealed: &Path, target: &Path| {
        let opener = opener().if_exists(IfExists::Replace).trees(options, &TreeOutcome::default());
        opener.restore_file(sealed, target)
    };
    let around = scratch.path().join("target/backups/..");
    for (sealed, target) in
        [(&stream, &target), (&scratch.path().join("link.cfd"), &target), (&stream, &around)]
    {
        let error = restore(TreeOptions::default(), sealed, target).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error:?}");
        assert!(error.to_string().contains("would be removed with it"), "{error:?}");
        assert!(stream.is_file());
    }
    let kept = TreeOptions::default().old_tree(OldTree::Keep).set_id_bits(SetIdBits::Restore);
    restore(kept, &stream, &target).unwrap();
    assert_eq!(difference(&listing, &list(&target)), None);
    assert_eq!(fs::read(scratch.path().join("target.cofferdam-old/backups/tree.cfd")).unwrap(), sealed);
}
