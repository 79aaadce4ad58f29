//! What a drill obeys and what it runs, where somebody else could have put it, or could change it.
//! What they could do to a scratch directory is judged with that.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::geteuid;

use crate::drilling::{NOBODY, checked, drill, evidence, place, stream, write};
use crate::place::{Place, Ran};
use crate::programs::skipped;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The file of a drill in `directory`, with a check of its own beside it.
fn write_in(place: &Place, directory: &str, check: &str) {
    fs::create_dir_all(place.path(directory)).unwrap();
    let at = |name: &str| place.path(name).display().to_string();
    let (scratch, evidence) = (at("scratch"), at("evidence.json"));
    let checked =
        stream("db", &at("sealed.cfd"), &format!("mode = \"restore\"\ncheck = [\"{check}\", \"{{}}\"]"));
    let text = format!("scratch = \"{scratch}\"\nevidence = \"{evidence}\"\n{checked}");
    fs::write(
        place.path(directory).join("drill.toml"),
        text.replace("\"key.txt\"", &format!("{:?}", at("key.txt"))),
    )
    .unwrap();
    // Written by another process: nobody could run what one that was started meanwhile had open.
    let line = format!(
        "printf '#!/bin/sh\\ntouch {}\\n' > '{directory}/check.sh' && chmod 755 '{directory}/check.sh'",
        at("has-run")
    );
    place.shell(&line).assert_done();
}

/// What came of a drill, which has not run its check unless it passed.
fn drill_of(place: &Place, file: &str) -> Ran {
    let ran = place.run(["drill", file]);
    let has_run = fs::remove_file(place.path("has-run")).is_ok();
    assert_eq!(has_run, ran.code == 0, "{}", ran.stderr);
    ran
}

#[test]
fn a_file_in_a_directory_that_others_write_to_is_not_obeyed() {
    let place = place(1);
    write_in(&place, "outer/drills", "./check.sh");
    drill_of(&place, "outer/drills/drill.toml").assert_done();
    for directory in ["outer", "outer/drills"] {
        let path = place.path(directory);
        set_mode(&path, 0o777);
        let ran = drill_of(&place, "outer/drills/drill.toml");
        ran.assert_failed(2, &format!("/{directory} is others' to write to, and it names programs to run"));
        // Nobody can put another file in its place there.
        set_mode(&path, 0o1777);
        drill_of(&place, "outer/drills/drill.toml").assert_done();
        set_mode(&path, 0o755);
        if geteuid().is_root() {
            chown(&path, Some(NOBODY), None).unwrap();
            drill_of(&place, "outer/drills/drill.toml").assert_failed(2, "is others' to write to");
            chown(&path, Some(0), None).unwrap();
        }
    }
    drill_of(&place, "outer/drills/drill.toml").assert_done();
}

#[test]
fn what_is_beside_a_link_to_the_file_is_not_what_is_beside_the_file() {
    let place = place(1);
    write_in(&place, "drills", "./check.sh");
    fs::create_dir(place.path("linked")).unwrap();
    symlink(place.path("drills/drill.toml"), place.path("linked/drill.toml")).unwrap();
    place
        .shell("printf '#!/bin/sh\\nexit 5\\n' > linked/check.sh && chmod 755 linked/check.sh")
        .assert_done();
    drill_of(&place, "linked/drill.toml").assert_done();
    // Who can write where the link is decides which file it is.
    set_mode(&place.path("linked"), 0o777);
    drill_of(&place, "linked/drill.toml").assert_failed(2, "/linked is others' to write to");
}

