//! Restores of directories that are cut off at a system call and run again, or disturbed there: strace kills and delays them.
//! How much of a restore is kept is the library's to test.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::injected::injected;
use crate::place::{Place, Ran, SMALL, wait_until};
use crate::programs::has;

/// With two directories of some files each, sealed into `one.cfd` and `two.cfd`: of the same names, with other bytes.
pub(crate) fn place() -> Place {
    let place = Place::new();
    for name in ["one", "two"] {
        fs::create_dir_all(place.path(name).join("d")).unwrap();
        for file in FILES {
            fs::write(place.path(name).join(file), format!("{file} of {name}")).unwrap();
        }
        let output = format!("{name}.cfd");
        let command = ["seal", "-r", &place.recipient, name, "-o", &output];
        place.run(command.into_iter().chain(SMALL)).assert_done();
    }
    place
}

const FILES: [&str; 6] = ["a", "b", "c", "d/e", "d/f", "g"];

pub(crate) fn restore(place: &Place, more: &[&str]) -> Ran {
    place.run([&["restore", "-i", "key.txt"], more].concat())
}

/// Runs a restore that is killed at a system call, as strace says it.
#[track_caller]
pub(crate) fn kill(place: &Place, at: &str, more: &[&str]) {
    let fault = format!("{at}:signal=SIGKILL");
    let fault = at.split_once(':').map_or(fault, |(call, when)| format!("{call}:signal=SIGKILL:{when}"));
    let ran = injected(place, &[&fault], &[&["restore", "-i", "key.txt"], more].concat()).output().unwrap();
    assert_eq!(ran.status.signal(), Some(9), "{}", String::from_utf8_lossy(&ran.stderr));
}

/// A restore that is held after a system call until it is told to go on.
pub(crate) struct Held {
    strace: Child,
    program: Pid,
}

impl Held {
    /// After the call number `when` to `call`, of those that strace(1) sees with `options`.
    pub(crate) fn after(place: &Place, options: &[&str], call: &str, when: usize, more: &[&str]) -> Held {
        let (trace, stop) = (format!("trace={call}"), format!("inject={call}:signal=SIGSTOP:when={when}"));
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "calls", "-e", &trace, "-e", &stop]).args(options);
        command.arg("--").arg(env!("CARGO_BIN_EXE_cofferdam")).arg("restore").args(more);
        command.current_dir(place.directory.path()).stdin(Stdio::null());
        let strace = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut calls = String::new();
        wait_until("the program is held", || {
            calls = fs::read_to_string(place.path("calls")).unwrap_or_default();
            calls.contains("--- stopped by SIGSTOP ---")
        });
        let program = calls.split_whitespace().next().and_then(|pid| Pid::from_raw(pid.parse().ok()?));
        Held { strace, program: program.unwrap() }
    }

    pub(crate) fn go_on(self) -> Ran {
        kill_process(self.program, Signal::CONT).unwrap();
        Ran::of(self.strace.wait_with_output().unwrap())
    }
}

#[track_caller]
pub(crate) fn assert_is(place: &Place, target: &str, tree: &str) {
    for file in FILES {
        assert_eq!(
            fs::read(place.path(target).join(file)).unwrap(),
            fs::read(place.path(tree).join(file)).unwrap()
        );
    }
}

/// The names beside or in the target by which attempts are found.
pub(crate) fn left(place: &Place, directory: &str) -> Vec<String> {
    let names = fs::read_dir(place.path(directory)).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".cofferdam-")).collect()
}

