//! What programs see is what was sealed: all of a tree, parts of a file, one file of a plain stream, from a file or a server.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::thread;

use rustix::fs::statvfs;
use rustix::process::Signal;
use servers::Nginx;
use servers::installed::is_skipped_without;

use crate::fixture::{difference, list, make_tree};
use crate::place::Place;

#[test]
fn a_tree_is_what_was_sealed_in_content_and_metadata() {
    let Some(place) = Place::with_tree(make_tree) else { return };
    let expected = list(&place.path("tree"));
    let mounted = place.mount("tree.cfd");
    // A second time out of what the kernel keeps.
    for _ in 0..2 {
        assert_eq!(difference(&expected, &list(&place.path("mnt"))), None);
    }
    let [sealed, shown] = ["tree/a/b/5", "mnt/a/b/5"].map(|name| fs::metadata(place.path(name)).unwrap());
    assert_eq!((shown.nlink(), sealed.nlink()), (3, 3));
    assert_eq!(mounted.mounted["content"], "tree");
    assert_eq!(mounted.mounted["entries"].as_u64(), Some(expected.len() as u64));
    mounted.end_unused(Signal::TERM).assert_done("clean");
}

/// Programs pass over names that a listing gives no number.
#[test]
fn devices_are_listed_with_their_numbers() {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let made = |tree: &Path| {
        fs::write(tree.join("a"), "a").unwrap();
        let [null, disk] = [FileType::CharacterDevice, FileType::BlockDevice];
        for (name, kind, number) in [("null", null, makedev(1, 3)), ("disk", disk, makedev(8, 300))] {
            mknodat(CWD, tree.join(name), kind, Mode::RUSR, number).unwrap();
        }
    };
    let Some(place) = Place::with_tree(made) else { return };
    let _mounted = place.mount("tree.cfd");
    let entries = fs::read_dir(place.path("mnt")).unwrap().map(Result::unwrap);
    let mut listed: Vec<_> =
        entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().rdev())).collect();
    listed.sort();
    let expected = [("a", 0), ("disk", makedev(8, 300)), ("null", makedev(1, 3))];
    assert_eq!(listed, expected.map(|(name, number)| (name.into(), number)));
}

/// The comparer finds what it has to: a difference of each kind, seeded.
#[test]
fn a_tree_that_has_changed_since_is_told_from_the_one_that_was_sealed() {
    let Some(place) = Place::with_tree(make_tree) else { return };
    let _mounted = place.mount("tree.cfd");
    let shown = list(&place.path("mnt"));
    let changed = |change: &dyn Fn(&Path)| {
        change(&place.path("tree"));
        difference(&list(&place.path("tree")), &shown).unwrap()
    };
    let at_3 = |tree: &Path| {
        let file = File::options().write(true).open(tree.join("a/b/3")).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.write_all_at(b"?", 9).unwrap();
        file.set_modified(modified).unwrap();
    };
    assert!(changed(&at_3).starts_with("a/b/3: "));
    let other_mode = |tree: &Path| {
        fs::set_permissions(tree.join("0-before-its-target"), fs::Permissions::from_mode(0o604)).unwrap();
    };
    assert!(changed(&other_mode).starts_with("0-before-its-target: "));
    assert!(changed(&|tree| fs::write(tree.join("0"), "new").unwrap()).starts_with(": "));
}

#[test]
fn parts_of_a_file_are_read_where_they_are_asked_for_by_several_at_once() {
    let Some(place) = Place::with_tree(make_tree) else { return };
    let _mounted = place.mount_with("tree.cfd", &["--memory", "16MiB"]);
    let expected = fs::read(place.path("tree/a/b/7")).unwrap();
    let file = File::open(place.path("mnt/a/b/7")).unwrap();
    thread::scope(|scope| {
        for seed in 0..8 {
            let (file, expected) = (&file, &expected);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..200 {
                    let at = random.usize(..expected.len());
                    let mut buffer = vec![0; random.usize(..100_000)];
                    let count = file.read_at(&mut buffer, at as u64).unwrap();
                    assert_eq!(count, buffer.len().min(expected.len() - at));
                    assert!(buffer[..count] == expected[at..at + count]);
                }
            });
        }
    });
    assert_eq!(file.read_at(&mut [0; 9], expected.len() as u64).unwrap(), 0);
}

