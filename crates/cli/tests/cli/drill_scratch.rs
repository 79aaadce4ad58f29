//! Where a drill restores to: what it makes there, what it leaves, and what it does not touch.
//! It judges what lies there afterwards, and what is said of it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Signal, geteuid, kill_process};

use crate::device_place::Mount;
use crate::drilling::{
    NOBODY, checked, drill, drill_as_user, evidence, place, scratch_directory, scratch_names, stream,
    wait_for_check, write,
};
use crate::place::plaintext;
use crate::programs::skipped;

#[test]
fn no_room_is_said_before_anything_is_restored_and_room_that_runs_out_leaves_nothing() {
    let place = place(1);
    fs::write(place.path("long"), plaintext(3 << 20)).unwrap();
    let zeros = fs::File::create(place.path("zeros")).unwrap();
    zeros.set_len(64 << 20).unwrap();
    place.run(["seal", "-r", &place.recipient, "-o", "long.cfd", "long"]).assert_done();
    place.run(["seal", "-r", &place.recipient, "-o", "zeros.cfd", "zeros"]).assert_done();
    let Some(mount) = Mount::tmpfs(&place, "small", "2m") else { return };
    let into_small = |sealed: &str, rest: &str| {
        write(&place, &[stream("db", sealed, &format!("mode = \"restore\"\n{rest}"))]);
        let file = String::from_utf8(place.read("drill.toml")).unwrap();
        fs::write(place.path("drill.toml"), file.replace("\"scratch\"", "\"small\"")).unwrap();
        let ran = drill(&place);
        assert_eq!(fs::read_dir(place.path("small")).unwrap().count(), 0);
        ran
    };
    into_small("long.cfd", "").assert_failed(1, "/small: the stream has 3.00 MiB, and 2.00 MiB are free");
    let ran = into_small("long.cfd", "ignore_room = true");
    ran.assert_failed(1, "No space left");
    assert!(
        ran.stderr.contains("Name a larger `scratch`. Nothing of what was restored is left.\n"),
        "{}",
        ran.stderr
    );
    into_small("zeros.cfd", "").assert_failed(1, "no room in");
    into_small("zeros.cfd", "ignore_room = true").assert_done();
    drop(mount);
}

#[test]
fn a_scratch_behind_a_link_is_used_and_one_that_others_write_to_is_not() {
    let place = place(1);
    fs::rename(place.path("scratch"), place.path("elsewhere")).unwrap();
    symlink("elsewhere", place.path("scratch")).unwrap();
    write(&place, &[checked("pwd", "")]);
    drill(&place).assert_done();
    let said = evidence(&place)["streams"][0].take();
    assert!(said["check"]["output_tail"].as_str().unwrap().contains("/elsewhere/cofferdam-drill-"), "{said}");
    assert!(scratch_names(&place).is_empty());
    fs::set_permissions(place.path("elsewhere"), fs::Permissions::from_mode(0o777)).unwrap();
    drill(&place).assert_failed(2, "is others' to write to");
    fs::remove_file(place.path("scratch")).unwrap();
    drill(&place).assert_failed(1, "cannot be used");
}