/// The first two renames find out what the file system can do; each later one moves a name.
#[test]
fn a_move_that_was_killed_is_brought_to_its_end_by_the_same_command_and_by_no_other_streams() {
    if !has("strace") {
        return;
    }
    for restart in [&[][..], &["--restart"]] {
        let place = place();
        fs::create_dir(place.path("target")).unwrap();
        kill(&place, "renameat2:when=5", &["--into", "one.cfd", "target"]);
        let moved = FILES.iter().filter(|file| place.path("target").join(file).exists()).count();
        assert!(moved > 0 && moved < FILES.len(), "{moved} files were moved");
        restore(&place, &["--into", "--restart", "two.cfd", "target"]).assert_failed(6, "--force");
        restore(&place, &["--into", "two.cfd", "target"]).assert_failed(6, "--force");
        restore(&place, &[&["--into", "one.cfd", "target"], restart].concat()).assert_done();
        assert_is(&place, "target", "one");
        assert_eq!(left(&place, "target"), [""; 0]);
        // Now they are files like any others.
        restore(&place, &["--into", "one.cfd", "target"]).assert_failed(6, "--force");
    }
}

#[test]
fn a_move_from_a_pipe_that_was_killed_is_brought_to_its_end_by_the_same_command() {
    if !has("strace") {
        return;
    }
    let place = place();
    fs::create_dir(place.path("target")).unwrap();
    kill(&place, "renameat2:when=5", &["--into", "one.cfd", "target"]);
    let from_pipe = |sealed: &str| {
        let mut command = place.command(["restore", "-i", "key.txt", "--into", "-", "target"]);
        command.stdin(fs::File::open(place.path(sealed)).map(pipe_of).unwrap());
        Ran::of(command.output().unwrap())
    };
    from_pipe("two.cfd").assert_failed(8, "another stream");
    from_pipe("one.cfd").assert_done();
    assert_is(&place, "target", "one");
    assert_eq!(left(&place, "target"), [""; 0]);
}

fn pipe_of(mut file: fs::File) -> Stdio {
    let (reading, mut writing) = std::io::pipe().unwrap();
    std::thread::spawn(move || std::io::copy(&mut file, &mut writing));
    reading.into()
}

/// Between the look at the private directory's name and the making of that directory lies the look at all of the target.
#[test]
fn what_comes_to_the_private_directorys_name_while_a_restore_begins_is_not_removed() {
    if !has("strace") {
        return;
    }
    let place = place();
    fs::create_dir(place.path("at")).unwrap();
    fs::create_dir(place.path("at/data")).unwrap();
    fs::write(place.path("at/data/precious"), "precious").unwrap();
    // It has looked by then, and has made the journal: that it writes to it is the last that it does before it makes the directory.
    let journal = fs::canonicalize(place.path("at")).unwrap().join(".target.cofferdam-journal");
    let of_journal = ["-P", journal.to_str().unwrap()];
    let held = Held::after(&place, &of_journal, "pwrite64", 1, &["-i", "key.txt", "one.cfd", "at/target"]);
    assert!(!place.path("at/.target.cofferdam-staging").exists());
    fs::rename(place.path("at/data"), place.path("at/.target.cofferdam-staging")).unwrap();
    held.go_on().assert_failed(1, ".target.cofferdam-staging");
    assert_eq!(place.read("at/.target.cofferdam-staging/precious"), b"precious");
}

/// A journal that says no more than that an attempt began vouches for nothing: what is there may have come since.
#[test]
fn what_no_journal_names_is_not_removed_and_not_discarded() {
    if !has("strace") {
        return;
    }
    let staging = "at/.target.cofferdam-staging";
    for refused in [
        &["restore", "-i", "key.txt", "one.cfd"][..],
        &["restore", "-i", "key.txt", "--restart", "one.cfd"],
        &["discard"],
    ] {
        let place = place();
        fs::create_dir_all(place.path("at/data")).unwrap();
        fs::write(place.path("at/data/precious"), "precious").unwrap();
        // The journal is there by then, and the private directory is not.
        kill(&place, "mkdirat:when=1", &["one.cfd", "at/target"]);
        assert_eq!(left(&place, "at"), [".target.cofferdam-journal"]);
        fs::rename(place.path("at/data"), place.path(staging)).unwrap();
        assert!(place.run(["status", "at/target"]).text().contains("the next run refuses"));
        place.run([refused, &["at/target"]].concat()).assert_failed(1, ".target.cofferdam-staging");
        assert_eq!(place.read("at/.target.cofferdam-staging/precious"), b"precious");
        // Without anything in it it is nobody's.
        fs::remove_file(place.path(staging).join("precious")).unwrap();
        restore(&place, &["one.cfd", "at/target"]).assert_done();
        assert_is(&place, "at/target", "one");
        assert_eq!(left(&place, "at"), [""; 0]);
    }
}

