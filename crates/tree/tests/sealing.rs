//! Directories as plaintexts: what other programs make of the archive, what the catalog says, and what becomes of files that change.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod fixture;

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, SystemTime},
};

use cofferdam_io::ReadAt;
use fixture::{difference, list, make_tree};
use sources::{Arrival, Source};
use tempfile::TempDir;
use tree::{
    ArchiveScanner, Catalog, CheckedCatalog, Content, EntryKind, LeftOut, OnChange, Plan, TreePath, TreeRoot,
    TreeSource, WalkOptions,
};

struct Memory(Vec<u8>);

impl ReadAt for Memory {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

/// A tree in a directory `tree`, beside which there is room.
fn fixture() -> TempDir {
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir(scratch.path().join("tree")).unwrap();
    scratch
}

/// Of what is written twice within a few milliseconds, not every kernel's clock tells that it was.
fn write_long_ago(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    let opened = fs::OpenOptions::new().write(true).open(path).unwrap();
    opened.set_modified(SystemTime::UNIX_EPOCH).unwrap();
}

fn plan(scratch: &TempDir, options: &WalkOptions) -> (Arc<Plan>, LeftOut) {
    let root = TreeRoot::open(&scratch.path().join("tree")).unwrap();
    let (plan, left_out) = Plan::create(&root, &scratch.path().join("plan"), options).unwrap();
    (Arc::new(plan), left_out)
}

fn source(scratch: &TempDir, plan: &Arc<Plan>, on_change: OnChange) -> TreeSource {
    let root = TreeRoot::open(&scratch.path().join("tree")).unwrap();
    TreeSource::new(root, plan.clone(), on_change).unwrap()
}

fn read_all(source: &mut TreeSource, piece_len: usize) -> io::Result<Vec<u8>> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; piece_len]);
    loop {
        match source.read_within(&mut buffer, Duration::ZERO)? {
            Arrival::Bytes(count) => bytes.extend_from_slice(&buffer[..count]),
            Arrival::End => return Ok(bytes),
            Arrival::NothingYet => {}
        }
    }
}

fn checked(plaintext: &[u8]) -> CheckedCatalog {
    match Catalog::open(Arc::new(Memory(plaintext.to_vec()))).unwrap() {
        Content::Tree(catalog) => catalog.check().unwrap(),
        Content::PlainFile { .. } => panic!("a plan has a catalog"),
    }
}

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap()
}

/// The archive of a plaintext, as a file.
fn archive_file(scratch: &TempDir, plaintext: &[u8]) -> std::path::PathBuf {
    let file = scratch.path().join("archive.tar");
    fs::write(&file, &plaintext[..checked(plaintext).catalog().tar_len() as usize]).unwrap();
    file
}

fn extract(scratch: &TempDir, program: &str, arguments: &[&str]) -> std::path::PathBuf {
    let into = scratch.path().join(format!("out-{program}"));
    fs::create_dir(&into).unwrap();
    let output = Command::new(program).args(arguments).current_dir(&into).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    into
}

#[test]
fn gnu_tar_and_bsdtar_extract_the_same_tree() {
    let scratch = fixture();
    let tree = scratch.path().join("tree");
    make_tree(&tree);
    let plaintext =
        read_all(&mut source(&scratch, &plan(&scratch, &WalkOptions::default()).0, OnChange::Refuse), 9_999);
    archive_file(&scratch, &plaintext.unwrap());
    let expected = list(&tree);
    let gnu = extract(&scratch, "tar", &["-xpf", "../archive.tar", "--xattrs", "--xattrs-include=*"]);
    assert_eq!(difference(&expected, &list(&gnu)), None);
    let bsd = extract(&scratch, "bsdtar", &["-xpf", "../archive.tar", "--xattrs"]);
    // It does not set the time of the directory that it extracts into, not even from archives of its own.
    let mut found = list(&bsd);
    found.insert(Vec::new(), expected[&Vec::new()].clone());
    // Nor does it read `=` and `%` in names of attributes as GNU tar writes them.
    found.insert(b"a".to_vec(), expected[b"a".as_slice()].clone());
    // And it adds the fraction of a time before 1970, instead of taking it away.
    found.get_mut(b"a.txt".as_slice()).unwrap().modified = (-2, 500_000_000);
    assert_eq!(difference(&expected, &found), None);
    // A difference is seen.
    fs::write(bsd.join("a.txt"), "beside a?\n").unwrap();
    found.insert(b"a.txt".to_vec(), list(&bsd)[b"a.txt".as_slice()].clone());
    assert!(difference(&expected, &found).unwrap().starts_with("a.txt"));
}

