//! Trees as the kernel asks for them, of archives made by hand: without directories, out of order, with headers that lie.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cofferdam_io::ReadAt;
use tree::{Catalog, CatalogWriter, Content, EntryKind, Member, NameFault, TreeError, TreePath, Xattr};

use crate::contents::Listing;
use crate::inode::Inode;
use crate::link_counts::LinkCounts;
use crate::{Contents, ContentsKind, HARD_LINKS_MAX, MountError, MountOptions, Owners};

struct Memory(Vec<u8>);

impl ReadAt for Memory {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let range = offset as usize..offset as usize + buffer.len();
        buffer.copy_from_slice(self.0.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

fn member(path: &str, kind: EntryKind) -> Member {
    Member::new(TreePath::parse(path.as_bytes()).unwrap(), kind, 0o640)
}

fn file(path: &str) -> (Member, Vec<u8>) {
    let contents = format!("in {path}").into_bytes();
    (Member { size: contents.len() as u64, ..member(path, EntryKind::File) }, contents)
}

fn other(path: &str, kind: EntryKind, link: &str) -> (Member, Vec<u8>) {
    (Member { link: link.as_bytes().to_vec(), ..member(path, kind) }, Vec::new())
}

/// The plaintext of a tree of these members, in this order.
fn plaintext(members: &[(Member, Vec<u8>)]) -> Vec<u8> {
    let scratch = tempfile::tempdir().unwrap();
    let mut writer = CatalogWriter::new(scratch.path()).unwrap();
    let mut archive = Vec::new();
    for (member, contents) in members {
        let header = member.to_header().unwrap();
        writer.push(member.to_entry(header.len() as u64)).unwrap();
        archive.extend(header);
        archive.extend(contents);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    let catalog = writer.finish(archive.len() as u64).unwrap();
    let mut behind = vec![0; catalog.len() as usize];
    catalog.read_exact_at(0, &mut behind).unwrap();
    archive.extend(behind);
    archive
}

fn open(plaintext: Vec<u8>) -> Result<Contents, MountError> {
    Contents::open(Arc::new(Memory(plaintext)), ContentsKind::Tree("tree".into()), &MountOptions::default())
}

fn tree_of(members: &[(Member, Vec<u8>)]) -> Contents {
    open(plaintext(members)).unwrap()
}

/// Names and inodes of what is in a directory, from a position on.
fn children(contents: &Contents, directory: Inode, from: u64) -> Vec<(String, Inode, u64)> {
    let mut found = Vec::new();
    let take = &mut |child: crate::node::Child| {
        found.push((String::from_utf8(child.name).unwrap(), child.node.inode, child.next));
        Listing::HasRoom
    };
    contents.for_each_child(directory, from, take).unwrap();
    found
}

fn walk(contents: &Contents, path: &str) -> Inode {
    path.split('/').fold(Inode::Root, |directory, name| {
        contents.child(directory, name.as_bytes()).unwrap().unwrap().inode
    })
}

/// All paths that listings lead to. Each is found by its name, too, and each directory leads back.
fn paths(contents: &Contents, directory: Inode, prefix: &str, found: &mut BTreeSet<String>) {
    for (name, inode, _) in children(contents, directory, 0) {
        let path = format!("{prefix}{name}");
        let node = contents.child(directory, name.as_bytes()).unwrap().unwrap();
        assert_eq!(node.inode, inode, "{path}");
        assert_eq!(contents.node(inode).unwrap().as_ref(), Some(&node), "{path}");
        if node.kind == EntryKind::Directory {
            assert_eq!(contents.parent(inode).unwrap(), directory, "{path}");
            paths(contents, inode, &format!("{path}/"), found);
        }
        assert!(found.insert(path.clone()), "{path}");
    }
}

/// Directories without members, and names that sort between a directory and what is in it, by bytes.
const FILES: [&str; 9] = ["z", "a/b/c", "a-b", "a/b-c", "a/b/d/e/f", "a.d/x", "m", "a/b/d-", "k/1"];

#[test]
fn directories_without_members_are_there_whatever_the_order() {
    let mut expected = BTreeSet::new();
    for path in FILES {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        expected.extend(ends.map(|end| path[..end].to_owned()));
    }
    let mut members: Vec<_> = FILES.iter().map(|path| file(path)).collect();
    for _ in 0..2 {
        let contents = tree_of(&members);
        let mut found = BTreeSet::new();
        paths(&contents, Inode::Root, "", &mut found);
        assert_eq!(found, expected);
        let implied = contents.node(walk(&contents, "a/b/d")).unwrap().unwrap();
        assert_eq!((implied.kind, implied.mode, implied.links), (EntryKind::Directory, 0o755, 1));
        members.sort_by(|one, other| one.0.path.cmp(&other.0.path));
        // A second time with some of the directories, behind what is in them.
        members.push(other("a/b", EntryKind::Directory, ""));
        members.push(other(".", EntryKind::Directory, ""));
    }
}

#[test]
fn a_directory_of_an_archive_in_any_order_is_listed_with_few_reads() {
    struct Counting(Memory, AtomicU64);
    impl ReadAt for Counting {
        fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.read_exact_at(offset, buffer)
        }
        fn len(&self) -> u64 {
            self.0.len()
        }
    }
    // More pages than the catalog keeps.
    let mut members: Vec<_> =
        (0..80_000).map(|number| other(&format!("{number:05}"), EntryKind::File, "")).collect();
    fastrand::Rng::with_seed(5).shuffle(&mut members);
    let counting = Arc::new(Counting(Memory(plaintext(&members)), AtomicU64::new(0)));
    let options = MountOptions::default();
    let contents = Contents::open(counting.clone(), ContentsKind::Tree("tree".into()), &options).unwrap();
    let before = counting.1.load(Ordering::Relaxed);
    // As the kernel asks: a few at a time, each time from where it was.
    let (mut at, mut found) = (0, Vec::new());
    loop {
        let mut some = Vec::new();
        let take = &mut |child: crate::node::Child| {
            some.push((String::from_utf8(child.name).unwrap(), child.next));
            if some.len() < 50 { Listing::HasRoom } else { Listing::IsFull }
        };
        contents.for_each_child(Inode::Root, at, take).unwrap();
        let Some((_, next)) = some.last() else { break };
        at = *next;
        found.extend(some.into_iter().map(|(name, _)| name));
    }
    assert!(found.iter().cloned().eq((0..80_000).map(|number| format!("{number:05}"))));
    let reads = counting.1.load(Ordering::Relaxed) - before;
    assert!(reads < 4_000, "{reads} reads for 80,000 names");
}

#[test]
fn a_listing_goes_on_where_it_was_left() {
    let contents = tree_of(&FILES.map(file));
    for directory in [Inode::Root, walk(&contents, "a"), walk(&contents, "a/b")] {
        let all = children(&contents, directory, 0);
        assert!(all.len() > 1);
        for (at, (_, _, next)) in all.iter().enumerate() {
            assert_eq!(children(&contents, directory, *next), all[at + 1..]);
        }
    }
}

#[test]
fn many_files_in_one_directory_and_beside_it_are_all_listed() {
    // More than a page of the catalog.
    let members: Vec<_> =
        (0..5_000).map(|number| file(&format!("d/{number:04}"))).chain([file("e")]).collect();
    let contents = tree_of(&members);
    assert_eq!(children(&contents, Inode::Root, 0).len(), 2);
    let listed = children(&contents, walk(&contents, "d"), 0);
    let names: Vec<&str> = listed.iter().map(|(name, ..)| &**name).collect();
    assert_eq!(names, (0..5_000).map(|number| format!("{number:04}")).collect::<Vec<_>>());
}

#[test]
fn hard_links_are_one_inode_with_as_many_names() {
    let contents = tree_of(&[
        file("d/file"),
        other("a", EntryKind::HardLink, "d/file"),
        file("alone"),
        other("d/again", EntryKind::HardLink, "d/file"),
        other("link", EntryKind::Symlink, "d/file"),
    ]);
    let [file, alone] =
        ["d/file", "alone"].map(|path| contents.node(walk(&contents, path)).unwrap().unwrap());
    assert_eq!([walk(&contents, "a"), walk(&contents, "d/again")], [file.inode; 2]);
    assert_eq!((file.links, file.kind), (3, EntryKind::File));
    assert_eq!((alone.links, contents.node(walk(&contents, "link")).unwrap().unwrap().links), (1, 1));
    let listed = children(&contents, Inode::Root, 0);
    assert!(listed.iter().any(|(name, inode, _)| name == "a" && *inode == file.inode));
}

#[test]
fn what_is_asked_for_of_another_kind_is_not_there() {
    let contents =
        tree_of(&[file("f"), other("l", EntryKind::Symlink, "f"), other("d", EntryKind::Directory, "")]);
    let [file, link, directory] = ["f", "l", "d"].map(|path| walk(&contents, path));
    assert_eq!(contents.link_target(link).unwrap().unwrap(), b"f");
    assert!(contents.link_target(file).unwrap().is_none() && contents.extent(link).unwrap().is_none());
    assert!(contents.extent(directory).unwrap().is_none() && contents.extent(file).unwrap().is_some());
    assert!(contents.node(Inode::Entry(3)).unwrap().is_none());
    assert!(contents.child(Inode::Root, b"F").unwrap().is_none());
    let too_long = contents.child(Inode::Root, &[b'n'; 256]);
    assert!(matches!(too_long, Err(TreeError::Name { fault: NameFault::TooLong, .. })));
}

/// Of the first member: a mode of the ustar block, and its checksum with it.
fn with_other_mode(mut plaintext: Vec<u8>) -> Vec<u8> {
    assert_eq!(&plaintext[100..108], b"0000640\0");
    plaintext[106] += 1;
    let sum = u64::from_str_radix(std::str::from_utf8(&plaintext[148..154]).unwrap(), 8).unwrap();
    plaintext[148..154].copy_from_slice(format!("{:06o}", sum + 1).as_bytes());
    plaintext
}

#[test]
fn nothing_is_given_out_of_a_member_whose_header_says_something_else() {
    let members = [file("a"), file("b"), other("c", EntryKind::Symlink, "a")];
    let contents = open(with_other_mode(plaintext(&members))).unwrap();
    let lied = contents.extent(walk(&contents, "a"));
    assert!(matches!(lied, Err(TreeError::Catalog { .. })), "{lied:?}");
    assert!(contents.extent(walk(&contents, "b")).unwrap().is_some());
    let contents = open(with_other_mode(plaintext(&members[2..]))).unwrap();
    assert!(matches!(contents.link_target(walk(&contents, "c")), Err(TreeError::Catalog { .. })));
}

#[test]
fn extended_attributes_and_devices_come_from_headers() {
    let xattrs = vec![Xattr { name: b"user.a".to_vec(), value: b"\0\xff".to_vec() }];
    let device = Member { device: (8, 300), ..member("disk", EntryKind::BlockDevice) };
    let (with_xattrs, bytes) = file("x");
    let with_xattrs = Member { xattrs: xattrs.clone(), ..with_xattrs };
    let contents = tree_of(&[(device, Vec::new()), (with_xattrs, bytes), file("y")]);
    assert_eq!(contents.node(walk(&contents, "disk")).unwrap().unwrap().device, (8, 300));
    assert_eq!(contents.xattrs(walk(&contents, "x")).unwrap(), xattrs);
    assert!(contents.xattrs(walk(&contents, "y")).unwrap().is_empty());
    assert!(contents.xattrs(Inode::Root).unwrap().is_empty());
}

#[test]
fn owners_are_those_sealed_or_one_for_all() {
    let members = [(Member { uid: 12, gid: 34, ..file("a").0 }, file("a").1)];
    for (owners, expected) in [(Owners::AsSealed, (12, 34)), (Owners::All { user: 56, group: 78 }, (56, 78))]
    {
        let options = MountOptions::default().owners(owners);
        let source = Arc::new(Memory(plaintext(&members)));
        let contents = Contents::open(source, ContentsKind::Tree("t".into()), &options).unwrap();
        let node = contents.node(walk(&contents, "a")).unwrap().unwrap();
        assert_eq!((node.user, node.group), expected);
    }
}

#[test]
fn a_tree_that_lies_is_refused_before_it_is_mounted() {
    // The page directory's first record, which says that the page begins where it does not.
    let mut lied = plaintext(&[file("a"), file("b")]);
    let at = lied.len() - 64 - 32;
    lied[at] ^= 1;
    assert!(matches!(open(lied), Err(MountError::Tree(TreeError::Catalog { .. }))));
    assert!(matches!(open(b"no tree".to_vec()), Err(MountError::Tree(TreeError::Catalog { .. }))));
}

#[test]
fn a_tree_without_members_is_an_empty_directory_and_bytes_are_a_file() {
    let empty = tree_of(&[]);
    assert!(children(&empty, Inode::Root, 0).is_empty());
    assert_eq!(empty.node(Inode::Root).unwrap().unwrap().mode, 0o755);
    let kind = ContentsKind::File("bytes".into());
    let file = Contents::open(Arc::new(Memory(vec![1; 9])), kind, &MountOptions::default()).unwrap();
    let found = file.child(Inode::Root, b"bytes").unwrap().unwrap();
    assert_eq!((found.size, found.mode), (9, 0o444));
    let extent = file.extent(found.inode).unwrap().unwrap();
    assert_eq!((extent.at, extent.len), (0, 9));
    assert_eq!(children(&file, Inode::Root, 0), [("bytes".to_owned(), found.inode, 1)]);
    assert!(children(&file, Inode::Root, 1).is_empty());
    assert!(
        file.extent(Inode::Root).unwrap().is_none() && file.child(Inode::Root, b"other").unwrap().is_none()
    );
}

/// The last 64 bytes of a tree without a catalog, whose archive has so many bytes (TREE T5.1, T5.4).
fn tail_without_catalog(tar_len: u64) -> Vec<u8> {
    let mut tail = b"CFDTREE\0\x01\0\x01\0\0\0\0\0".to_vec();
    for number in [tar_len, 0, tar_len, tar_len, tar_len + 64, 0] {
        tail.extend(number.to_le_bytes());
    }
    tail
}

#[test]
fn a_tree_without_a_catalog_is_a_file_of_what_is_before_its_tail() {
    for bytes in [&b"an archive that left the profile"[..], b""] {
        let contents = open([bytes, &tail_without_catalog(bytes.len() as u64)].concat()).unwrap();
        assert!(!contents.is_tree());
        let file = contents.child(Inode::Root, b"tree").unwrap().unwrap();
        assert_eq!(file.size, bytes.len() as u64);
        assert_eq!(contents.extent(file.inode).unwrap().unwrap().len, bytes.len() as u64);
    }
}

#[test]
fn more_hard_links_than_there_is_memory_for_are_refused() {
    let source = Arc::new(Memory(plaintext(&[file("a")])));
    let Content::Tree(catalog) = Catalog::open(source).unwrap() else { panic!("it is a tree") };
    assert!(LinkCounts::of(&catalog, HARD_LINKS_MAX).is_ok());
    let refused = LinkCounts::of(&catalog, HARD_LINKS_MAX + 1).map(drop);
    assert!(matches!(refused, Err(MountError::TooManyHardLinks { .. })));
}