/// As long as some of it is there, the journal vouches for what is to be removed.
#[test]
fn what_a_kill_leaves_of_a_removal_goes_with_the_next_run() {
    if !has("strace") {
        return;
    }
    let target = "at/target";
    for removing in [&["discard", target][..], &["restore", "-i", "key.txt", "--restart", "one.cfd", target]]
    {
        for next in [&["discard", target][..], &["restore", "-i", "key.txt", "one.cfd", target]] {
            let place = place();
            fs::create_dir(place.path("at")).unwrap();
            // All of it is there by then.
            kill(&place, "renameat2:when=3", &["one.cfd", target]);
            let staging = place.path("at/.target.cofferdam-staging");
            assert_eq!(fs::read_dir(&staging).unwrap().count(), 5);
            let killed = injected(&place, &["unlinkat:signal=SIGKILL:when=3"], removing).output().unwrap();
            assert_eq!(killed.status.signal(), Some(9), "{}", String::from_utf8_lossy(&killed.stderr));
            let count = fs::read_dir(&staging).unwrap().count();
            assert!((1..5).contains(&count), "{count} are left");
            let status = place.run(["status", target]);
            assert!(status.text().contains("of no use; the next run replaces it"), "{}", status.text());
            place.run(next).assert_done();
            assert_eq!(left(&place, "at"), [""; 0]);
            match next[0] {
                "discard" => assert!(!place.path(target).exists()),
                _ => assert_is(&place, target, "one"),
            }
        }
    }
}

/// A power cut keeps what was synced: that must be the place before it is anything that is in it.
#[test]
fn which_directory_is_filled_is_durable_before_anything_is_in_it() {
    if !has("strace") {
        return;
    }
    let place = place();
    fs::create_dir(place.path("at")).unwrap();
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-qq", "-o", "calls", "-e", "trace=pwrite64,fsync,mkdirat,openat2", "--"]);
    command.arg(env!("CARGO_BIN_EXE_cofferdam")).args(["restore", "-i", "key.txt", "one.cfd", "at/target"]);
    assert!(command.current_dir(place.directory.path()).status().unwrap().success());
    let calls = String::from_utf8(place.read("calls")).unwrap();
    let calls: Vec<&str> = calls.lines().collect();
    let first = |what: &[&str]| {
        let found = calls.iter().position(|call| what.iter().all(|part| call.contains(part)));
        found.unwrap_or_else(|| panic!("no {what:?} in {calls:#?}"))
    };
    let journal = ".target.cofferdam-journal>";
    let place_noted = first(&["pwrite64(", journal, "CFDTPLC"]);
    let made = first(&["(", "at/.target.cofferdam-staging>, \""]);
    let synced = calls.iter().skip(place_noted).take(made.saturating_sub(place_noted));
    let synced: Vec<_> = synced.filter(|call| call.contains("fsync(")).collect();
    assert!(synced.iter().any(|call| call.contains(journal)), "{calls:#?}");
    assert!(synced.iter().any(|call| call.contains("/at>")), "{calls:#?}");
}

/// After the exchange come some syncs, and then what was replaced is removed. The program is held at the first of them.
#[test]
fn what_comes_to_the_old_trees_name_while_a_restore_ends_is_not_removed() {
    if !has("strace") {
        return;
    }
    let place = place();
    fs::create_dir_all(place.path("at/target/old")).unwrap();
    fs::create_dir_all(place.path("at/data/precious")).unwrap();
    // Two of the place, two of the intent: this one is after the exchange.
    let held = Held::after(&place, &[], "fsync", 5, &["-i", "key.txt", "--force", "one.cfd", "at/target"]);
    assert!(place.path("at/target/a").exists() && place.path("at/.target.cofferdam-staging/old").is_dir());
    fs::rename(place.path("at/.target.cofferdam-staging"), place.path("at/moved")).unwrap();
    fs::rename(place.path("at/data"), place.path("at/.target.cofferdam-staging")).unwrap();
    held.go_on().assert_done();
    assert!(place.path("at/.target.cofferdam-staging/precious").is_dir());
    assert!(place.path("at/moved/old").is_dir());
    assert_is(&place, "at/target", "one");
}