#[test]
fn python_extracts_the_same_tree() {
    let scratch = fixture();
    let tree = scratch.path().join("tree");
    make_tree(&tree);
    let plaintext = read_all(
        &mut source(&scratch, &plan(&scratch, &WalkOptions::default()).0, OnChange::Refuse),
        1 << 20,
    );
    archive_file(&scratch, &plaintext.unwrap());
    let script = "import tarfile; tarfile.open('../archive.tar').extractall('.')";
    let python = extract(&scratch, "python3", &["-W", "ignore", "-c", script]);
    let comparable = |root: &Path| {
        let mut listing = list(root);
        for found in listing.values_mut() {
            // It restores no attributes, and keeps times as floating-point numbers.
            found.xattrs.clear();
            found.modified = (0, 0);
        }
        listing
    };
    assert_eq!(difference(&comparable(&tree), &comparable(&python)), None);
}

#[test]
fn the_plaintext_is_the_same_whatever_the_pieces_and_from_many_threads() {
    let scratch = fixture();
    make_tree(&scratch.path().join("tree"));
    let (plan, left_out) = plan(&scratch, &WalkOptions::default());
    assert_eq!(left_out, LeftOut::default());
    let whole = read_all(&mut source(&scratch, &plan, OnChange::Refuse), 64 << 20).unwrap();
    assert_eq!(whole.len() as u64, plan.plain_len());
    for piece_len in [997, 4_096, 1_000_000] {
        assert!(read_all(&mut source(&scratch, &plan, OnChange::Refuse), piece_len).unwrap() == whole);
    }
    let positioned = source(&scratch, &plan, OnChange::Refuse).positioned().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let (positioned, whole) = (&positioned, &whole);
            scope.spawn(move || {
                for at in (thread * 30_000..whole.len()).step_by(120_000) {
                    let mut buffer = vec![1; 40_000.min(whole.len() - at)];
                    positioned.read_exact_at(at as u64, &mut buffer).unwrap();
                    assert!(buffer == whole[at..at + buffer.len()], "at {at}");
                }
            });
        }
    });
    for (at, len) in [(whole.len(), 1), (usize::MAX, 1), (whole.len() - 1, 2)] {
        let error = positioned.read_exact_at(at as u64, &mut vec![0; len]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn catalog_headers_and_a_scan_of_the_archive_say_the_same() {
    let scratch = fixture();
    make_tree(&scratch.path().join("tree"));
    let plaintext = read_all(
        &mut source(&scratch, &plan(&scratch, &WalkOptions::default()).0, OnChange::Refuse),
        1 << 20,
    );
    let plaintext = plaintext.unwrap();
    let checked = checked(&plaintext);
    let memory = Memory(plaintext.clone());
    let (mut scanner, mut number) = (ArchiveScanner::default(), 0);
    let archive = &plaintext[..checked.catalog().tar_len() as usize];
    let found = &mut |found: tree::ScannedMember| {
        let located = checked.catalog().entry(number)?.unwrap();
        assert_eq!(located.header_at, found.header_at);
        assert_eq!(located.read_member(&memory)?, found.member);
        assert_eq!(checked.catalog().find(&found.member.path)?, Some(located));
        number += 1;
        Ok(())
    };
    scanner.push(archive, found).unwrap();
    assert_eq!(scanner.finish().unwrap(), archive.len() as u64);
    assert_eq!(number, checked.catalog().entries());
    let counts = checked.counts();
    assert_eq!((counts.hard_links, counts.symlinks, counts.others), (2, 3, 1));
}

#[test]
fn a_file_that_shrinks_grows_is_written_or_goes_is_flagged_and_keeps_its_place() {
    let scratch = fixture();
    let tree = scratch.path().join("tree");
    for name in ["gone", "grown", "other", "same", "shrunk", "to-fifo", "to-link", "written"] {
        write_long_ago(&tree.join(name), &[b'x'; 5_000]);
    }
    let (plan, _) = plan(&scratch, &WalkOptions::default());
    fs::remove_file(tree.join("gone")).unwrap();
    fs::write(tree.join("grown"), [b'x'; 6_000]).unwrap();
    fs::write(tree.join("shrunk"), [b'x'; 1_000]).unwrap();
    fs::write(tree.join("written"), [b'w'; 5_000]).unwrap();
    fs::remove_file(tree.join("to-fifo")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, tree.join("to-fifo"), 0o600.into()).unwrap();
    fs::remove_file(tree.join("to-link")).unwrap();
    symlink("/etc/passwd", tree.join("to-link")).unwrap();
    for piece_len in [700, 1 << 20] {
        let mut source = source(&scratch, &plan, OnChange::Flag);
        let plaintext = read_all(&mut source, piece_len).unwrap();
        let checked = checked(&plaintext);
        let (same, changed, gone) = ((false, false), (true, false), (true, true));
        let expected: [(&str, (bool, bool), Vec<u8>); 8] = [
            ("gone", gone, vec![0; 5_000]),
            ("grown", changed, vec![b'x'; 5_000]),
            ("other", same, vec![b'x'; 5_000]),
            ("same", same, vec![b'x'; 5_000]),
            ("shrunk", changed, [[b'x'; 1_000].as_slice(), &[0; 4_000]].concat()),
            ("to-fifo", gone, vec![0; 5_000]),
            ("to-link", gone, vec![0; 5_000]),
            ("written", changed, vec![b'w'; 5_000]),
        ];
        for (name, flags, contents) in &expected {
            let located = checked.catalog().find(&path(name)).unwrap().unwrap();
            assert_eq!((located.entry.changed, located.entry.gone), *flags, "{name}");
            assert!(plaintext[located.data_at() as usize..][..5_000] == *contents, "{name}");
        }
        let known = source.changed_files();
        assert_eq!((known.count, known.gone, known.gone_len), (6, 3, 15_000));
        assert_eq!(known.first, ["grown", "shrunk", "written"].map(path));
        assert_eq!(known.first_gone, ["gone", "to-fifo", "to-link"].map(path));
        let counts = checked.counts();
        assert_eq!((counts.changed, counts.gone, counts.gone_len), (6, 3, 15_000));
    }
    let refused = read_all(&mut source(&scratch, &plan, OnChange::Refuse), 1 << 20).unwrap_err();
    assert!(refused.to_string().contains("gone was gone"), "{refused}");
}

/// None of its bytes is ever asked for.
#[test]
fn an_empty_file_that_is_written_or_goes_is_flagged_too() {
    let scratch = fixture();
    let tree = scratch.path().join("tree");
    for name in ["closed", "gone", "grown", "same", "to-link"] {
        fs::write(tree.join(name), "").unwrap();
    }
    fs::set_permissions(tree.join("closed"), fs::Permissions::from_mode(0o0)).unwrap();
    let (plan, _) = plan(&scratch, &WalkOptions::default());
    fs::remove_file(tree.join("gone")).unwrap();
    fs::write(tree.join("grown"), "grown").unwrap();
    fs::remove_file(tree.join("to-link")).unwrap();
    symlink("same", tree.join("to-link")).unwrap();
    for piece_len in [700, 1 << 20] {
        let mut source = source(&scratch, &plan, OnChange::Flag);
        let checked = checked(&read_all(&mut source, piece_len).unwrap());
        for (name, flags) in [
            ("closed", (false, false)),
            ("gone", (true, true)),
            ("grown", (true, false)),
            ("same", (false, false)),
            ("to-link", (true, true)),
        ] {
            let entry = checked.catalog().find(&path(name)).unwrap().unwrap().entry;
            assert_eq!((entry.changed, entry.gone), flags, "{name}");
        }
        let known = source.changed_files();
        assert_eq!((known.count, known.gone, known.gone_len), (3, 2, 0));
    }
    fs::remove_file(tree.join("grown")).unwrap();
    fs::write(tree.join("gone"), "").unwrap();
    let refused = read_all(&mut source(&scratch, &plan, OnChange::Refuse), 1 << 20).unwrap_err();
    assert!(refused.to_string().contains("gone changed while it was read"), "{refused}");
}

#[test]
fn what_changed_is_known_to_a_sealing_that_goes_on_and_to_no_new_plan() {
    let scratch = fixture();
    let tree = scratch.path().join("tree");
    fs::write(tree.join("a"), [b'x'; 5_000]).unwrap();
    fs::write(tree.join("b"), [b'x'; 5_000]).unwrap();
    let (first, _) = plan(&scratch, &WalkOptions::default());
    fs::write(tree.join("a"), "short").unwrap();
    fs::remove_file(tree.join("b")).unwrap();
    let whole = read_all(&mut source(&scratch, &first, OnChange::Flag), 4_096).unwrap();
    drop(first);
    // The rest is read by another process: only the catalog.
    let again = Arc::new(Plan::open(&scratch.path().join("plan")).unwrap());
    let resumed = source(&scratch, &again, OnChange::Flag);
    let known = resumed.changed_files();
    assert_eq!((known.first, known.first_gone), (vec![path("a")], vec![path("b")]));
    assert_eq!((known.count, known.gone, known.gone_len), (2, 1, 5_000));
    let at = again.layout().catalog().tar_len();
    let mut catalog = vec![0; (again.plain_len() - at) as usize];
    resumed.positioned().unwrap().read_exact_at(at, &mut catalog).unwrap();
    assert!(catalog == whole[at as usize..]);
    // A new plan begins anew.
    let (new, _) = plan(&scratch, &WalkOptions::default());
    assert_eq!(source(&scratch, &new, OnChange::Flag).changed_files().count, 0);
    new.remove().unwrap();
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing is left beside the tree");
}

#[test]
fn a_change_that_the_catalog_cannot_say_any_more_is_an_error() {
    let scratch = fixture();
    let tree = scratch.path().join("tree");
    fs::write(tree.join("a"), [b'x'; 5_000]).unwrap();
    let (plan, _) = plan(&scratch, &WalkOptions::default());
    let positioned = source(&scratch, &plan, OnChange::Flag).positioned().unwrap();
    let at = plan.layout().catalog().tar_len();
    positioned.read_exact_at(at, &mut [0; 1]).unwrap();
    fs::write(tree.join("a"), "short").unwrap();
    let error = positioned.read_exact_at(0, &mut vec![0; at as usize]).unwrap_err();
    assert!(error.to_string().contains("a changed while its last bytes were read"), "{error}");
}

#[test]
fn a_file_that_changes_and_then_goes_is_one_that_is_gone() {
    let scratch = fixture();
    let file = scratch.path().join("tree/a");
    write_long_ago(&file, &[b'x'; 5_000]);
    let (plan, _) = plan(&scratch, &WalkOptions::default());
    let source = source(&scratch, &plan, OnChange::Flag);
    let positioned = source.positioned().unwrap();
    let data_at = plan.layout().catalog().find(&path("a")).unwrap().unwrap().data_at();
    fs::write(&file, [b'y'; 5_000]).unwrap();
    positioned.read_exact_at(data_at, &mut vec![0; 5_000]).unwrap();
    assert_eq!((source.changed_files().count, source.changed_files().gone), (1, 0));
    fs::remove_file(&file).unwrap();
    for _ in 0..2 {
        positioned.read_exact_at(data_at, &mut vec![0; 5_000]).unwrap();
        let known = source.changed_files();
        assert_eq!((known.count, known.gone, known.first_gone), (1, 1, vec![path("a")]));
    }
}

#[test]
fn the_last_byte_is_not_given_of_a_directory_that_was_removed_moved_or_replaced() {
    for ending in ["removed", "moved", "replaced"] {
        let scratch = fixture();
        let (tree, away) = (scratch.path().join("tree"), scratch.path().join("away"));
        fs::write(tree.join("a"), [b'x'; 5_000]).unwrap();
        let (plan, _) = plan(&scratch, &WalkOptions::default());
        let positioned = source(&scratch, &plan, OnChange::Flag).positioned().unwrap();
        let len = plan.plain_len() as usize;
        positioned.read_exact_at(0, &mut vec![0; len]).unwrap();
        match ending {
            "removed" => fs::remove_dir_all(&tree).unwrap(),
            _ => fs::rename(&tree, &away).unwrap(),
        }
        if ending == "replaced" {
            fs::create_dir(&tree).unwrap();
        }
        // Whatever is still in it can be read, up to that byte.
        if ending != "removed" {
            positioned.read_exact_at(0, &mut vec![0; len - 1]).unwrap();
        }
        let error = positioned.read_exact_at(len as u64 - 1, &mut [0]).unwrap_err();
        assert!(error.to_string().contains("was removed, moved or replaced"), "{ending}: {error}");
    }
}

#[test]
fn a_plan_that_is_cut_or_changed_is_none() {
    let scratch = fixture();
    fs::write(scratch.path().join("tree/a"), [b'x'; 5_000]).unwrap();
    drop(plan(&scratch, &WalkOptions::default()));
    let file = scratch.path().join("plan");
    let whole = fs::read(&file).unwrap();
    assert!(Plan::open(&file).is_ok());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0, "it names files in clear");
    for len in [0, 15, 64, whole.len() - 512, whole.len() - 1] {
        fs::write(&file, &whole[..len]).unwrap();
        assert!(Plan::open(&file).is_err(), "{len} bytes");
    }
    for from_end in [16, 24, 40, 64] {
        let mut changed = whole.clone();
        let at = whole.len() - from_end;
        changed[at] ^= 1;
        fs::write(&file, &changed).unwrap();
        assert!(Plan::open(&file).is_err(), "{from_end} bytes from the end");
    }
}

#[test]
fn globs_say_what_is_left_out_and_what_is_taken() {
    let scratch = fixture();
    let tree = scratch.path().join("tree");
    for directory in ["base/1", "log", "tmp/x"] {
        fs::create_dir_all(tree.join(directory)).unwrap();
    }
    for file in ["base/1/a.o", "base/1/b", "log/x.log", "tmp/x/y", "top.log"] {
        fs::write(tree.join(file), "").unwrap();
    }
    let paths = |options: WalkOptions| {
        let root = TreeRoot::open(&tree).unwrap();
        let mut paths = Vec::new();
        let left_out = tree::walk(&root, &options, &mut |member| {
            if member.kind != EntryKind::Directory {
                paths.push(member.path.to_string());
            }
            Ok(())
        });
        (paths.join(" "), left_out.unwrap().by_globs)
    };
    let all = || WalkOptions::default();
    assert_eq!(paths(all()), ("base/1/a.o base/1/b log/x.log tmp/x/y top.log".into(), 0));
    assert_eq!(
        paths(all().exclude(["tmp/", "/*.log"]).unwrap()),
        ("base/1/a.o base/1/b log/x.log".into(), 2)
    );
    assert_eq!(paths(all().exclude(["*.log", "**/*.o"]).unwrap()), ("base/1/b tmp/x/y".into(), 3));
    assert_eq!(paths(all().include(["base", "top.*"]).unwrap()), ("base/1/a.o base/1/b top.log".into(), 2));
    let both = all().include(["base"]).unwrap().exclude(["**/*.o"]).unwrap();
    assert_eq!(paths(both).0, "base/1/b");
    assert!(all().exclude(["["]).unwrap_err().contains('['));
}

#[test]
fn each_name_has_its_own_attributes_before_within_and_after_directories() {
    let scratch = fixture();
    let tree = scratch.path().join("tree");
    let mut directory = tree.clone();
    let mut due = 0;
    // Deeper than directories are kept open.
    for level in 0..100 {
        for name in ["a", "m", "z"] {
            let place = directory.join(name);
            match name {
                "m" => fs::create_dir(&place).unwrap(),
                _ => fs::write(&place, "").unwrap(),
            }
            let note = format!("{name} of level {level}");
            rustix::fs::setxattr(&place, "user.note", note.as_bytes(), rustix::fs::XattrFlags::empty())
                .unwrap();
            due += 1;
        }
        directory.push("m");
    }
    let note_due = |path: &TreePath| {
        let level = path.as_bytes().iter().filter(|byte| **byte == b'/').count();
        format!("{} of level {level}", String::from_utf8_lossy(path.name()))
    };
    let mut found = 0;
    let mut look_at = |member: tree::Member| {
        if !member.path.is_root() {
            let notes = member.xattrs.iter().filter(|xattr| xattr.name == b"user.note");
            let notes: Vec<_> = notes.map(|xattr| String::from_utf8_lossy(&xattr.value)).collect();
            assert_eq!(notes, [note_due(&member.path)], "{}", member.path);
            found += 1;
        }
        Ok(())
    };
    let before = std::env::current_dir().unwrap();
    tree::walk(&TreeRoot::open(&tree).unwrap(), &WalkOptions::default(), &mut look_at).unwrap();
    // As the walk of a plan finds them.
    let (plan, _) = plan(&scratch, &WalkOptions::default());
    let layout = plan.layout();
    for page in 0..layout.catalog().pages() {
        layout.for_each_member(page, plan.skeleton(), &mut |_, member| look_at(member)).unwrap();
    }
    assert_eq!((found, std::env::current_dir().unwrap()), (2 * due, before));
}

#[test]
fn a_plan_without_a_name_leaves_nothing_and_says_the_same() {
    let scratch = fixture();
    let tree = scratch.path().join("tree");
    make_tree(&tree);
    let root = || TreeRoot::open(&tree).unwrap();
    let (unnamed, _) = Plan::create_unnamed(&root(), scratch.path(), &WalkOptions::default()).unwrap();
    let unnamed = Arc::new(unnamed);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing is beside the tree");
    let (named, _) = plan(&scratch, &WalkOptions::default());
    let of_plan =
        |plan: &Arc<Plan>| read_all(&mut source(&scratch, plan, OnChange::Refuse), 1 << 20).unwrap();
    assert!(of_plan(&unnamed) == of_plan(&named));
    named.remove().unwrap();
    // What changes is flagged as well, and noted nowhere.
    fs::remove_file(tree.join("a.txt")).unwrap();
    let mut changed = source(&scratch, &unnamed, OnChange::Flag);
    read_all(&mut changed, 1 << 20).unwrap();
    assert_eq!(changed.changed_files().first_gone, [path("a.txt")]);
    unnamed.remove().unwrap();
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing is beside the tree");
}

#[test]
fn sockets_are_left_out_and_counted() {
    let scratch = fixture();
    let tree = scratch.path().join("tree");
    let _socket = std::os::unix::net::UnixListener::bind(tree.join("s")).unwrap();
    fs::write(tree.join("f"), "").unwrap();
    let (plan, left_out) = plan(&scratch, &WalkOptions::default());
    assert_eq!((left_out.sockets, plan.layout().catalog().entries()), (1, 2));
}

#[test]
fn directories_deeper_than_a_process_has_descriptors_are_walked() {
    let scratch = fixture();
    let deep = "d/".repeat(1_100);
    fs::create_dir_all(scratch.path().join("tree").join(&deep)).unwrap();
    fs::write(scratch.path().join("tree").join(&deep).join("f"), "at the bottom").unwrap();
    let (plan, _) = plan(&scratch, &WalkOptions::default());
    assert_eq!(plan.layout().catalog().entries(), 1_102);
    read_all(&mut source(&scratch, &plan, OnChange::Refuse), 1 << 20).unwrap();
}

/// A writer that sets the time back, as copying programs do; a file that looks the same; one whose rights alone have changed.
#[test]
fn a_stamped_plan_tells_a_file_from_one_that_looks_like_it() {
    for what in ["written", "exchanged", "chmod", "nothing"] {
        let scratch = fixture();
        let tree = scratch.path().join("tree");
        fs::create_dir(tree.join("d")).unwrap();
        for name in ["d/empty", "d/file"] {
            fs::write(tree.join(name), if name == "d/file" { "some" } else { "" }).unwrap();
        }
        // Times of change are as coarse as the system's clock ticks: what comes next is of a later tick.
        let changed = |path: &Path| fs::metadata(path).map(|it| (it.ctime(), it.ctime_nsec())).unwrap();
        let (made, probe) = (changed(&tree.join("d/file")), scratch.path().join("probe"));
        loop {
            fs::write(&probe, "").unwrap();
            if changed(&probe) > made {
                break;
            }
        }
        fs::remove_file(probe).unwrap();
        let root = || TreeRoot::open(&tree).unwrap();
        let [stamped, plain] = [WalkOptions::default().stamped(), WalkOptions::default()];
        let path = scratch.path().join("stamped");
        let (kept, _) = Plan::create(&root(), &path, &stamped).unwrap();
        let (unnamed, _) = Plan::create_unnamed(&root(), scratch.path(), &stamped).unwrap();
        let (unstamped, _) = Plan::create_unnamed(&root(), scratch.path(), &plain).unwrap();
        let opened = Plan::open(&path).unwrap();
        let file = tree.join("d/file");
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        match what {
            "written" => {
                fs::write(&file, "more").unwrap();
                fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
            }
            "exchanged" => {
                fs::write(tree.join("d/new"), "some").unwrap();
                fs::File::options()
                    .write(true)
                    .open(tree.join("d/new"))
                    .unwrap()
                    .set_modified(modified)
                    .unwrap();
                fs::rename(tree.join("d/new"), &file).unwrap();
            }
            "chmod" => fs::set_permissions(tree.join("d/empty"), fs::Permissions::from_mode(0o600)).unwrap(),
            _ => {}
        }
        let read = |plan: Plan, on_change| {
            let mut source = TreeSource::new(root(), Arc::new(plan), on_change).unwrap();
            let read = read_all(&mut source, 1 << 20);
            (read.is_ok(), source.changed_files().count)
        };
        assert_eq!(read(unstamped, OnChange::Refuse), (true, 0), "{what}");
        assert_eq!(read(opened, OnChange::Flag), (true, 0), "{what}");
        assert_eq!(read(kept, OnChange::Refuse).0, what == "nothing", "{what}");
        assert_eq!(read(unnamed, OnChange::Refuse).0, what == "nothing", "{what}");
        let opened = Plan::open(&path).unwrap();
        opened.remove().unwrap();
        let mut left = fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(left.all(|name| name == "tree"));
        assert_eq!(read(opened, OnChange::Refuse).0, what == "nothing", "{what}");
    }
}
