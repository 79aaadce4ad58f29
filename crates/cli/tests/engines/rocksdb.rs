//! A checkpoint of RocksDB as a sealed tree: restored, and opened where it is mounted, with every key compared.

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

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program).args(arguments).current_dir(self.directory.path()).output().unwrap()
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
