//! `seal --tar`: what other programs pack, through a pipe, back bit for bit, and out as they would unpack it.
//! What is in an archive is the library's.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use crate::place::{Place, Ran, json_lines};
use crate::programs::has;

/// A directory with a little of everything.
fn make_tree(root: &Path) {
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    for (name, len) in [("a/small", 10), ("a/b/block", 512), ("a/b/large", 300_000), ("z", 0)] {
        fs::write(root.join(name), b"0123456789".repeat(len / 10 + 1)).unwrap();
    }
    fs::write(root.join(format!("a/{}", "long".repeat(40))), "long").unwrap();
    fs::hard_link(root.join("a/small"), root.join("a/same")).unwrap();
    symlink("../a/small", root.join("empty/link")).unwrap();
    fs::set_permissions(root.join("a/b/block"), fs::Permissions::from_mode(0o750)).unwrap();
}

/// Packs the tree at `tree` of the place.
fn pack(place: &Place, line: &str) -> Vec<u8> {
    let output = Command::new("sh").args(["-c", line]).current_dir(place.path("tree")).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn with_tree() -> Place {
    let place = Place::new();
    fs::create_dir(place.path("tree")).unwrap();
    make_tree(&place.path("tree"));
    place
}

fn seal(place: &Place, archive: Vec<u8>, more: &[&str]) -> Ran {
    let words = ["seal", "--tar", "-r", &place.recipient, "-o", "sealed.cfd", "-"];
    place.run_fed(words.iter().chain(more), archive)
}

/// Whether rsync finds nothing to do between two directories, contents compared.
fn assert_same(one: &Path, other: &Path) {
    let slash = |path: &Path| format!("{}/", path.display());
    let mut rsync = Command::new("rsync");
    rsync.args(["-rlptHn", "--checksum", "--delete", "--itemize-changes", &slash(one), &slash(other)]);
    let output = rsync.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{} and {}", one.display(), other.display());
}

const PYTHON: &str = "python3 -c \"import sys, tarfile; t = tarfile.open(fileobj=sys.stdout.buffer, mode='w|'); t.add('.'); t.close()\"";

#[test]
fn what_tar_bsdtar_and_python_pack_comes_back_bit_for_bit_and_as_the_tree_that_they_unpack() {
    if !["tar", "bsdtar", "python3", "rsync"].iter().all(|program| has(program)) {
        return;
    }
    for line in ["tar --format=posix -cf - .", "bsdtar -cf - .", PYTHON] {
        let place = with_tree();
        let archive = pack(&place, line);
        let sealed = seal(&place, archive.clone(), &["--json"]);
        sealed.assert_done();
        let record = &json_lines(&sealed.stdout)[0];
        assert_eq!(record["tree"]["catalog"], true, "{line}");
        assert_eq!((&record["tree"]["files"], &record["tree"]["hard_links"]), (&5.into(), &1.into()));
        assert_eq!(place.state_names(), [""; 0], "nothing is left in the state directory");
        let given_back = place.run(["cat", "--tar", "-i", "key.txt", "sealed.cfd"]);
        given_back.assert_done();
        assert!(given_back.stdout == archive, "{line}");
        place.run(["restore", "-i", "key.txt", "sealed.cfd", "restored"]).assert_done();
        assert_same(&place.path("tree"), &place.path("restored"));
    }
}

#[test]
fn an_archive_in_a_file_is_sealed_beside_it() {
    let place = with_tree();
    fs::write(place.path("base.tar"), pack(&place, "tar --format=posix -cf - .")).unwrap();
    place.run(["seal", "--tar", "-r", &place.recipient, "base.tar"]).assert_done();
    let given_back = place.run(["cat", "--tar", "-i", "key.txt", "base.tar.cfd"]);
    assert!(given_back.stdout == place.read("base.tar"));
}

#[test]
fn an_archive_in_another_format_is_sealed_whole_without_a_catalog_and_that_is_said() {
    let place = with_tree();
    let archive = pack(&place, "tar --format=gnu -cf - .");
    let sealed = seal(&place, archive.clone(), &[]);
    sealed.assert_done();
    assert!(sealed.stderr.contains("has no catalog, and is one file from now on"), "{}", sealed.stderr);
    assert!(sealed.stderr.contains("at byte 0: GNU tar's own format"), "{}", sealed.stderr);
    let given_back = place.run(["cat", "--tar", "-i", "key.txt", "sealed.cfd"]);
    given_back.assert_done();
    assert!(given_back.stdout == archive);
}

#[test]
fn what_is_no_archive_or_cut_off_is_not_sealed() {
    let place = with_tree();
    let archive = pack(&place, "tar --format=posix -cf - .");
    let cut = archive[..archive.len() / 2].to_vec();
    for (bytes, advice) in [
        (b"CREATE TABLE".repeat(100), "Without --tar any bytes are sealed"),
        (Vec::new(), "this is no tar archive: nothing came"),
        (cut, "Look whether the program that writes it has failed"),
    ] {
        let sealed = seal(&place, bytes, &[]);
        sealed.assert_failed(1, advice);
        assert_eq!(place.names(), ["key.txt", "tree"], "nothing is left");
        assert_eq!(place.state_names(), [""; 0]);
    }
}

#[test]
fn what_makes_no_sense_with_an_archive_is_refused_before_it_is_read() {
    let place = with_tree();
    let to = ["-r", &place.recipient, "-o", "sealed.cfd"];
    let refused = |words: &[&str]| place.run([&["seal", "--tar"], &to[..], words].concat()).code;
    assert_eq!(refused(&["tree"]), 2);
    assert_eq!(refused(&["--resume", "tree"]), 2);
    assert_eq!(refused(&["--exclude", "x", "-"]), 2);
    assert_eq!(refused(&["--strict", "-"]), 2);
    #[cfg(feature = "foreign")]
    assert_eq!(refused(&["--format", "age", "-"]), 2);
}