#[test]
fn a_pipe_is_not_drilled_and_what_lies_in_the_scratch_directory_is_left_alone() {
    let place = place(1);
    let live = ["scratch/restored", "scratch/.cofferdam-drill", "scratch/cofferdam-drill-0123456789abcdef"];
    live.iter().for_each(|name| fs::write(place.path(name), "live").unwrap());
    mknodat(CWD, place.path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    write(&place, &[stream("a pipe", "fifo", "mode = \"restore\""), checked("echo new >../note", "")]);
    drill(&place).assert_failed(2, "/fifo is a pipe: a drill is repeated");
    assert_eq!(evidence(&place)["streams"][1]["result"], "passed");
    live.iter().for_each(|name| assert_eq!(place.read(name), b"live", "{name}"));
    assert_eq!(
        scratch_names(&place).len(),
        live.len() + 1,
        "what a check writes elsewhere is the operator's"
    );
}

#[test]
fn what_is_kept_for_the_operator_is_not_removed_by_the_next_drill() {
    let place = place(1);
    write(&place, &[checked("echo mine >note; exit 1", "")]);
    let ran = place.run(["drill", "--keep", "drill.toml"]);
    ran.assert_failed(16, "What was restored is kept in ");
    let kept = scratch_directory(&place).unwrap();
    assert!(fs::read(kept.join("restored")).unwrap() == place.read("plain"));
    drill(&place).assert_failed(16, "the check ended with 1");
    assert_eq!(scratch_directory(&place), Some(kept.clone()));
    assert_eq!(fs::read(kept.join("note")).unwrap(), b"mine\n");
    write(&place, &[checked("true", "")]);
    place.run(["drill", "--keep", "drill.toml"]).assert_done();
    assert_eq!(scratch_names(&place).len(), 1);
}

#[test]
fn what_a_check_has_mounted_is_not_emptied() {
    let place = place(1);
    let other = place.path("live");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("precious"), "x").unwrap();
    let line = format!("mkdir m && mount --bind '{}' m", other.display());
    write(&place, &[checked(&line, "")]);
    let ran = drill(&place);
    if ran.code == 16 {
        skipped("this needs to mount a file system");
        return;
    }
    assert!(other.join("precious").exists());
    ran.assert_failed(1, "something is mounted in it");
    let scratch = scratch_directory(&place).unwrap();
    let unmounted = Command::new("umount").arg(scratch.join("m")).status().unwrap();
    assert!(unmounted.success());
    drill(&place);
    assert!(!scratch.exists(), "the next drill removes it");
    let scratch = scratch_directory(&place).unwrap();
    Command::new("umount").arg(scratch.join("m")).status().unwrap();
}

#[test]
fn a_check_that_takes_its_own_directory_from_its_user_does_not_keep_it_from_being_removed() {
    let place = place(1);
    for line in ["chmod 500 .", "mkdir -p a/b && touch a/b/c && chmod 0 a/b a .", "chmod 0 ."] {
        drill_as_user(&place, line, &[]).assert_done();
        let left = fs::read_dir(place.path("user/scratch")).unwrap().count();
        assert_eq!(left, 0, "{line}");
    }
    // What is kept is no drill's to remove any more.
    drill_as_user(&place, "chmod 500 . && false", &["--keep"]).assert_failed(16, "is kept in");
    drill_as_user(&place, "true", &[]).assert_done();
    assert_eq!(fs::read_dir(place.path("user/scratch")).unwrap().count(), 1);
}

#[test]
fn what_a_check_has_put_in_the_place_of_its_directory_stays() {
    let place = place(1);
    let precious = place.path("precious");
    let line = format!("mv \"$TMPDIR\" ../moved && ln -s '{}' \"$TMPDIR\"", precious.display());
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "x").unwrap();
    write(&place, &[checked(&line, "")]);
    drill(&place).assert_failed(1, "it has been moved, and something else is in its place");
    assert!(precious.join("file").exists());
    assert_eq!(evidence(&place)["streams"][0]["result"], "failed");
}

#[test]
fn what_a_killed_drill_left_is_removed_by_the_next_one_and_one_at_work_is_left_alone() {
    let place = place(1);
    write(&place, &[checked("sleep 1000 & echo $! >pid; echo ready >ready; wait", "")]);
    let mut drilling = place.spawn(["drill", "drill.toml"]);
    let pid = wait_for_check(&place);
    let left = scratch_directory(&place).unwrap();
    fs::write(place.path("quick.toml"), {
        let text = "scratch = \"scratch\"\nevidence = \"quick.json\"\n".to_owned();
        text + &checked("true", "")
    })
    .unwrap();
    let quick = place.run(["drill", "quick.toml"]);
    quick.assert_done();
    assert!(left.join("restored").exists(), "the other drill is at work");
    drilling.kill().unwrap();
    drilling.wait().unwrap();
    // What it has started goes on: nobody could end it.
    kill_process(pid, Signal::KILL).unwrap();
    let quick = place.run(["drill", "quick.toml"]);
    quick.assert_done();
    assert!(quick.stderr.contains("was removed: a drill that did not end had left it"), "{}", quick.stderr);
    assert!(scratch_names(&place).is_empty());
}

