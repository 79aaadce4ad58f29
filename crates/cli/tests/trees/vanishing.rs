//! What is gone before it was sealed: files, and the directory itself. The real program is held at a rate of a byte per second meanwhile.
//! Files that are merely written to are told apart.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};

use crate::injected::injected;
use crate::place::{Place, Ran, SMALL, end_of, plaintext, wait_until};
use crate::programs::has;
use crate::{open, records};

/// A directory `tree` with more in it than is read ahead, and then files that can go.
fn place() -> Place {
    let place = Place::new();
    fs::create_dir_all(place.path("tree/z")).unwrap();
    fs::write(place.path("tree/first"), plaintext(48 << 20)).unwrap();
    for (name, len) in [("gone-1", 100_000), ("gone-2", 3 << 20), ("stays", 5_000), ("written", 7_000)] {
        fs::write(place.path("tree/z").join(name), plaintext(len)).unwrap();
    }
    place
}

/// Seals `directory` into `tree.cfd`, and calls `meanwhile` when it has been walked and next to nothing is read.
pub(crate) fn seal_while(place: &Place, directory: &str, more: &[&str], meanwhile: impl FnOnce()) -> Ran {
    fs::write(place.path("rate"), "1\n").unwrap();
    let command = ["seal", "-r", &place.recipient, directory, "-o", "tree.cfd", "--memory", "8MiB"];
    let limited = ["--limit-rate-file", "rate", "--no-zstd"];
    let mut running = place.spawn([&command[..], &limited, &SMALL, more].concat());
    wait_until("the staging file", || place.path(".tree.cfd.cofferdam-staging").exists());
    meanwhile();
    assert!(running.try_wait().unwrap().is_none(), "it ends at a byte per second");
    fs::write(place.path("new"), "0\n").unwrap();
    fs::rename(place.path("new"), place.path("rate")).unwrap();
    let ran = end_of(running);
    fs::remove_file(place.path("rate")).unwrap();
    ran
}

/// The same, while two files go and one grows.
fn seal_while_files_go(place: &Place, more: &[&str]) -> Ran {
    seal_while(place, "tree", more, || {
        fs::remove_file(place.path("tree/z/gone-1")).unwrap();
        fs::remove_file(place.path("tree/z/gone-2")).unwrap();
        fs::create_dir(place.path("tree/z/gone-2")).unwrap();
        let mut written = OpenOptions::new().append(true).open(place.path("tree/z/written")).unwrap();
        written.write_all(b"more").unwrap();
    })
}

/// The warnings of a run with `--json`.
fn warnings(ran: &Ran) -> String {
    let messages = records(ran.stderr.as_bytes(), "warning");
    messages.iter().map(|record| format!("{}\n", record["message"].as_str().unwrap())).collect()
}

#[test]
fn files_that_are_gone_are_counted_and_named_apart_from_those_that_changed() {
    let place = place();
    let sealed = seal_while_files_go(&place, &["--json"]);
    sealed.assert_done();
    let tree = &records(&sealed.stdout, "sealed")[0]["tree"];
    assert_eq!((&tree["changed"], &tree["gone"]), (&3.into(), &2.into()));
    assert_eq!(tree["gone_len"], 100_000 + (3 << 20));
    assert_eq!(tree["changed_paths"], serde_json::json!(["z/written"]));
    assert_eq!(tree["gone_paths"], serde_json::json!(["z/gone-1", "z/gone-2"]));
    let told = warnings(&sealed);
    assert!(
        told.contains("1 file changed")
            && told.contains("sealed of it may be of several moments: z/written\n"),
        "{told}"
    );
    let gone =
        "2 files were gone when they were to be read: 3.10 MiB of zeros stand for them: z/gone-1, z/gone-2\n";
    assert!(told.contains(gone), "{told}");
}

#[test]
fn each_command_tells_later_of_what_was_gone() {
    let place = place();
    seal_while_files_go(&place, &[]).assert_done();
    let listed = open(&place, "ls", &["-l"]);
    let line = |name: &str| listed.text().lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(line("z/gone-1").ends_with("(gone while it was sealed: zeros)"), "{}", listed.text());
    assert!(line("z/written").ends_with("(changed while it was sealed)") && line("stays").ends_with("stays"));
    let entries = records(&open(&place, "ls", &["--json"]).stdout, "entry");
    let flags = |name: &str| {
        let entry = entries.iter().find(|entry| entry["path"] == name).unwrap();
        (entry["changed"].as_bool().unwrap(), entry["gone"].as_bool().unwrap())
    };
    assert_eq!(
        ["z/gone-1", "z/gone-2", "z/stays", "z/written"].map(flags),
        [(true, true), (true, true), (false, false), (true, false)]
    );
    let printed = open(&place, "cat", &["z/gone-1"]);
    printed.assert_done();
    assert!(printed.stdout == [0; 100_000] && printed.stderr.contains("was gone"), "{}", printed.stderr);
    let verified = open(&place, "verify", &[]);
    verified.assert_done();
    let text = verified.text();
    assert!(text.contains("1 file changed") && text.contains("2 files were gone"), "{text}");
    let verified = records(&open(&place, "verify", &["--json"]).stdout, "verified");
    let tree = &verified[0]["tree"];
    assert_eq!((&tree["changed"], &tree["gone"]), (&3.into(), &2.into()));
    assert_eq!(tree["gone_len"], 100_000 + (3 << 20));
    let restored = open(&place, "restore", &["out", "--json"]);
    restored.assert_done();
    let tree = &records(&restored.stdout, "restored")[0]["tree"];
    assert_eq!((&tree["changed_while_sealed"], &tree["gone_while_sealed"]), (&3.into(), &2.into()));
    assert!(warnings(&restored).contains("2 files: had gone"), "{}", restored.stderr);
    assert!(warnings(&restored).contains("1 file: had changed while it was sealed: its bytes"));
    // Some paths alone are told of as well, by their own numbers.
    let chosen = open(&place, "restore", &["chosen", "--json", "--path", "/z/gone-2"]);
    chosen.assert_done();
    assert!(warnings(&chosen).contains("1 file: had gone"), "{}", chosen.stderr);
    assert!(fs::read(place.path("chosen/z/gone-2")).unwrap() == vec![0; 3 << 20]);
}

