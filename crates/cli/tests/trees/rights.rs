//! What a restored directory gives whom: where ACLs cannot be set, and where two runs of a restore have other options.
//! Whose files are is others' to test.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;

use rustix::fs::{XattrFlags, getxattr, setxattr};
use rustix::io::Errno;

use crate::injected::injected;
use crate::place::{Place, Ran, SMALL};
use crate::programs::{has, skipped};
use crate::recovering::{assert_is, kill, left, place, restore};

fn mode(place: &Place, path: &str) -> u32 {
    fs::metadata(place.path(path)).unwrap().mode() & 0o7777
}

fn seal_one(place: &Place, output: &str) {
    let command = ["seal", "-r", &place.recipient, "one", "-o", output];
    place.run(command.into_iter().chain(SMALL)).assert_done();
}

/// The value of the attribute, as linux/posix_acl_xattr.h has it: a user has `rights`, as much as the mask has; the group has none.
fn list(rights: u16) -> Vec<u8> {
    let mut list = 2_u32.to_le_bytes().to_vec();
    let nobody = u32::MAX;
    for (tag, rights, number) in [
        (0x01_u16, rights, nobody),
        (0x02, rights, 65_534),
        (0x04, 0, nobody),
        (0x10, rights, nobody),
        (0x20, 0, nobody),
    ] {
        list.extend(tag.to_le_bytes().into_iter().chain(rights.to_le_bytes()).chain(number.to_le_bytes()));
    }
    list
}

const ACL: &str = "system.posix_acl_access";

/// The group bits of a file with an ACL are the mask (POSIX.1e 23.1.2): what a user was given is not given to the group.
#[test]
fn a_file_whose_acl_cannot_be_set_is_not_opened_to_its_group() {
    if !has("strace") {
        return;
    }
    let place = place();
    match setxattr(place.path("one/a"), ACL, &list(6), XattrFlags::empty()) {
        Err(Errno::NOTSUP) => return skipped("no ACLs here"),
        set => set.unwrap(),
    }
    setxattr(place.path("one/d"), ACL, &list(7), XattrFlags::empty()).unwrap();
    assert_eq!(["one/a", "one/d"].map(|path| mode(&place, path)), [0o660, 0o770]);
    seal_one(&place, "acl.cfd");
    let restore = ["restore", "-i", "key.txt", "--force", "acl.cfd", "target"];
    let failing = |error: &str| {
        let fault = format!("lsetxattr,fsetxattr:error={error}");
        Ran::of(injected(&place, &[&fault], &restore).output().unwrap())
    };
    for error in ["EOPNOTSUPP", "EACCES", "EINVAL"] {
        let ran = failing(error);
        ran.assert_done();
        assert!(
            ran.stderr.contains("2 files: did not get all of their extended attributes"),
            "{}",
            ran.stderr
        );
        assert!(ran.stderr.contains("2 files: got fewer rights"), "{}", ran.stderr);
        assert_eq!(["target/a", "target/d"].map(|path| mode(&place, path)), [0o600, 0o700], "{error}");
    }
    fs::remove_dir_all(place.path("target")).unwrap();
    // Who makes room gets all of it.
    for error in ["ENOSPC", "EDQUOT"] {
        failing(error).assert_failed(1, "set the attributes of ");
        assert!(!place.path("target").exists());
    }
    place.run(restore).assert_done();
    assert_eq!(["target/a", "target/d"].map(|path| mode(&place, path)), [0o660, 0o770]);
    let mut found = vec![0; 100];
    let len = getxattr(place.path("target/a"), ACL, &mut *found).unwrap();
    assert_eq!(found[..len], list(6));
}

