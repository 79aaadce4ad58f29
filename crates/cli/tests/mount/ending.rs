//! How a mount ends: by a signal, by `umount`, while it is used, killed, and with something else where it was.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, symlink};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Signal;

use crate::fixture::make_tree;
use crate::mount_process::{MountProcess, mounts_at, wait_until};
use crate::place::{Place, assert_refused, is_root, skipped};

#[test]
fn a_signal_unmounts_it() {
    let Some(place) = Place::with_tree(make_tree) else { return };
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mounted = place.mount("tree.cfd");
        assert_eq!(place.mounts().len(), 1);
        fs::read(place.path("mnt/a.txt")).unwrap();
        let ended = mounted.end_unused(signal);
        ended.assert_done("clean");
        assert_eq!(ended.errors, "");
        assert!(place.mounts().is_empty());
        assert_eq!(fs::read_dir(place.path("mnt")).unwrap().count(), 0);
    }
}

#[test]
fn it_ends_when_somebody_unmounts_it() {
    let Some(place) = Place::with_tree(make_tree) else { return };
    let program: &[&str] = if is_root() { &["umount", "mnt"] } else { &["fusermount3", "-u", "mnt"] };
    let mounted = place.mount("tree.cfd");
    place.run(program[0], &program[1..]);
    mounted.wait().assert_done("before");
}

#[test]
fn a_mount_in_use_is_taken_away_and_its_users_get_errors() {
    let Some(place) = Place::with_tree(make_tree) else { return };
    let mounted = place.mount("tree.cfd");
    let mut file = File::open(place.path("mnt/a/b/7")).unwrap();
    file.read_exact(&mut [0; 9]).unwrap();
    let ended = mounted.end(Signal::TERM);
    ended.assert_done("in use");
    assert!(ended.errors.contains("was still in use"), "{}", ended.errors);
    assert!(place.mounts().is_empty());
    // Far behind what the kernel has read ahead.
    assert!(file.read_at(&mut [0; 9], 2_900_000).is_err());
}

#[test]
fn a_killed_mount_is_dead_until_it_is_taken_away_by_hand() {
    let Some(place) = Place::with_tree(make_tree) else { return };
    let killed = place.mount("tree.cfd").end(Signal::KILL);
    assert_eq!(killed.code, None);
    let dead = fs::read_dir(place.path("mnt")).map(drop).unwrap_err();
    assert_eq!(dead.raw_os_error(), Some(Errno::NOTCONN.raw_os_error()));
    let refused = place.cofferdam(&["mount", "-i", "key.txt", "tree.cfd", "mnt"]).output().unwrap();
    assert_refused(&refused, 1, "umount -l mnt");
    let program: &[&str] = if is_root() { &["umount", "-l", "mnt"] } else { &["fusermount3", "-u", "mnt"] };
    place.run(program[0], &program[1..]);
    place.mount("tree.cfd").end(Signal::TERM).assert_done("clean");
}

#[test]
fn it_is_on_the_directory_that_was_looked_at_and_follows_no_link_that_came_since() {
    let Some(place) = Place::with_tree(make_tree) else { return };
    fs::create_dir(place.path("others")).unwrap();
    fs::write(place.path("others/file"), "not to be hidden").unwrap();
    // The directory has been looked at when a key is read.
    place.run("mkfifo", &["key"]);
    let command = place.cofferdam(&["mount", "--json", "-i", "key", "tree.cfd", "mnt"]);
    let identity = fs::read(place.path("key.txt")).unwrap();
    let mounted = thread::scope(|scope| {
        let spawned = scope.spawn(|| MountProcess::spawn(command, place.path("errors")));
        let mut key = OpenOptions::new().write(true).open(place.path("key")).unwrap();
        fs::rename(place.path("mnt"), place.path("moved")).unwrap();
        symlink("others", place.path("mnt")).unwrap();
        key.write_all(&identity).unwrap();
        drop(key);
        spawned.join().unwrap()
    });
    let moved = fs::canonicalize(place.path("moved")).unwrap();
    assert_eq!(mounted.mounted["directory"], moved.to_str().unwrap());
    assert_eq!(fs::read_dir(place.path("mnt")).unwrap().count(), 1);
    assert_eq!(mounts_at(&moved).len(), 1);
    mounted.end(Signal::TERM).assert_done("clean");
    assert!(mounts_at(&moved).is_empty());
}

#[test]
fn it_is_unmounted_where_its_directory_is_by_then() {
    let Some(place) = Place::with_tree(make_tree) else { return };
    fs::create_dir(place.path("above")).unwrap();
    fs::rename(place.path("mnt"), place.path("above/mnt")).unwrap();
    let mounted =
        place.spawn(place.cofferdam(&["mount", "--json", "-i", "key.txt", "tree.cfd", "above/mnt"]));
    fs::rename(place.path("above"), place.path("renamed")).unwrap();
    let renamed = fs::canonicalize(place.path("renamed/mnt")).unwrap();
    assert_eq!(mounts_at(&renamed).len(), 1);
    mounted.end(Signal::TERM).assert_done("clean");
    assert!(mounts_at(&renamed).is_empty());
}

/// A file system of another kind on `mnt`, which nobody here may unmount.
fn mount_other(place: &Place) {
    place.run("mount", &["-t", "tmpfs", "other", "mnt"]);
    fs::write(place.path("mnt/other's"), "").unwrap();
}

#[test]
fn what_is_mounted_over_it_is_left_alone() {
    if !is_root() {
        return skipped("only root mounts over a mount");
    }
    let Some(place) = Place::with_tree(make_tree) else { return };
    let mounted = place.mount("tree.cfd");
    mount_other(&place);
    let ended = mounted.end(Signal::TERM);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.errors.contains("something else is mounted over"), "{}", ended.errors);
    assert!(place.path("mnt/other's").exists());
    place.run("umount", &["mnt"]);
    place.run("umount", &["-l", "mnt"]);
}

/// It was detached while somebody had a file open, and ends when that is closed: its directory may be another's by then.
#[test]
fn what_is_mounted_where_it_was_is_left_alone() {
    if !is_root() {
        return skipped("only root detaches a mount that is in use");
    }
    let Some(place) = Place::with_tree(make_tree) else { return };
    let mounted = place.mount("tree.cfd");
    let file = File::open(place.path("mnt/a/b/7")).unwrap();
    place.run("umount", &["-l", "mnt"]);
    mount_other(&place);
    // It serves who has it open.
    file.read_exact_at(&mut [0; 9], 2_900_000).unwrap();
    drop(file);
    mounted.wait().assert_done("before");
    assert!(place.path("mnt/other's").exists());
    place.run("umount", &["mnt"]);
}

#[test]
fn a_service_is_told_when_it_is_mounted() {
    let Some(place) = Place::with_tree(make_tree) else { return };
    let socket = std::os::unix::net::UnixDatagram::bind(place.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(600))).unwrap();
    let mut command = place.cofferdam(&["mount", "--json", "-i", "key.txt", "tree.cfd", "mnt"]);
    command.env("NOTIFY_SOCKET", place.path("notify"));
    let mounted = place.spawn(command);
    let mut message = [0; 1000];
    wait_until("READY=1", || {
        let count = socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..count]).contains("READY=1")
    });
    assert!(place.path("mnt/a.txt").exists());
    mounted.end(Signal::TERM).assert_done("clean");
}