#[test]
fn a_stream_that_is_no_tree_is_one_file_of_its_name() {
    let Some(place) = Place::new() else { return };
    let bytes: Vec<u8> = (0..1_000_003_u32).map(|number| (number % 251) as u8).collect();
    place.seal_bytes(&bytes, "db.img.cfd");
    let mounted = place.mount("db.img.cfd");
    assert_eq!((&mounted.mounted["content"], &mounted.mounted["entries"]), (&"file".into(), &1.into()));
    let names: Vec<_> =
        fs::read_dir(place.path("mnt")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["db.img"]);
    assert!(fs::read(place.path("mnt/db.img")).unwrap() == bytes);
    let room = statvfs(place.path("mnt")).unwrap();
    assert_eq!((room.f_bfree, room.f_files), (0, 1));
    assert_eq!(room.f_blocks * room.f_frsize, (bytes.len() as u64).next_multiple_of(4096));
    mounted.end_unused(Signal::INT).assert_done("clean");
}

#[test]
fn an_empty_tree_and_an_empty_stream_are_mounted_too() {
    let Some(place) = Place::with_tree(|_| ()) else { return };
    let mounted = place.mount("tree.cfd");
    assert_eq!(fs::read_dir(place.path("mnt")).unwrap().count(), 0);
    mounted.end_unused(Signal::TERM).assert_done("clean");
    place.seal_bytes(b"", "empty.cfd");
    let _mounted = place.mount("empty.cfd");
    assert_eq!(fs::read(place.path("mnt/empty")).unwrap(), b"");
}

#[test]
fn a_tree_of_many_pages_is_listed_and_found_whole() {
    let names: Vec<String> = (0..9_000).map(|number| format!("{}/{number}", number % 3)).collect();
    let fill = |tree: &Path| {
        (0..3).for_each(|number| fs::create_dir(tree.join(number.to_string())).unwrap());
        names.iter().for_each(|name| fs::write(tree.join(name), name).unwrap());
    };
    let Some(place) = Place::with_tree(fill) else { return };
    let _mounted = place.mount("tree.cfd");
    let listed = place.run("find", &["mnt", "-type", "f", "-printf", "%P\\n"]);
    let mut listed: Vec<&str> = listed.lines().collect();
    let mut expected: Vec<&str> = names.iter().map(|name| &**name).collect();
    listed.sort_unstable();
    expected.sort_unstable();
    assert!(listed == expected, "{} of {}", listed.len(), expected.len());
    for name in names.iter().step_by(97) {
        assert_eq!(fs::read_to_string(place.path("mnt").join(name)).unwrap(), *name);
    }
}

#[test]
fn nothing_can_be_written_and_the_mount_says_so() {
    let Some(place) = Place::with_tree(make_tree) else { return };
    let _mounted = place.mount("tree.cfd");
    let read_only = |outcome: std::io::Result<()>| {
        assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    };
    read_only(fs::write(place.path("mnt/new"), "x"));
    read_only(File::options().write(true).open(place.path("mnt/a.txt")).map(drop));
    read_only(fs::remove_file(place.path("mnt/a.txt")));
    read_only(fs::rename(place.path("mnt/a.txt"), place.path("mnt/b.txt")));
    let mounts = place.mounts();
    let options: Vec<&str> = mounts[0].0.split(',').collect();
    for option in ["ro", "nosuid", "nodev"] {
        assert!(options.contains(&option), "{mounts:?}");
    }
    assert_eq!(mounts[0].1, "fuse.cofferdam");
}

#[test]
fn a_tree_on_a_server_is_mounted_without_being_fetched() {
    if is_skipped_without(&["nginx"]) {
        return;
    }
    let Some(place) = Place::with_tree(make_tree) else { return };
    fs::create_dir(place.path("www")).unwrap();
    fs::rename(place.path("tree.cfd"), place.path("www/tree.cfd")).unwrap();
    let nginx = Nginx::start(&place.path("www")).unwrap();
    let mounted = place.mount(&nginx.url("tree.cfd"));
    assert_eq!(difference(&list(&place.path("tree")), &list(&place.path("mnt"))), None);
    mounted.end_unused(Signal::TERM).assert_done("clean");
}