#[test]
fn what_may_have_been_left_by_a_drill_and_is_not_removed_is_said() {
    let place = place(1);
    let left = place.path("scratch/cofferdam-drill-0123456789abcdef");
    fs::create_dir(&left).unwrap();
    for name in [".cofferdam-drill", "restored"] {
        fs::write(left.join(name), "plaintext").unwrap();
    }
    write(&place, &[stream("db", "sealed.cfd", "mode = \"verify\"")]);
    fs::set_permissions(&left, fs::Permissions::from_mode(0o775)).unwrap();
    let ran = drill(&place);
    ran.assert_done();
    let said =
        "0123456789abcdef is left alone, and may hold plaintext: others can write to it. Look what is in it";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    assert!(left.join("restored").exists());
}

#[test]
fn what_other_users_have_made_in_a_shared_scratch_directory_is_counted_on_one_line() {
    if !geteuid().is_root() {
        skipped("this needs files of another user");
        return;
    }
    let place = place(1);
    fs::set_permissions(place.path("scratch"), fs::Permissions::from_mode(0o1777)).unwrap();
    write(&place, &[stream("db", "sealed.cfd", "mode = \"verify\"")]);
    for (number, said) in [(1, "1 directory of other users in "), (2, "2 directories of other users in ")] {
        let theirs = place.path(&format!("scratch/cofferdam-drill-000000000000000{number}"));
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join(".cofferdam-drill"), "").unwrap();
        chown(&theirs, Some(NOBODY), None).unwrap();
        let ran = drill(&place);
        ran.assert_done();
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert!(!ran.stderr.contains("remove it"), "{}", ran.stderr);
        assert_eq!(scratch_names(&place).len(), number);
    }
}

#[test]
fn of_a_restore_that_failed_nothing_is_kept() {
    let place = place(8);
    place.damage_segment(5);
    write(&place, &[checked("true", "")]);
    let ran = place.run(["drill", "--keep", "drill.toml"]);
    ran.assert_failed(3, "segment 5");
    assert!(ran.stderr.contains("Nothing of what was restored is left.\n"), "{}", ran.stderr);
    assert!(scratch_names(&place).is_empty());
}

#[test]
fn what_a_check_has_moved_is_named_where_it_is_now() {
    let place = place(1);
    write(&place, &[checked("mv \"$TMPDIR\" ../moved", "")]);
    let ran = drill(&place);
    ran.assert_failed(1, "it has been moved");
    let moved = fs::canonicalize(place.path("scratch/moved")).unwrap();
    assert!(
        ran.stderr.contains(&format!("{} is left, which holds plaintext", moved.display())),
        "{}",
        ran.stderr
    );
    assert!(fs::read(moved.join("restored")).unwrap() == place.read("plain"));
}

/// Each directory within another would hold descriptors, and room on the stack.
#[test]
fn a_tree_that_is_deeper_than_there_are_descriptors_is_removed() {
    let place = place(1);
    let line = "for i in $(seq 500); do mkdir d && echo x >f && cd d || exit 1; done; mkdir -p ../e/e";
    write(&place, &[checked(line, "")]);
    for _ in 0..2 {
        place.shell("ulimit -n 128; cofferdam drill drill.toml").assert_done();
        assert!(scratch_names(&place).is_empty(), "{:?}", scratch_names(&place));
    }
}