#[test]
fn a_file_that_is_replaced_and_whose_acl_cannot_be_set_is_not_opened_to_its_group() {
    if !has("strace") {
        return;
    }
    let place = place();
    let command = ["seal", "-r", &place.recipient, "one/a", "-o", "file.cfd"];
    place.run(command.into_iter().chain(SMALL)).assert_done();
    let restore = ["restore", "-i", "key.txt", "--force", "file.cfd", "target"];
    for (fault, expected) in
        [("fsetxattr:error=EOPNOTSUPP", 0o600), ("fsetxattr:error=EOPNOTSUPP:when=1000", 0o660)]
    {
        fs::write(place.path("target"), "old").unwrap();
        match setxattr(place.path("target"), ACL, &list(6), XattrFlags::empty()) {
            Err(Errno::NOTSUP) => return skipped("no ACLs here"),
            set => set.unwrap(),
        }
        Ran::of(injected(&place, &[fault], &restore).output().unwrap()).assert_done();
        assert_eq!(place.read("target"), place.read("one/a"));
        assert_eq!(mode(&place, "target"), expected, "{fault}");
        fs::remove_file(place.path("target")).unwrap();
    }
}

/// With a set-id program, sealed into `set.cfd`.
fn with_program() -> Place {
    let place = place();
    fs::set_permissions(place.path("one/a"), fs::Permissions::from_mode(0o4755)).unwrap();
    seal_one(&place, "set.cfd");
    fs::create_dir(place.path("at")).unwrap();
    place
}

const JOURNAL: &str = ".target.cofferdam-journal";

/// The directory is in place by then, and nothing but the journal is left of the run that was killed.
#[test]
fn a_directory_that_other_options_have_put_in_place_is_not_called_restored_by_these() {
    if !has("strace") {
        return;
    }
    for (first, second, modes) in
        [(&["--set-id"][..], &[][..], [0o4755, 0o755]), (&[], &["--set-id"], [0o755, 0o4755])]
    {
        let place = with_program();
        let with = |options: &[&'static str], more: &[&'static str]| {
            [options, more, &["set.cfd", "at/target"]].concat()
        };
        kill(&place, "unlinkat:when=3", &with(first, &[]));
        assert_eq!(left(&place, "at"), [JOURNAL]);
        for more in [&[][..], &["--restart"], &["--no-owner"]] {
            restore(&place, &with(second, more)).assert_failed(8, "set-id bits");
            assert_eq!(
                (mode(&place, "at/target/a"), left(&place, "at")),
                (modes[0], vec![JOURNAL.to_owned()])
            );
        }
        restore(&place, &with(first, &["--no-owner"])).assert_failed(8, "owners");
        restore(&place, &with(second, &["--force"])).assert_done();
        assert_eq!(mode(&place, "at/target/a"), modes[1]);
        assert_eq!(left(&place, "at"), [""; 0]);
        assert_is(&place, "at/target", "one");
    }
}

/// What it replaced is there still, and is not the refused run's to remove.
#[test]
fn a_run_that_is_refused_for_its_options_removes_no_tree_that_was_replaced() {
    if !has("strace") {
        return;
    }
    let place = with_program();
    fs::create_dir_all(place.path("at/target/old")).unwrap();
    kill(&place, "fsync:when=5", &["--force", "--set-id", "set.cfd", "at/target"]);
    restore(&place, &["set.cfd", "at/target"]).assert_failed(8, "set-id bits");
    assert!(place.path("at/.target.cofferdam-staging/old").is_dir());
    // By the first one's options it comes to its end.
    restore(&place, &["--force", "--set-id", "set.cfd", "at/target"]).assert_done();
    assert_eq!((mode(&place, "at/target"), mode(&place, "at/target/a")), (mode(&place, "one"), 0o4755));
    assert_eq!(left(&place, "at"), [""; 0]);
}

#[test]
fn what_a_killed_run_has_left_out_is_told_by_the_one_that_ends_it() {
    if !has("strace") {
        return;
    }
    let place = with_program();
    let arguments = ["restore", "-i", "key.txt", "set.cfd", "at/target"];
    let killed = injected(&place, &["unlinkat:signal=SIGKILL:when=3"], &arguments).output().unwrap();
    assert_eq!(killed.status.signal(), Some(9));
    assert!(!String::from_utf8(killed.stderr).unwrap().contains("set-id"));
    let ran = place.run(arguments);
    ran.assert_done();
    assert!(ran.stderr.contains("1 file: did not get its set-id bits"), "{}", ran.stderr);
    assert_eq!(left(&place, "at"), [""; 0]);
}
