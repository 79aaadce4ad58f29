//! An environment of LMDB through a pipe into a sealed stream, and back.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::installed::Installed;
use crate::programs::has;

struct Place {
    directory: TempDir,
    program: PathBuf,
    recipient: String,
}

impl Place {
    /// With `db`, an environment of some megabytes.
    fn new() -> Option<Place> {
        if !has(&["mdb_load", "make", "cc", "pkg-config"], &["lmdb.h"]) {
            return None;
        }
        let program = Installed::shared().program("lmdb", "sealed_lmdb");
        let mut place = Place { directory: tempfile::tempdir().unwrap(), program, recipient: String::new() };
        place.recipient =
            text(&place.run(env!("CARGO_BIN_EXE_cofferdam"), &["keygen", "-o", "key.txt"])).trim().to_owned();
        let mut pairs = String::new();
        for key in 0..20_000 {
            writeln!(pairs, "key {key:06}\n{}", format!("value {key} ").repeat(10)).unwrap();
        }
        for folder in ["db", "restored"] {
            fs::create_dir(place.directory.path().join(folder)).unwrap();
        }
        fs::write(place.directory.path().join("pairs"), pairs).unwrap();
        let header = "VERSION=3\nformat=print\ntype=btree\nmapsize=67108864\nHEADER=END\n";
        fs::write(place.directory.path().join("dump"), header).unwrap();
        let load = "{ cat dump; sed 's/^/ /' pairs; echo DATA=END; } > whole; mdb_load -f whole db";
        text(&place.run("sh", &["-ec", load]));
        Some(place)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program).args(arguments).current_dir(self.directory.path()).output().unwrap()
    }

    fn backup(&self) -> [String; 4] {
        ["backup", "db", &self.recipient, "sealed.cfd"].map(str::to_owned)
    }

    fn sealed_lmdb(&self, arguments: &[&str]) -> Output {
        self.run(self.program.to_str().unwrap(), arguments)
    }
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn an_environment_is_sealed_through_a_pipe_and_is_the_same_afterwards() {
    let Some(place) = Place::new() else { return };
    text(&place.sealed_lmdb(&place.backup().each_ref().map(String::as_str)));
    text(&place.sealed_lmdb(&["restore", "sealed.cfd", "key.txt", "restored"]));
    let before = text(&place.run("mdb_dump", &["-p", "db"]));
    assert_eq!(before.matches("key ").count(), 20_000);
    // All but the header, which has the size of the map.
    let pairs = |dump: &str| dump.split_once("HEADER=END").unwrap().1.to_owned();
    assert!(pairs(&text(&place.run("mdb_dump", &["-p", "restored"]))) == pairs(&before));
    assert!(text(&place.run("mdb_stat", &["restored"])).contains("Entries: 20000"));
    // Whatever is there already stays.
    let again = place.sealed_lmdb(&["restore", "sealed.cfd", "key.txt", "restored"]);
    assert_eq!(again.status.code(), Some(1));
}

/// The pipe ends as at the end of the copy, and what came through it begins as an environment does.
#[test]
fn a_copy_that_fails_is_no_stream() {
    let Some(place) = Place::new() else { return };
    if !has(&["strace"], &[]) {
        return;
    }
    let program = place.program.to_str().unwrap();
    let backup = place.backup();
    let mut arguments =
        vec!["-f", "-qq", "-o", "/dev/null", "-e", "inject=write:error=EIO:when=3+", "--", program];
    arguments.extend(backup.iter().map(String::as_str));
    let failed = place.run("strace", &arguments);
    assert_eq!(failed.status.code(), Some(1));
    let mut names: Vec<_> =
        fs::read_dir(place.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| name.to_string_lossy().contains("sealed"));
    assert!(names.is_empty(), "{names:?}");
}

/// The copy writes into a pipe that nobody reads any more.
#[test]
fn a_seal_that_fails_ends_the_copy() {
    let Some(place) = Place::new() else { return };
    let failed = place.sealed_lmdb(&["backup", "db", &place.recipient, "missing/sealed.cfd"]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert!(String::from_utf8_lossy(&failed.stderr).contains("cannot seal"), "{failed:?}");
}