#[test]
fn with_strict_a_file_that_is_gone_is_the_end() {
    let place = place();
    let remove = || fs::remove_file(place.path("tree/z/gone-1")).unwrap();
    seal_while(&place, "tree", &["--strict"], remove).assert_failed(12, "z/gone-1 was gone");
    assert_eq!((place.names(), place.state_names()), (vec!["key.txt".into(), "tree".into()], vec![]));
}

#[test]
fn a_directory_that_is_removed_moved_or_replaced_is_not_sealed() {
    let place = place();
    let (tree, away) = (place.path("tree"), place.path("away"));
    let make_again = || {
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("file"), "of another").unwrap();
    };
    let what = "directory was removed, moved or replaced";
    // All of its files can still be read: they are another directory's by now.
    seal_while(&place, "tree", &[], || fs::rename(&tree, &away).unwrap()).assert_failed(12, what);
    fs::rename(&away, &tree).unwrap();
    let replace = || {
        fs::rename(&tree, &away).unwrap();
        make_again();
    };
    seal_while(&place, "tree", &[], replace).assert_failed(12, what);
    fs::remove_dir_all(&tree).unwrap();
    fs::rename(&away, &tree).unwrap();
    for more in [&[][..], &["--resume"]] {
        seal_while(&place, "tree", more, || fs::remove_dir_all(&tree).unwrap()).assert_failed(12, what);
        assert!(!place.path("tree.cfd").exists());
        make_again();
        fs::write(tree.join("first"), plaintext(48 << 20)).unwrap();
    }
    // By the plan of the one that is gone nothing of the new one is sealed, unless it is to be walked anew.
    let resume = ["seal", "-r", &place.recipient, "tree", "-o", "tree.cfd", "--resume", "--no-zstd"];
    place.run([&resume[..], &SMALL, &["--restart"]].concat()).assert_done();
    assert!(open(&place, "ls", &[]).text().lines().any(|line| line == "file"));
}

#[test]
fn a_link_to_the_directory_may_lead_elsewhere_meanwhile() {
    let place = place();
    fs::create_dir(place.path("next")).unwrap();
    symlink("tree", place.path("current")).unwrap();
    let turn = || {
        symlink("next", place.path("new-link")).unwrap();
        fs::rename(place.path("new-link"), place.path("current")).unwrap();
    };
    let ran = seal_while(&place, "current", &["--json"], turn);
    ran.assert_done();
    assert_eq!(records(&ran.stdout, "sealed")[0]["tree"]["changed"], 0);
    open(&place, "diff", &["tree"]).assert_done();
}

/// Links of editors and browsers go at any moment. The system says of what is there that it is gone, or has become something else.
#[test]
fn what_goes_while_the_directory_is_walked_is_counted_and_no_error() {
    if !has("strace") {
        return;
    }
    let place = Place::new();
    fs::create_dir_all(place.path("tree/d/below")).unwrap();
    fs::write(place.path("tree/f"), "f").unwrap();
    symlink("f", place.path("tree/link")).unwrap();
    // The root is opened first.
    for (fault, gone) in [
        ("readlinkat:error=ENOENT", "link"),
        ("readlinkat:error=EINVAL", "link"),
        ("openat2:error=ENOENT:when=2", "d"),
        ("openat2:error=ENOTDIR:when=2", "d"),
        ("openat2:error=ELOOP:when=2", "d"),
    ] {
        let command = ["seal", "-r", &place.recipient, "--json", "--force", "tree", "-o", "tree.cfd"];
        let sealed = Ran::of(injected(&place, &[fault], &command).output().unwrap());
        sealed.assert_done();
        assert_eq!(records(&sealed.stdout, "sealed")[0]["tree"]["left_out"]["gone"], 1, "{fault}");
        let listed = open(&place, "ls", &[]);
        let listed = listed.text();
        for name in ["f", "link", "d"] {
            assert_eq!(listed.lines().any(|line| line == name), name != gone, "{fault}: {listed}");
        }
    }
}

/// One of three names of a link goes between the two looks at it. The second of them is then the first.
#[test]
fn where_a_name_of_a_link_goes_while_the_directory_is_walked_the_others_are_sealed() {
    if !has("strace") {
        return;
    }
    let place = Place::new();
    fs::create_dir_all(place.path("tree")).unwrap();
    symlink("nowhere", place.path("tree/1")).unwrap();
    for name in ["tree/2", "tree/3"] {
        fs::hard_link(place.path("tree/1"), place.path(name)).unwrap();
    }
    let command = ["seal", "-r", &place.recipient, "--json", "tree", "-o", "tree.cfd"];
    let sealed = Ran::of(injected(&place, &["readlinkat:error=ENOENT:when=1"], &command).output().unwrap());
    sealed.assert_done();
    assert_eq!(records(&sealed.stdout, "sealed")[0]["tree"]["left_out"]["gone"], 1);
    open(&place, "restore", &["out"]).assert_done();
    let restored = ["2", "3"].map(|name| fs::symlink_metadata(place.path("out").join(name)).unwrap());
    assert_eq!(restored[0].ino(), restored[1].ino());
    assert_eq!(fs::read_dir(place.path("out")).unwrap().count(), 2);
}
