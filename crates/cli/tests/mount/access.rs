//! Who gets to a mount, and what modes, owners and ACLs allow.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use rustix::fs::{XattrFlags, setxattr};
use rustix::process::Signal;
use servers::installed::is_skipped_without;

use crate::place::{Place, is_root, skipped};

const STRANGER: u32 = 65_534;

/// Of version 2, as the kernel has it: a file that its owner can read and write, `user` can read, and nobody else.
fn acl_for(user: u32) -> Vec<u8> {
    let entry = |tag: u16, permissions: u16, id: u32| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let none = u32::MAX;
    let entries =
        [entry(1, 6, none), entry(2, 4, user), entry(4, 0, none), entry(16, 4, none), entry(32, 0, none)];
    [&2_u32.to_le_bytes()[..], &entries.concat()].concat()
}

fn make_files(tree: &Path) {
    for (name, mode) in [("for-all", 0o644), ("for-owner", 0o600), ("with-acl", 0o640), ("set-id", 0o4755)] {
        fs::write(tree.join(name), name).unwrap();
        fs::set_permissions(tree.join(name), Permissions::from_mode(mode)).unwrap();
    }
    chown(tree.join("for-owner"), Some(STRANGER), Some(7)).unwrap();
    setxattr(tree.join("with-acl"), "system.posix_acl_access", &acl_for(STRANGER), XattrFlags::empty())
        .unwrap();
    fs::set_permissions(tree, Permissions::from_mode(0o755)).unwrap();
}

/// A tree, as root, who can be others.
fn place() -> Option<Place> {
    if !is_root() {
        skipped("only root can be another user");
        return None;
    }
    if is_skipped_without(&["setpriv"]) {
        return None;
    }
    let place = Place::with_tree(make_files)?;
    fs::set_permissions(place.directory.path(), Permissions::from_mode(0o755)).unwrap();
    Some(place)
}

/// What another user reads of a file of the mount.
fn read_as(place: &Place, user: u32, name: &str) -> Option<String> {
    let user = user.to_string();
    let arguments = ["--reuid", &user, "--regid", &user, "--clear-groups", "cat"];
    let output = place.try_run("setpriv", &[&arguments[..], &[&format!("mnt/{name}")]].concat());
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn nobody_else_gets_to_it_by_default() {
    let Some(place) = place() else { return };
    let _mounted = place.mount("tree.cfd");
    for name in ["for-all", "for-owner", "with-acl"] {
        assert_eq!(read_as(&place, STRANGER, name), None, "{name}");
        assert_eq!(fs::read_to_string(place.path("mnt").join(name)).unwrap(), name);
    }
}

#[test]
fn others_get_to_what_modes_and_acls_allow_them() {
    let Some(place) = place() else { return };
    let _mounted = place.mount_with("tree.cfd", &["--allow-other"]);
    let read = |user, name: &str| read_as(&place, user, name).is_some();
    for (name, stranger, other) in
        [("for-all", true, true), ("for-owner", true, false), ("with-acl", true, false)]
    {
        assert_eq!((read(STRANGER, name), read(1_234, name)), (stranger, other), "{name}");
    }
    let owner = fs::metadata(place.path("mnt/for-owner")).unwrap();
    assert_eq!((owner.uid(), owner.gid()), (STRANGER, 7));
}

/// The program as another user, in a view of the file system of its own, in which that user may open /dev/fuse as everywhere but in a sandbox.
const AS_STRANGER: &str =
    "mount -t tmpfs dev dev && mknod -m 666 dev/fuse c 10 229 && mount --bind dev/fuse /dev/fuse
    exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$0\" mount --json -i key.txt tree.cfd mnt";

#[test]
fn whoever_is_not_root_owns_all_of_it() {
    let Some(place) = place() else { return };
    if is_skipped_without(&["fusermount3", "unshare", "nsenter"]) {
        return;
    }
    fs::create_dir(place.path("dev")).unwrap();
    for name in ["mnt", "key.txt", "tree.cfd"] {
        chown(place.path(name), Some(STRANGER), Some(STRANGER)).unwrap();
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", AS_STRANGER, env!("CARGO_BIN_EXE_cofferdam")]);
    command.current_dir(place.directory.path());
    let mounted = place.spawn(command);
    let target = mounted.id().to_string();
    let within =
        |program: &[&str]| place.try_run("nsenter", &[&["-t", &target, "-m", "--wd"], program].concat());
    let as_stranger = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    for name in ["for-all", "for-owner", "with-acl", "set-id"] {
        let path = format!("mnt/{name}");
        let read = within(&[&as_stranger[..], &["cat", &path]].concat());
        assert_eq!(String::from_utf8_lossy(&read.stdout), name, "{read:?}");
        let owner = within(&[&as_stranger[..], &["stat", "-c", "%u:%g", &path]].concat());
        assert_eq!(String::from_utf8_lossy(&owner.stdout), "65534:65534\n");
    }
    // Not even root.
    assert!(!within(&["cat", "mnt/for-all"]).status.success());
    mounted.end(Signal::TERM).assert_done("clean");
}
