//! Mode and time of a file through a stream: kept when it is sealed, given to a target that is new.
//! What they are is the file system's word, before and after.

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::{Duration, SystemTime};

use crate::place::{Place, SMALL};

/// Mode, seconds and nanoseconds.
fn seen(place: &Place, name: &str) -> (u32, i64, i64) {
    let found = fs::metadata(place.path(name)).unwrap();
    (found.mode() & 0o7777, found.mtime(), found.mtime_nsec())
}

fn set(place: &Place, name: &str, mode: u32, modified: SystemTime) {
    let file = File::options().write(true).open(place.path(name)).unwrap();
    file.set_times(FileTimes::new().set_modified(modified)).unwrap();
    file.set_permissions(Permissions::from_mode(mode)).unwrap();
}

fn restore(place: &Place, target: &str, more: &[&str]) {
    let command = ["restore", "-i", "key.txt", "plain.cfd", target];
    place.run(command.iter().chain(more)).assert_done();
}

#[test]
fn a_private_file_comes_back_private_and_with_its_time() {
    let place = Place::new();
    let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_millis(1500);
    let some_day = SystemTime::UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789);
    for (mode, modified) in
        [(0o600, some_day), (0o640, before_1970), (0o755, SystemTime::UNIX_EPOCH), (0o444, some_day)]
    {
        fs::write(place.path("plain"), b"a store of keys").unwrap();
        set(&place, "plain", mode, modified);
        let due = seen(&place, "plain");
        for resume in [&[][..], &["--resume"]] {
            let command = ["seal", "--force", "-r", &place.recipient, "plain"];
            place.run(command.iter().chain(resume)).assert_done();
            restore(&place, "restored", &[]);
            assert_eq!(seen(&place, "restored"), due, "{mode:o}");
            fs::remove_file(place.path("restored")).unwrap();
        }
        fs::remove_file(place.path("plain")).unwrap();
    }
}

#[test]
fn rights_to_run_as_someone_and_the_sticky_bit_are_never_given() {
    let place = Place::new();
    fs::write(place.path("plain"), b"a program").unwrap();
    set(&place, "plain", 0o7755, SystemTime::UNIX_EPOCH);
    place.run(["seal", "-r", &place.recipient, "plain"]).assert_done();
    let inspected = place.run(["verify", "--json", "-i", "key.txt", "plain.cfd"]);
    assert!(inspected.text().contains("mode=7755 mtime=0.000000000"), "{}", inspected.text());
    restore(&place, "restored", &[]);
    assert_eq!(seen(&place, "restored").0, 0o755);
}

#[test]
fn a_target_that_is_replaced_keeps_its_mode_and_no_preserve_makes_a_new_file_like_any_other() {
    let place = Place::new();
    fs::write(place.path("plain"), b"a store of keys").unwrap();
    set(&place, "plain", 0o600, SystemTime::UNIX_EPOCH);
    place.run(["seal", "-r", &place.recipient, "plain"]).assert_done();
    fs::write(place.path("old"), b"old").unwrap();
    set(&place, "old", 0o644, SystemTime::UNIX_EPOCH);
    restore(&place, "old", &["--force"]);
    let (mode, seconds, _) = seen(&place, "old");
    assert!(mode == 0o644 && seconds > 0, "{mode:o}, {seconds}");
    assert_eq!(place.read("old"), b"a store of keys");

    fs::write(place.path("like any other"), b"").unwrap();
    restore(&place, "new", &["--no-preserve"]);
    let (mode, seconds, _) = seen(&place, "new");
    assert!(mode == seen(&place, "like any other").0 && seconds > 0, "{mode:o}, {seconds}");
}

#[test]
fn what_came_through_a_pipe_has_none_and_keys_of_this_program_are_not_the_callers() {
    let place = Place::new();
    let command = ["seal", "-r", &place.recipient, "-o", "plain.cfd", "-"];
    place.run_fed(command, b"from a pipe".to_vec()).assert_done();
    let verified = place.run(["verify", "--json", "-i", "key.txt", "plain.cfd"]);
    assert!(verified.text().contains("\"metadata\":[]"), "{}", verified.text());
    fs::write(place.path("plain"), b"x").unwrap();
    for key in ["cofferdam.file=mode=0777 mtime=0.000000000", "cofferdam.=", "cofferdam.other=1"] {
        let command = ["seal", "-r", &place.recipient, "--metadata", key, "-o", "other.cfd", "plain"];
        place.run(command.iter().chain(&SMALL)).assert_failed(2, "cofferdam.");
    }
    assert!(!place.path("other.cfd").exists());
}

#[test]
fn what_a_restore_keeps_is_shown_and_discarded_without_a_key() {
    let place = Place::with_sealed(40);
    place.damage_segment(30);
    place
        .run(["restore", "--durability", "each", "-i", "key.txt", "sealed.cfd", "restored"])
        .assert_failed(3, "");
    let status = place.run(["status", "restored"]);
    status.assert_done();
    assert!(status.text().contains("a restore has not ended"), "{}", status.text());
    assert!(status.text().contains("made durable"), "{}", status.text());
    let kept = place.names();
    // A key takes none of it away.
    place.run(["keygen", "-o", "restored"]).assert_failed(8, "is kept beside it");
    assert_eq!(place.names(), kept);
    place.run(["discard", "restored"]).assert_done();
    assert_eq!(place.names().len(), kept.len() - 2);
    assert!(place.run(["status", "restored"]).text().contains("nothing is kept"));
}
