//! Directories sealed, listed, printed and compared by the real program; other programs say what a directory is.
//! Knows nothing of the library.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod advised;
mod comparing;
#[path = "../../../tree/tests/fixture/mod.rs"]
mod fixture;
#[path = "../cli/injected.rs"]
mod injected;
mod lacking;
mod many_members;
mod misplaced;
mod overlaid;
#[allow(dead_code, reason = "of a program that needs a part of it")]
#[path = "../cli/place.rs"]
mod place;
#[allow(dead_code, reason = "of a program that needs a part of it")]
#[path = "../cli/programs.rs"]
mod programs;
mod reading;
mod recovering;
mod resuming;
mod rights;
mod sealing;
mod synced;
mod vanishing;

use std::ffi::OsStr;
use std::fs;
use std::process::Command;

use fixture::make_tree;
use place::{Place, Ran, SMALL};

/// A place with a directory `tree` that has one of everything.
fn with_tree() -> Place {
    let place = Place::new();
    fs::create_dir(place.path("tree")).unwrap();
    make_tree(&place.path("tree"));
    place
}

/// The same, sealed into `tree.cfd`.
fn with_sealed_tree() -> Place {
    let place = with_tree();
    seal(&place, &[]).assert_done();
    place
}

/// Seals `tree` into `tree.cfd`, in small segments.
fn seal(place: &Place, more: &[&str]) -> Ran {
    let command = ["seal", "-r", &place.recipient, "tree", "-o", "tree.cfd"];
    place.run([&command[..], &SMALL, more].concat())
}

/// Runs a command that opens `tree.cfd`.
fn open(place: &Place, command: &str, more: &[&str]) -> Ran {
    place.run([&[command, "-i", "key.txt", "tree.cfd"], more].concat())
}

/// What GNU tar makes of the archive of `tree.cfd`, in the directory `name`.
fn extract(place: &Place, name: &str) {
    let archive = open(place, "cat", &["--tar"]);
    archive.assert_done();
    fs::write(place.path("archive.tar"), archive.stdout).unwrap();
    fs::create_dir(place.path(name)).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["-xpf", "archive.tar", "--xattrs", "--xattrs-include=*", "-C", name]);
    assert!(tar.current_dir(place.directory.path()).status().unwrap().success());
}

/// Records of the event `event` among lines of JSON.
fn records(lines: &[u8], event: &str) -> Vec<serde_json::Value> {
    place::json_lines(lines).into_iter().filter(|record| record["event"] == event).collect()
}

fn write(place: &Place, name: impl AsRef<OsStr>, bytes: &[u8]) {
    fs::write(place.directory.path().join(name.as_ref()), bytes).unwrap();
}
