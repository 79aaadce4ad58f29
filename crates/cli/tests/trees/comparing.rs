//! `diff`: a directory that is what was sealed, and each way in which it is not.
//! Every difference is made here, one at a time.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::time::{Duration, SystemTime};

use rustix::fs::{XattrFlags, setxattr};

use crate::injected::injected_at;
use crate::place::{Place, Ran};
use crate::programs::has;
use crate::{extract, open, records, with_sealed_tree};

/// The lines of a comparison that finds something.
fn differences(place: &Place, more: &[&str]) -> Vec<String> {
    let ran = open(place, "diff", &[&["tree"], more].concat());
    ran.assert_failed(18, "is not what");
    let text = ran.text();
    text.lines()
        .filter(|line| line.starts_with("only in") || line.starts_with("differs in"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn what_seal_left_out_is_left_out_by_who_is_told_so_as_well() {
    let place = with_sealed_tree();
    fs::create_dir(place.path("tree/tmp")).unwrap();
    let ran = open(&place, "diff", &["tree"]);
    ran.assert_failed(18, "is not what");
    assert!(ran.stderr.contains("`--exclude` leaves the same out here"), "{}", ran.stderr);
    // To people it is said once.
    assert!(!ran.text().contains("is not what"), "{}", ran.text());
    open(&place, "diff", &["--exclude", "tmp/", "tree"]).assert_done();
    fs::remove_dir(place.path("tree/tmp")).unwrap();
    fs::write(place.path("tree/a/b/6"), "other").unwrap();
    let ran = open(&place, "diff", &["tree"]);
    ran.assert_failed(18, "is not what");
    assert!(!ran.stderr.contains("--exclude"), "{}", ran.stderr);
}

#[test]
fn what_was_sealed_and_what_tar_extracts_do_not_differ() {
    let place = with_sealed_tree();
    let same = open(&place, "diff", &["tree"]);
    same.assert_done();
    assert!(same.text().starts_with("tree is what tree.cfd holds: "), "{}", same.text());
    extract(&place, "extracted");
    open(&place, "diff", &["extracted"]).assert_done();
    // No glob is of the directory itself.
    for glob in [".*", "?"] {
        open(&place, "diff", &["--exclude", glob, "tree"]).assert_done();
    }
    let record = &records(&open(&place, "diff", &["--json", "tree"]).stdout, "compared")[0];
    let members = open(&place, "ls", &[]).text().lines().count();
    assert_eq!((record["paths"].as_u64().unwrap() as usize, &record["differences"]), (members, &0.into()));
}

#[test]
fn each_difference_is_found_and_named() {
    let place = with_sealed_tree();
    let path = |name: &str| place.path("tree").join(name);
    let time = |name: &str| fs::metadata(path(name)).unwrap().modified().unwrap();
    let set_time = |name: &str, time: SystemTime| File::open(path(name)).unwrap().set_modified(time).unwrap();
    let check =
        |what: &str, name: &str| assert_eq!(differences(&place, &[]), [format!("differs in {what}: {name}")]);

    let (name, before) = ("a/b/6", fs::read(path("a/b/6")).unwrap());
    let was = time(name);
    let mut other = before.clone();
    *other.last_mut().unwrap() ^= 1;
    fs::write(path(name), &other).unwrap();
    set_time(name, was);
    check("content", name);
    fs::write(path(name), &before[..before.len() - 1]).unwrap();
    set_time(name, was);
    check("content", name);
    fs::write(path(name), &before).unwrap();
    set_time(name, was + Duration::from_nanos(1));
    check("time", name);
    set_time(name, was);
    open(&place, "diff", &["tree"]).assert_done();

    fs::set_permissions(path("a.txt"), Permissions::from_mode(0o601)).unwrap();
    check("mode", "a.txt");
    fs::set_permissions(path("a.txt"), Permissions::from_mode(0o600)).unwrap();
    chown(path("a.txt"), Some(77), None).unwrap();
    check("owner", "a.txt");
    open(&place, "diff", &["tree", "--no-owner"]).assert_done();
    chown(path("a.txt"), Some(0), None).unwrap();
    setxattr(path("a.txt"), "user.note", b"another", XattrFlags::empty()).unwrap();
    check("attributes", "a.txt");
}

#[test]
fn what_is_on_one_side_or_of_another_type_is_told_and_globs_leave_it_out() {
    let place = with_sealed_tree();
    let path = |name: &str| place.path("tree").join(name);
    let times = ["", "a"].map(|name| (name, fs::metadata(path(name)).unwrap().modified().unwrap()));
    fs::write(path("new"), "").unwrap();
    fs::remove_file(path("a.txt")).unwrap();
    fs::remove_file(path("a/link")).unwrap();
    symlink("c", path("a/link")).unwrap();
    fs::remove_file(path("fifo")).unwrap();
    fs::write(path("fifo"), "").unwrap();
    // No longer a second name of the file, though it has the same bytes.
    let was = fs::metadata(path("a/b/5")).unwrap().modified().unwrap();
    let bytes = fs::read(path("a/b/5")).unwrap();
    fs::remove_file(path("a/b/5")).unwrap();
    fs::write(path("a/b/5"), bytes).unwrap();
    File::open(path("a/b/5")).unwrap().set_modified(was).unwrap();
    for (name, time) in times {
        File::open(path(name)).unwrap().set_modified(time).unwrap();
    }
    let mut found = differences(&place, &["--exclude", "/a/b/"]);
    let mut due = [
        "differs in link: a/link",
        "only in the tree: a.txt",
        "differs in type: fifo",
        "only in the directory: new",
    ];
    found.sort();
    due.sort_unstable();
    assert_eq!(found, due);
    assert!(differences(&place, &[]).contains(&"differs in type: a/b/5".to_owned()));
    let excluded = [
        "--exclude",
        "fifo",
        "--exclude",
        "new",
        "--exclude",
        "a.txt",
        "--exclude",
        "link",
        "--exclude",
        "b/",
    ];
    open(&place, "diff", &[&["tree"], &excluded[..]].concat()).assert_done();
}

/// A file may be another user's, or lie on a bad sector: whoever compares a million files wants to hear of the others, too.
#[test]
fn a_file_that_cannot_be_read_is_named_and_the_rest_is_compared() {
    if !has("strace") {
        return;
    }
    let place = with_sealed_tree();
    let whole = &records(&open(&place, "diff", &["--json", "tree"]).stdout, "compared")[0]["paths"];
    let file = place.path("tree/a/b/6");
    let was = fs::metadata(place.path("tree/a.txt")).unwrap().permissions();
    for (path, fault, error) in [
        ("a/b/6", "openat2:error=EACCES", "Permission denied"),
        (file.to_str().unwrap(), "pread64:error=EIO", "Input/output error"),
    ] {
        for differs in [false, true] {
            let mode = if differs { Permissions::from_mode(0o601) } else { was.clone() };
            fs::set_permissions(place.path("tree/a.txt"), mode).unwrap();
            let run = |more: &[&str]| {
                let arguments = [&["diff", "-i", "key.txt"], more, &["tree.cfd", "tree"]].concat();
                Ran::of(injected_at(&place, &[path], &[fault], &arguments).output().unwrap())
            };
            let ran = run(&["--json"]);
            ran.assert_failed(1, "the bytes of 1 file could not be read");
            let unread = &records(&ran.stdout, "unread")[..];
            assert_eq!((unread.len(), &unread[0]["path"]), (1, &"a/b/6".into()), "{}", ran.text());
            assert!(unread[0]["error"].as_str().unwrap().contains(error), "{}", ran.text());
            let compared = &records(&ran.stdout, "compared")[0];
            assert_eq!((&compared["paths"], &compared["unread"]), (whole, &1.into()));
            let paths: Vec<_> =
                records(&ran.stdout, "difference").iter().map(|it| it["path"].clone()).collect();
            assert_eq!(paths, if differs { vec!["a.txt"] } else { vec![] });
            assert_eq!(compared["differences"], u64::from(differs));
            assert!(run(&[]).text().contains("could not be read: a/b/6: "));
        }
    }
}
