//! Where the sync of a file system passes its server by, as FUSE's does, each file and each directory is synced.
//! The server is fuse-overlayfs, which says what it is asked for.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::place::{Place, wait_until};
use crate::programs::{has, skipped};
use crate::{open, seal, with_tree};

/// A directory that is served by one that logs.
struct Mounted<'a> {
    place: &'a Place,
    server: Child,
}

impl Mounted<'_> {
    /// What is written below `at` goes to `under`. None: this machine has no FUSE.
    fn new(place: &Place) -> Option<Mounted<'_>> {
        ["lower", "under", "work", "at"].iter().for_each(|name| fs::create_dir(place.path(name)).unwrap());
        let log = File::create(place.path("log")).unwrap();
        let mut command = Command::new("fuse-overlayfs");
        let layers = "lowerdir=lower,upperdir=under,workdir=work";
        command
            .args(["-f", "-d", "-o", layers, "at"])
            .current_dir(place.directory.path())
            .stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut server = command.spawn().unwrap();
        let device = |name: &str| fs::metadata(place.path(name)).unwrap().dev();
        let mut has_ended = false;
        wait_until("the mount", || {
            has_ended = server.try_wait().unwrap().is_some();
            has_ended || device("at") != device("under")
        });
        if has_ended {
            skipped(&format!("fuse-overlayfs cannot mount: {}", String::from_utf8_lossy(&place.read("log"))));
            return None;
        }
        Some(Mounted { place, server })
    }

    /// How often it was asked for this so far.
    fn count(&self, operation: &str) -> usize {
        let log = String::from_utf8_lossy(&self.place.read("log")).into_owned();
        log.matches(&format!("opcode: {operation} (")).count()
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("fusermount3").args(["-u", "-z"]).arg(self.place.path("at")).status();
        let _ = self.server.wait();
    }
}

/// How many directories are beneath `directory`, that itself among them. The inodes of files are added to `files`.
fn look(directory: &Path, files: &mut BTreeSet<u64>) -> usize {
    let mut directories = 1;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let found = path.symlink_metadata().unwrap();
        if found.is_dir() {
            directories += look(&path, files);
        } else if found.is_file() {
            files.insert(found.ino());
        }
    }
    directories
}

#[test]
fn on_fuse_each_file_and_directory_is_synced_once_it_is_as_it_is_to_be() {
    if !has("fuse-overlayfs") || !has("fusermount3") {
        return;
    }
    let place = with_tree();
    // That server keeps some bytes of a name for itself.
    fs::remove_dir_all(place.path("tree/long")).unwrap();
    seal(&place, &[]).assert_done();
    let Some(mounted) = Mounted::new(&place) else { return };
    fs::create_dir_all(place.path("at/into/a")).unwrap();
    let mut files = BTreeSet::new();
    let directories = look(&place.path("tree"), &mut files);
    let files = files.len();
    assert!(files > 10 && directories > 3, "{files} files, {directories} directories");
    for options in [&["at/target"][..], &["--into", "at/into"]] {
        let before = [mounted.count("FSYNC"), mounted.count("FSYNCDIR")];
        open(&place, "restore", options).assert_done();
        let synced = [mounted.count("FSYNC") - before[0], mounted.count("FSYNCDIR") - before[1]];
        assert!(synced[0] >= files, "{options:?}: {synced:?} of {files} files");
        assert!(synced[1] >= directories, "{options:?}: {synced:?} of {directories} directories");
    }
    for target in ["under/target", "under/into"] {
        assert_eq!(fs::read(place.path(target).join("a/b/6")).unwrap(), place.read("tree/a/b/6"));
    }
}
