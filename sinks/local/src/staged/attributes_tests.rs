//! Tests of the mode and time that a new target is given at publish.
//! What they are is the file system's word.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use storage::{FileTime, StageOptions};

use super::{faulty::FaultyDisk, *};

const MODE: u32 = 0o640;
const MODIFIED: FileTime = FileTime { seconds: -5, nanos: 250_000_000 };

/// A sink with bytes in it that is to give them, and how often it has told that it could not.
fn giving(faulty: &FaultyDisk, if_exists: IfExists) -> (StagedFile, Arc<AtomicUsize>) {
    let options = StageOptions::default().if_exists(if_exists);
    let mut sink = StagedFile::create_in(faulty.storage(), OsStr::new("target"), &options).unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    let tell = told.clone();
    sink.set_mode(MODE);
    sink.set_modified(MODIFIED);
    sink.on_notice(move |notice| {
        assert_eq!(notice, TargetNotice::TimesNotKept);
        tell.fetch_add(1, Ordering::Relaxed);
    });
    sink.begin_segment(0, 0).unwrap();
    sink.write_tentative(0, b"bytes").unwrap();
    sink.commit_segment(&Checkpoint::from_bytes([0; Checkpoint::LEN])).unwrap();
    (sink, told)
}

/// Mode, seconds and nanoseconds.
fn seen(directory: &Path) -> (u32, i64, i64) {
    let found = fs::metadata(directory.join("target")).unwrap();
    (found.mode() & 0o7777, found.mtime(), found.mtime_nsec())
}

#[test]
fn a_new_target_gets_them() {
    for if_exists in [IfExists::Refuse, IfExists::Replace] {
        let directory = tempfile::tempdir().unwrap();
        let (mut sink, told) = giving(&FaultyDisk::over(directory.path()), if_exists);
        sink.publish(5).unwrap();
        assert_eq!(seen(directory.path()), (0o640, -5, 250_000_000), "{if_exists:?}");
        assert_eq!(told.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_target_that_is_replaced_does_not_get_them() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("target"), b"old").unwrap();
    let before = seen(directory.path()).0;
    let (mut sink, _) = giving(&FaultyDisk::over(directory.path()), IfExists::Replace);
    sink.publish(5).unwrap();
    let (mode, seconds, _) = seen(directory.path());
    assert!(mode == before && seconds > 0, "{mode:o}, {seconds}");
}

#[test]
fn where_the_time_cannot_be_given_that_is_told_and_the_target_is_published() {
    let mut refusals = 0;
    for call in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let faulty = FaultyDisk::over(directory.path());
        let (mut sink, told) = giving(&faulty, IfExists::Refuse);
        let number = faulty.calls() + call;
        faulty.fail_calls(number..number + 1);
        let published = sink.publish(5).is_ok();
        let told = told.load(Ordering::Relaxed);
        if told > 0 {
            assert!(published && fs::read(directory.path().join("target")).unwrap() == b"bytes");
            assert_eq!(seen(directory.path()).0, MODE);
        }
        refusals += told;
    }
    assert_eq!(refusals, 1, "one of the changes at publish is this one");
}

#[cfg(target_os = "linux")]
#[test]
fn a_replaced_target_without_an_access_list_does_not_get_the_one_that_its_directory_gives_to_new_files() {
    use rustix::fs::{XattrFlags, getxattr, removexattr, setxattr};

    // acl(5), and linux/posix_acl_xattr.h: version, then tag, permissions and id of each entry. One user more may write.
    const LIST: [(u16, u16, u32); 5] = [
        (0x01, 6, u32::MAX),
        (0x02, 6, 65_534),
        (0x04, 6, u32::MAX),
        (0x10, 6, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in LIST {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    if setxattr(directory.path(), "system.posix_acl_default", &list, XattrFlags::empty()).is_err() {
        return; // No access lists here.
    }
    fs::write(&target, b"old").unwrap();
    removexattr(&target, "system.posix_acl_access").unwrap();
    let before = seen(directory.path()).0;
    let (mut sink, _) = giving(&FaultyDisk::over(directory.path()), IfExists::Replace);
    let (staged, mut found) = (directory.path().join(".target.cofferdam-staging"), [0; 64]);
    getxattr(&staged, "system.posix_acl_access", &mut found[..]).unwrap();
    sink.publish(5).unwrap();
    assert_eq!(seen(directory.path()).0, before);
    assert!(getxattr(&target, "system.posix_acl_access", &mut found[..]).is_err());
}

/// Whoever can rename in the directory puts another file at the name: between the look and the start, or between the start and the publish.
#[test]
fn what_the_caller_has_looked_at_is_the_model_whatever_comes_to_its_name() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let make = |name: &str, mode: u32| {
        fs::write(at(name), name).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let over = |standing: &File| {
        StagedFile::create_over(at("target"), &StageOptions::default(), standing.try_clone().unwrap())
    };
    make("target", MODE);
    let standing = File::open(at("target")).unwrap();
    let mut sink = over(&standing).unwrap();
    sink.begin_segment(0, 0).unwrap();
    sink.write_tentative(0, b"bytes").unwrap();
    sink.commit_segment(&Checkpoint::from_bytes([0; Checkpoint::LEN])).unwrap();
    make("planted", 0o666);
    fs::rename(at("planted"), at("target")).unwrap();
    sink.publish(5).unwrap();
    assert_eq!((fs::read(at("target")).unwrap(), seen(directory.path()).0), (b"bytes".to_vec(), MODE));
    assert!(matches!(over(&standing), Err(TargetError::Exists { .. })));
    make("elsewhere", MODE);
    fs::remove_file(at("target")).unwrap();
    std::os::unix::fs::symlink("elsewhere", at("target")).unwrap();
    assert!(matches!(over(&standing), Err(TargetError::Exists { .. })));
    assert_eq!(fs::read(at("elsewhere")).unwrap(), b"elsewhere");
}