/// What was replaced is removed by the run that finds the new tree in its place, or by one that replaces that: never by one that is refused.
#[test]
fn a_run_that_is_refused_removes_no_tree_that_was_replaced() {
    if !has("strace") {
        return;
    }
    let place = place();
    fs::create_dir(place.path("at")).unwrap();
    let old = ["1", "2", "3"].map(|name| format!("at/target/{name}"));
    fs::create_dir(place.path("at/target")).unwrap();
    old.iter().for_each(|old| fs::write(place.path(old), "old").unwrap());
    // The first two are of directories that find out what the file system can do.
    kill(&place, "unlinkat:when=3", &["--force", "one.cfd", "at/target"]);
    assert_is(&place, "at/target", "one");
    for refused in [
        &["two.cfd", "at/target"][..],
        &["--restart", "two.cfd", "at/target"],
        &["--path", "a", "--restart", "two.cfd", "at/target"],
    ] {
        restore(&place, refused).assert_failed(6, "--force");
        let staging = place.path("at/.target.cofferdam-staging");
        assert_eq!(fs::read_dir(staging).unwrap().count(), old.len(), "{refused:?}");
    }
    restore(&place, &["--force", "two.cfd", "at/target"]).assert_done();
    assert_is(&place, "at/target", "two");
    assert_eq!(left(&place, "at"), [""; 0]);
}

/// Whoever is at work in a directory that is there is not shut out of it while a tree is moved into that, nor after a kill.
#[test]
fn directories_that_are_there_keep_their_modes_while_a_tree_is_moved_into_them() {
    if !has("strace") {
        return;
    }
    for rename in 3..3 + FILES.len() {
        let place = place();
        fs::create_dir_all(place.path("target/d")).unwrap();
        kill(&place, &format!("renameat2:when={rename}"), &["--into", "one.cfd", "target"]);
        assert_eq!(fs::metadata(place.path("target/d")).unwrap().permissions().mode() & 0o7777, 0o755);
        restore(&place, &["--into", "one.cfd", "target"]).assert_done();
        assert_is(&place, "target", "one");
    }
}

/// After the private directory the journal goes, last of all.
#[test]
fn a_journal_that_is_all_that_is_left_is_seen_discarded_or_brought_to_its_end() {
    if !has("strace") {
        return;
    }
    let of_target = [
        ("target", &["--into"][..], "unlinkat:when=4", "target"),
        ("at/target", &[], "unlinkat:when=3", "at"),
    ];
    for (target, options, at, directory) in of_target {
        for is_discarded in [false, true] {
            let place = place();
            fs::create_dir(place.path(directory)).unwrap();
            let arguments = [options, &["one.cfd", target]].concat();
            kill(&place, at, &arguments);
            let journals = left(&place, directory);
            assert!(matches!(&*journals, [one] if one.ends_with("journal")), "{journals:?}");
            let status = place.run(["status", target]);
            assert!(status.text().contains(&journals[0]), "{}", status.text());
            match is_discarded {
                true => {
                    let discarded = place.run(["discard", target]);
                    discarded.assert_done();
                    assert!(discarded.text().contains(&journals[0]), "{}", discarded.text());
                }
                false => restore(&place, &arguments).assert_done(),
            }
            assert_eq!(left(&place, directory), [""; 0]);
            assert_is(&place, target, "one");
        }
    }
}

