//! A checkpoint of RocksDB as a sealed tree: restored, opened where it is sealed, and where it is mounted, with every key compared.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cofferdam::{Recipients, Sealer};
use servers::installed::find_on_path;
use tempfile::TempDir;

use crate::installed::Installed;
use crate::mount_process::{MountProcess, mounts_at};
use crate::programs::{has, skipped};
use crate::sealed_tree::seal_tree;

/// With `db`, a database, `checkpoint`, its checkpoint, and `sealed.cfd`, sealed from that.
pub(crate) struct Place {
    directory: TempDir,
    program: PathBuf,
}

impl Place {
    /// In `folder`, or where scratch directories are.
    pub(crate) fn new(folder: Option<&Path>, bytes: u64) -> Option<Place> {
        if !has(&["c++", "make", "pkg-config", "ldb"], &["rocksdb/db.h"]) {
            return None;
        }
        let program = Installed::shared().program("rocksdb", "rocksdb_checkpoint");
        let directory = folder.map_or_else(tempfile::tempdir, tempfile::tempdir_in).unwrap();
        let place = Place { directory, program };
        let keygen = place.run(env!("CARGO_BIN_EXE_cofferdam"), &["keygen", "-o", "key.txt"]);
        let recipient = text(&keygen).trim().to_owned();
        text(&place.rocksdb(&["fill", "db", &bytes.to_string()]));
        text(&place.rocksdb(&["checkpoint", "db", "checkpoint"]));
        let sealer = Sealer::new(Recipients::new().parse(&recipient).unwrap());
        seal_tree(&sealer, &place.path("checkpoint"), &place.path("sealed.cfd"));
        Some(place)
    }

    /// Restores it to `restored`.
    pub(crate) fn restore(&self) {
        let arguments = ["restore", "-i", "key.txt", "sealed.cfd", "restored"];
        text(&self.run(env!("CARGO_BIN_EXE_cofferdam"), &arguments));
    }

    /// Mounts it on `mnt`; none where nothing can be mounted.
    pub(crate) fn mount(&self) -> Option<MountProcess> {
        if !Path::new("/dev/fuse").exists() || find_on_path("umount").is_none() {
            skipped("no FUSE here");
            return None;
        }
        std::fs::create_dir(self.path("mnt")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
        command.args(["mount", "--json", "-i", "key.txt", "sealed.cfd", "mnt"]);
        command.current_dir(self.directory.path());
        Some(MountProcess::spawn(command, self.path("errors")))
    }

    /// The program of the example.
    pub(crate) fn rocksdb(&self, arguments: &[&str]) -> Output {
        self.run(self.program.to_str().unwrap(), arguments)
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.directory.path()).env("IDENTITY", "key.txt");
        command.output().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Of a test that has failed.
        let _ = Command::new("umount").args(["-q", "-l"]).arg(self.path("mnt")).output();
    }
}

/// For whom it is sealed.
pub(crate) fn recipient_of(place: &Place) -> String {
    let key = std::fs::read_to_string(place.path("key.txt")).unwrap();
    let line = key.lines().find_map(|line| line.strip_prefix("# public key: "));
    line.unwrap().to_owned()
}

pub(crate) fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Two gigabytes by `cargo xtask engines --full`.
fn bytes() -> u64 {
    let bytes = std::env::var("COFFERDAM_ENGINES_ROCKSDB_BYTES").ok();
    bytes.and_then(|bytes| bytes.parse().ok()).unwrap_or(8 << 20)
}

#[test]
fn a_checkpoint_is_sealed_as_a_tree_and_every_key_is_there_restored_and_mounted() {
    let Some(place) = Place::new(None, bytes()) else { return };
    let pairs = text(&place.rocksdb(&["compare", "db", "checkpoint"]));
    assert_eq!(pairs.trim(), (bytes() / 1024 + 1).to_string());
    place.restore();
    assert_eq!(text(&place.rocksdb(&["compare", "db", "restored"])), pairs);
    // RocksDB opens it as its own, too: with a lock, a new log and all.
    text(&place.rocksdb(&["checkpoint", "restored", "again"]));
    // Where it is sealed, without a mount.
    assert_eq!(text(&place.rocksdb(&["compare", "db", "sealed.cfd"])), pairs);
    text(&place.rocksdb(&["gets", "sealed.cfd", "1000", "4"]));
    let Some(mounted) = place.mount() else { return };
    assert_eq!(text(&place.rocksdb(&["compare", "db", "mnt"])), pairs);
    // Debian's own program.
    let scan = |database: &str| {
        let database = format!("--db={database}");
        let scanned = place.run("ldb", &[&database, "--hex", "scan", "--max_keys=2000"]);
        assert!(scanned.status.success(), "{}", String::from_utf8_lossy(&scanned.stderr));
        scanned.stdout
    };
    let scanned = scan("checkpoint");
    assert!(scanned.len() > 2_000_000 && scan("mnt") == scanned, "{}", scanned.len());
    text(&place.rocksdb(&["gets", "mnt", "1000"]));
    // It cannot be opened to write.
    assert_eq!(place.rocksdb(&["checkpoint", "mnt", "third"]).status.code(), Some(1));
    mounted.end(rustix::process::Signal::TERM).assert_done("clean");
    assert!(mounts_at(&place.path("mnt")).is_empty());
}

