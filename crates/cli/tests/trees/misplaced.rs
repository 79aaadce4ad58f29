//! Restores of directories that others disturb at the rename, and what the second run does with the tree that was replaced.
//! strace holds the program meanwhile.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use crate::place::Place;
use crate::programs::has;
use crate::recovering::{Held, assert_is, kill, left, place, restore};

const STAGING: &str = "at/.target.cofferdam-staging";
const KEY: &[&str] = &["-i", "key.txt"];

/// With files of another tree at the target.
fn with_old(place: &Place) {
    fs::create_dir_all(place.path("at/target")).unwrap();
    for name in OLD {
        fs::write(place.path("at/target").join(name), "old").unwrap();
    }
}

fn assert_old(place: &Place, path: &str) {
    for name in OLD {
        assert_eq!(place.read(&format!("{path}/{name}")), b"old");
    }
    assert_eq!(fs::read_dir(place.path(path)).unwrap().count(), OLD.len());
}

const OLD: [&str; 3] = ["1", "2", "3"];

/// The private directory is looked at, and then renamed by its name. Between both lie two syncs.
#[test]
fn what_others_put_in_place_of_the_verified_directory_is_not_called_restored() {
    if !has("strace") {
        return;
    }
    for (replaces, is_link) in [(false, false), (false, true), (true, false), (true, true)] {
        let place = place();
        fs::create_dir_all(place.path("at/strange")).unwrap();
        let options = if replaces { &["--force"][..] } else { &[] };
        if replaces {
            with_old(&place);
        }
        let arguments = [options, &["one.cfd", "at/target"]].concat();
        let held = Held::after(&place, &[], "fsync", 4, &[KEY, &arguments].concat());
        fs::rename(place.path(STAGING), place.path("at/verified")).unwrap();
        match is_link {
            true => symlink("strange", place.path(STAGING)).unwrap(),
            false => fs::rename(place.path("at/strange"), place.path(STAGING)).unwrap(),
        }
        let ran = held.go_on();
        ran.assert_failed(10, "at/target: what stands here is not the directory that was verified");
        assert_is(&place, "at/verified", "one");
        assert_eq!(fs::metadata(place.path("at/verified")).unwrap().mode() & 0o7777, 0o700);
        if replaces {
            assert!(ran.stderr.contains("replaced is at/.target.cofferdam-staging"), "{}", ran.stderr);
            assert_old(&place, STAGING);
            // Nor does the next run take it for its own.
            restore(&place, &arguments).assert_failed(1, ".target.cofferdam-staging");
            assert_old(&place, STAGING);
        }
    }
}

/// As when `/srv` is mounted late, or somebody tidies up.
#[test]
fn a_target_whose_directory_was_moved_meanwhile_is_not_called_restored_and_nothing_old_is_removed() {
    if !has("strace") {
        return;
    }
    for options in [&[][..], &["--force"]] {
        for (call, when, code) in [("syncfs", 1, 1), ("fsync", 4, 10)] {
            let place = place();
            fs::create_dir(place.path("at")).unwrap();
            if !options.is_empty() {
                with_old(&place);
            }
            let arguments = [options, &["one.cfd", "at/target"]].concat();
            let held = Held::after(&place, &[], call, when, &[KEY, &arguments].concat());
            fs::rename(place.path("at"), place.path("moved")).unwrap();
            fs::create_dir(place.path("at")).unwrap();
            let ran = held.go_on();
            ran.assert_failed(code, "at was renamed meanwhile: what was restored is in ");
            assert!(ran.stderr.contains("/moved"), "{}", ran.stderr);
            assert_eq!(ran.stderr.contains("nothing was put in place"), code == 1, "{}", ran.stderr);
            assert_eq!(fs::read_dir(place.path("at")).unwrap().count(), 0);
            match (options.is_empty(), code) {
                (true, 1) => assert!(!place.path("moved/target").exists()),
                (false, 1) => assert_old(&place, "moved/target"),
                _ => assert_is(&place, "moved/target", "one"),
            }
            if !options.is_empty() && code == 10 {
                assert_old(&place, "moved/.target.cofferdam-staging");
            }
            fs::remove_dir(place.path("at")).unwrap();
            fs::rename(place.path("moved"), place.path("at")).unwrap();
            restore(&place, &arguments).assert_done();
            assert_is(&place, "at/target", "one");
            assert_eq!(left(&place, "at"), [""; 0]);
        }
    }
}

/// Who sees a crash and runs it again with more care does not lose the only copy.
#[test]
fn an_old_tree_that_either_run_is_to_keep_is_kept() {
    if !has("strace") {
        return;
    }
    let kept = "at/target.cofferdam-old";
    for (first, second) in [(&[][..], &["--keep-old"][..]), (&["--keep-old"], &[])] {
        for stream in ["one", "two"] {
            let place = place();
            with_old(&place);
            // After the exchange.
            kill(&place, "fsync:when=5", &[&["--force"], first, &["one.cfd", "at/target"]].concat());
            assert_old(&place, STAGING);
            let sealed = format!("{stream}.cfd");
            restore(&place, &[&["--force"], second, &[&*sealed, "at/target"]].concat()).assert_done();
            assert_is(&place, "at/target", stream);
            assert_old(&place, kept);
            // Another stream's second run has replaced a directory itself.
            let is_one_more = stream == "two" && !second.is_empty();
            if is_one_more {
                assert_is(&place, &format!("{kept}-2"), "one");
            }
            assert_eq!(left(&place, "at").len(), 1 + usize::from(is_one_more));
        }
    }
}