/// Nobody can say that nothing is kept where nobody may look.
#[test]
fn what_is_kept_in_a_directory_that_cannot_be_read_is_not_called_nothing() {
    if !rustix::process::geteuid().is_root() || !has("setpriv") {
        return;
    }
    let place = Place::new();
    fs::create_dir(place.path("closed")).unwrap();
    fs::set_permissions(place.path("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(place.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for command in ["discard", "status"] {
        let mut discard = as_user(env!("CARGO_BIN_EXE_cofferdam"));
        discard.args([command, "closed"]).current_dir(place.directory.path());
        let ran = discard.env("XDG_STATE_HOME", place.path("none")).output().unwrap();
        Ran::of(ran).assert_failed(1, "closed");
    }
}

/// The new tree is in its place by then, and the old one whole: nothing has failed.
#[test]
fn an_old_tree_that_gets_no_name_stays_where_it_is_and_is_told() {
    if !has("strace") {
        return;
    }
    // What cannot be removed is to get a name, too.
    for (more, fault) in [(&["--keep-old"][..], None), (&[], Some("unlinkat:error=EIO:when=3"))] {
        let place = place();
        fs::create_dir_all(place.path("at/target/old")).unwrap();
        let arguments = [&["restore", "-i", "key.txt", "--force"], more, &["one.cfd", "at/target"]].concat();
        // The third is the exchange.
        let faults: Vec<&str> = fault.into_iter().chain(["renameat2:error=ENOSPC:when=4+"]).collect();
        let ran = Ran::of(injected(&place, &faults, &arguments).output().unwrap());
        ran.assert_done();
        assert!(ran.stderr.contains("is now at/.target.cofferdam-staging"), "{}", ran.stderr);
        assert_is(&place, "at/target", "one");
        assert!(place.path("at/.target.cofferdam-staging/old").is_dir());
        // Nothing vouches for it any more, so nobody removes it.
        let again = ["--force", "two.cfd", "at/target"];
        restore(&place, &again).assert_failed(1, ".target.cofferdam-staging");
        assert!(place.path("at/.target.cofferdam-staging/old").is_dir());
        fs::rename(place.path("at/.target.cofferdam-staging"), place.path("moved")).unwrap();
        restore(&place, &again).assert_done();
        assert_is(&place, "at/target", "two");
        assert_eq!(left(&place, "at"), [""; 0]);
    }
}

/// What is said is how many files lack something: each of them is told once.
#[test]
fn attributes_that_the_system_denies_are_counted_by_files_and_are_no_error() {
    if !has("strace") {
        return;
    }
    let place = place();
    for (file, xattr) in [("a", "user.1"), ("a", "user.2"), ("a", "user.3"), ("b", "user.1")] {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(place.path("one").join(file), xattr, b"x", flags).unwrap();
    }
    let command = ["seal", "-r", &place.recipient, "one", "-o", "with.cfd"];
    place.run(command.into_iter().chain(SMALL)).assert_done();
    for error in ["EACCES", "ENODATA", "EPERM"] {
        let faults = [format!("lsetxattr,fsetxattr:error={error}")];
        let arguments = ["restore", "-i", "key.txt", "--force", "with.cfd", "target"];
        let ran =
            Ran::of(injected(&place, &faults.each_ref().map(|fault| &**fault), &arguments).output().unwrap());
        ran.assert_done();
        assert!(
            ran.stderr.contains("2 files: did not get all of their extended attributes"),
            "{}",
            ran.stderr
        );
        assert_is(&place, "target", "one");
    }
}

/// A mount point's own directory is often all that a user may write.
#[test]
fn some_paths_go_into_a_directory_whose_own_directory_may_not_be_written() {
    if !has("setpriv") || !rustix::process::geteuid().is_root() {
        return;
    }
    let place = place();
    fs::create_dir_all(place.path("at/volume")).unwrap();
    for path in ["", "at"] {
        fs::set_permissions(place.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
    for path in ["at/volume", "key.txt", "one.cfd"] {
        std::os::unix::fs::chown(place.path(path), Some(65_534), Some(65_534)).unwrap();
    }
    let restore = |target: &str| {
        let mut command = as_user(env!("CARGO_BIN_EXE_cofferdam"));
        command.args(["restore", "-i", "key.txt", "--into", "--path", "a", "one.cfd", target]);
        Ran::of(command.current_dir(place.directory.path()).output().unwrap())
    };
    restore("at/volume").assert_done();
    assert_eq!(place.read("at/volume/a"), place.read("one/a"));
    assert_eq!(fs::read_dir(place.path("at/volume")).unwrap().count(), 1);
    let refused = restore("at");
    refused.assert_failed(1, "at");
    assert!(!refused.stderr.contains("the tree cannot be used"), "{}", refused.stderr);
}

/// Another run of it need not choose the same paths: it is not known by its name.
#[test]
fn a_move_of_some_paths_that_stopped_is_ended_by_force_as_it_says() {
    if !has("strace") {
        return;
    }
    let place = place();
    fs::create_dir(place.path("target")).unwrap();
    let arguments = ["restore", "-i", "key.txt", "--into", "--path", "[abc]", "one.cfd", "target"];
    let stopped = injected(&place, &["renameat2:error=EIO:when=4"], &arguments).output().unwrap();
    let stopped = Ran::of(stopped);
    stopped.assert_failed(10, "--force");
    assert!(!stopped.stderr.contains("same command"), "{}", stopped.stderr);
    let again = Ran::of(place.command(arguments).output().unwrap());
    assert_eq!(again.code, 6, "{}", again.stderr);
    restore(&place, &["--force", "--into", "--path", "[abc]", "one.cfd", "target"]).assert_done();
    for file in ["a", "b", "c"] {
        assert_eq!(place.read(format!("target/{file}").as_str()), place.read(format!("one/{file}").as_str()));
    }
    assert_eq!(left(&place, "target"), [""; 0]);
}

/// As a user who is not root.
fn as_user(program: &str) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", program]);
    command
}

/// Files and directories have their sealed modes by then, which keep their owner out.
#[test]
fn what_its_owner_may_not_read_is_compared_by_the_run_that_tidies_up_and_keeps_its_mode() {
    if !has("strace") || !has("setpriv") {
        return;
    }
    // The second: as a run leaves it that is killed while it compares.
    for is_open in [false, true] {
        let place = place();
        let modes = [("one/d", 0o300), ("one/c", 0o000), ("one/g", 0o200)];
        let set = |path: &str, mode| {
            fs::set_permissions(place.path(path), fs::Permissions::from_mode(mode)).unwrap()
        };
        let mode = |path: String| fs::metadata(place.path(&path)).unwrap().mode() & 0o7777;
        modes.iter().for_each(|(path, mode)| set(path, *mode));
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let command = ["seal", "-r", &place.recipient, "one", "-o", "closed.cfd"];
        place.run(command.into_iter().chain(SMALL)).assert_done();
        fs::create_dir(place.path("at")).unwrap();
        for path in ["", "at", "key.txt", "closed.cfd"] {
            std::os::unix::fs::chown(place.path(path), Some(65_534), Some(65_534)).unwrap();
        }
        let restore = ["restore", "-i", "key.txt", "closed.cfd", "at/target"];
        let mut killed = as_user("strace");
        killed.args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=unlinkat:signal=SIGKILL:when=3"]);
        killed.arg(env!("CARGO_BIN_EXE_cofferdam")).args(restore).current_dir(place.directory.path());
        let killed = killed.output().unwrap();
        assert!(!killed.status.success());
        assert_eq!(
            left(&place, "at"),
            [".target.cofferdam-journal"],
            "{}",
            String::from_utf8_lossy(&killed.stderr)
        );
        if is_open {
            set("at/target/d", 0o700);
        }
        let mut again = as_user(env!("CARGO_BIN_EXE_cofferdam"));
        let again = again.args(restore).current_dir(place.directory.path()).output().unwrap();
        Ran::of(again).assert_done();
        assert_eq!(left(&place, "at"), [""; 0]);
        assert_is(&place, "at/target", "one");
        for (path, expected) in modes {
            assert_eq!(mode(path.replace("one", "at/target")), expected, "{path}");
        }
    }
}