#[test]
fn a_sealed_database_is_never_written_to() {
    let Some(place) = Place::new(None, 100_000) else { return };
    let before = std::fs::read(place.path("sealed.cfd")).unwrap();
    let opened = place.rocksdb(&["checkpoint", "sealed.cfd", "another"]);
    let said = String::from_utf8_lossy(&opened.stderr);
    assert!(opened.status.code() == Some(1) && said.contains("not written to"), "{opened:?}");
    assert!(!place.path("another").exists() && !Path::new("/sealed").exists());
    assert_eq!(std::fs::read(place.path("sealed.cfd")).unwrap(), before);
}

#[test]
fn what_is_no_sealed_database_is_refused() {
    let Some(place) = Place::new(None, 100_000) else { return };
    text(&place.run(env!("CARGO_BIN_EXE_cofferdam"), &["keygen", "-o", "other.txt"]));
    let file = ["seal", "-q", "-r", &recipient_of(&place), "-o", "file.cfd", "key.txt"];
    text(&place.run(env!("CARGO_BIN_EXE_cofferdam"), &file));
    std::fs::write(place.path("bytes.cfd"), "no stream").unwrap();
    for (sealed, why) in
        [("file.cfd", "no tree"), ("bytes.cfd", "cannot open"), ("missing.cfd", "cannot open")]
    {
        let opened = place.rocksdb(&["compare", "db", sealed]);
        let said = String::from_utf8_lossy(&opened.stderr);
        assert!(opened.status.code() == Some(1) && said.contains(why), "{opened:?}");
    }
}

/// One bit of the stream is another: RocksDB says so, or has not needed it. It never gives other bytes.
#[test]
fn a_damaged_frame_is_an_error_and_never_another_value() {
    let Some(place) = Place::new(None, 2 << 20) else { return };
    let sealed = std::fs::read(place.path("sealed.cfd")).unwrap();
    let pairs = text(&place.rocksdb(&["compare", "db", "sealed.cfd"]));
    let places = 24;
    let mut refused = 0;
    for number in 0..places {
        let mut damaged = sealed.clone();
        damaged[(sealed.len() * number + sealed.len() / 2) / places] ^= 0x10;
        std::fs::write(place.path("damaged.cfd"), damaged).unwrap();
        let compared = place.rocksdb(&["compare", "db", "damaged.cfd"]);
        let said = String::from_utf8_lossy(&compared.stderr);
        if compared.status.success() {
            assert_eq!(String::from_utf8_lossy(&compared.stdout), pairs);
            continue;
        }
        refused += 1;
        let is_error = said.contains("Corruption: ") || said.contains("IO error: ");
        assert!(
            compared.status.code() == Some(1) && is_error && said.contains("damaged.cfd"),
            "{compared:?}"
        );
    }
    // Nearly all of the stream is what is in the tables.
    assert!(refused > places * 3 / 4, "{refused} of {places}");
}

/// The comparer finds a pair that is another, and one that is missing.
#[test]
fn databases_that_differ_are_told_apart() {
    let Some(place) = Place::new(None, 100_000) else { return };
    let put = |database: &str, key: &str, value: &str| {
        text(&place.run("ldb", &[&format!("--db={database}"), "put", key, value]));
    };
    text(&place.rocksdb(&["checkpoint", "checkpoint", "other"]));
    put("other", "key 0000000000000000", "another value");
    let differs = place.rocksdb(&["compare", "checkpoint", "other"]);
    assert!(
        !differs.status.success() && String::from_utf8_lossy(&differs.stderr).contains("differs"),
        "{differs:?}"
    );
    text(&place.rocksdb(&["checkpoint", "checkpoint", "longer"]));
    put("longer", "zzz", "");
    let longer = place.rocksdb(&["compare", "checkpoint", "longer"]);
    assert!(
        !longer.status.success() && String::from_utf8_lossy(&longer.stderr).contains("more than"),
        "{longer:?}"
    );
}