#[test]
fn a_check_that_others_could_have_put_there_or_can_change_is_not_run_and_the_other_streams_are_tried() {
    let place = place(1);
    let check = place.path("checks/check.sh");
    write_in(&place, "checks", "./check.sh");
    write_in(&place, "drills", &check.display().to_string());
    let verified = stream("other", "../sealed.cfd", "mode = \"verify\"").replace("key.txt", "../key.txt");
    let text = fs::read_to_string(place.path("drills/drill.toml")).unwrap();
    fs::write(place.path("drills/drill.toml"), text.clone() + &verified).unwrap();
    let drill = || drill_of(&place, "drills/drill.toml");
    drill().assert_done();
    let refused = |path: &str| {
        drill().assert_failed(2, "1 of 2 streams failed");
        let found = evidence(&place);
        let message = found["streams"][0]["error"]["message"].as_str().unwrap();
        assert!(
            message.ends_with(&format!("/checks/check.sh is not run: {path} is others' to write to")),
            "{message}"
        );
        assert_eq!(
            (&found["streams"][0]["check"], &found["streams"][1]["result"]),
            (&serde_json::Value::Null, &"passed".into())
        );
    };
    let (file, directory) = (check.display().to_string(), place.path("checks"));
    for mode in [0o775, 0o757] {
        set_mode(&check, mode);
        refused(&file);
    }
    set_mode(&check, 0o755);
    set_mode(&directory, 0o775);
    refused(&directory.display().to_string());
    set_mode(&directory, 0o755);
    if geteuid().is_root() {
        chown(&check, Some(NOBODY), None).unwrap();
        refused(&file);
        chown(&check, Some(0), None).unwrap();
    } else {
        skipped("a check of another user's needs root");
    }
    // A link is followed, and where it leads is looked at as well.
    fs::create_dir(place.path("links")).unwrap();
    symlink(&check, place.path("links/check.sh")).unwrap();
    fs::write(place.path("drills/drill.toml"), text.replace("/checks/", "/links/")).unwrap();
    drill().assert_done();
    set_mode(&directory, 0o777);
    drill().assert_failed(2, "/checks is others' to write to");
    set_mode(&directory, 0o755);
    set_mode(&place.path("links"), 0o777);
    drill().assert_failed(2, "/links is others' to write to");
    set_mode(&place.path("links"), 0o755);
    drill().assert_done();
    // What is not there is not refused: it cannot be run.
    fs::remove_file(&check).unwrap();
    drill().assert_failed(16, "the check could not be run");
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let place = place(1);
    mknodat(CWD, place.path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    for name in ["fifo", "scratch", "/dev/null"] {
        place.run(["drill", name]).assert_failed(2, "is no file");
    }
}

#[test]
fn a_file_that_others_can_write_to_is_not_obeyed() {
    let place = place(1);
    write(&place, &[checked("true", "")]);
    for mode in [0o666, 0o664, 0o646, 0o620] {
        fs::set_permissions(place.path("drill.toml"), fs::Permissions::from_mode(mode)).unwrap();
        drill(&place).assert_failed(2, "others than you and root can write to it");
        assert!(!place.path("evidence.json").exists(), "{mode:o}");
    }
    fs::set_permissions(place.path("drill.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    drill(&place).assert_done();
}

/// Each link on the way says where the next name leads, whatever lies at the ends.
#[test]
fn a_way_through_a_directory_of_others_is_not_gone() {
    let place = place(1);
    write_in(&place, "real", "./check.sh");
    let check = |program: &str| {
        write_in(&place, "drills", &place.path(program).display().to_string());
        drill_of(&place, "drills/drill.toml")
    };
    for directory in ["own", "between"] {
        fs::create_dir(place.path(directory)).unwrap();
    }
    let link = |to: &str, at: &str| symlink(place.path(to), place.path(at)).unwrap();
    // A link to a link, a directory that is one, and the file of the drill itself.
    link("real/check.sh", "between/check");
    link("between/check", "own/check");
    link("real", "between/directory");
    link("between/directory", "own/directory");
    link("real/drill.toml", "between/drill.toml");
    link("between/drill.toml", "own/drill.toml");
    let drilled = || drill_of(&place, "own/drill.toml");
    let all = || [check("own/check"), check("own/directory/check.sh"), drilled()];
    all().iter().for_each(Ran::assert_done);
    let between = place.path("between");
    set_mode(&between, 0o777);
    all().iter().for_each(|ran| ran.assert_failed(2, "/between is others' to write to"));
    // With the sticky bit they can change what is theirs alone.
    set_mode(&between, 0o1777);
    all().iter().for_each(Ran::assert_done);
    if !geteuid().is_root() {
        skipped("links of another user need root");
        return;
    }
    for name in ["check", "directory", "drill.toml"] {
        lchown(between.join(name), Some(NOBODY), None).unwrap();
    }
    all().iter().for_each(|ran| ran.assert_failed(2, "/between is others' to write to"));
    set_mode(&between, 0o755);
    chown(&between, Some(NOBODY), None).unwrap();
    all().iter().for_each(|ran| ran.assert_failed(2, "/between is others' to write to"));
}
