//! Replays into real files and, where this system lets a test have one, a real block device.
//! Knows no step of the log.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use contract::{CommitError, StreamingSink};
use storage::TargetError;
use testing::simulation::{Fault, HookedStorage, Operation, SimulatedDisk};

use super::{
    super::{
        AtPublish, DeviceTarget, FileTarget, Opened, Reader, ReplayTarget, WalError, WalSink, remove_path,
    },
    stream::{Stream, attempt_id},
};

fn restore(log: &Path, target: impl ReplayTarget + 'static, stream: &Stream) -> Result<(), CommitError> {
    let opened = WalSink::open_path(log, &attempt_id(b""), AtPublish::Replay(Box::new(target))).unwrap();
    let Opened::Ready(mut sink) = opened else { panic!("a fresh log is finished") };
    stream.complete(&mut sink)
}

#[test]
fn a_file_keeps_its_inode_its_mode_and_those_who_have_it_open() {
    let directory = tempfile::tempdir().unwrap();
    let (log, path) = (directory.path().join("log"), directory.path().join("file"));
    fs::write(&path, [9; 100]).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let before = fs::metadata(&path).unwrap();
    let mut held = fs::File::open(&path).unwrap();
    let stream = Stream::new();
    restore(&log, FileTarget::open_path(&path).unwrap(), &stream).unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
    let mut seen = Vec::new();
    std::io::Read::read_to_end(&mut held, &mut seen).unwrap();
    assert_eq!(seen, stream.bytes);
    assert!(!log.exists());
}

/// A log with a commit in it.
fn leave_a_log(log: &Path) {
    let Opened::Ready(mut sink) = WalSink::open_path(log, &attempt_id(b""), AtPublish::Keep).unwrap() else {
        panic!("a fresh log is finished")
    };
    Stream::new().write(&mut sink, 0, 1).unwrap();
}

#[test]
fn a_log_with_a_second_name_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (log, other) = (directory.path().join("log"), directory.path().join("other"));
    leave_a_log(&other);
    fs::hard_link(&other, &log).unwrap();
    let before = fs::read(&other).unwrap();
    let opened = WalSink::open_path(&log, &attempt_id(b""), AtPublish::Keep);
    assert!(matches!(opened, Err(WalError::Shared)), "{opened:?}");
    assert!(matches!(remove_path(&log), Err(WalError::Shared)));
    assert!(matches!(Reader::open_path(&log), Err(WalError::Shared)));
    assert_eq!(fs::read(&other).unwrap(), before);
}

#[test]
fn only_our_own_log_is_gone_on_with_whoever_may_make_files_in_the_directory() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can make the file of another user that this is about.
    }
    for mode in [0o1777, 0o777, 0o755] {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let log = directory.path().join("log");
        leave_a_log(&log);
        std::os::unix::fs::lchown(&log, Some(65_534), None).unwrap();
        match WalSink::open_path(&log, &attempt_id(b""), AtPublish::Keep) {
            Err(WalError::SomeoneElses { owner: 65_534 }) => {}
            other => panic!("{mode:o}: {other:?}"),
        }
    }
}

#[test]
fn what_is_no_target_is_refused_before_the_stream_is_decided() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, b"a regular file").unwrap();
    let refused = DeviceTarget::open(&path).unwrap_err();
    assert!(matches!(refused, TargetError::NotAFile { .. }), "{refused}");
    assert!(DeviceTarget::open(Path::new("/dev/null")).is_err());
    fs::create_dir(directory.path().join("folder")).unwrap();
    let target = FileTarget::open_path(directory.path().join("folder")).unwrap();
    let published = restore(&directory.path().join("log"), target, &Stream::new());
    assert!(matches!(published, Err(CommitError::NotCommitted(_))), "{published:?}");
}

#[test]
fn a_file_without_room_is_refused_before_the_stream_is_decided_and_the_log_goes_on() {
    let disk = SimulatedDisk::new();
    disk.put("file", b"old");
    let full = HookedStorage::new(Arc::new(disk.clone()), |call| {
        (call.operation == Operation::Preallocate).then_some(Fault::NoSpace)
    });
    let stream = Stream::new();
    let open = |target| {
        let at_publish = AtPublish::Replay(Box::new(target));
        WalSink::open(Arc::new(disk.clone()), OsStr::new("log"), &attempt_id(b""), at_publish).unwrap()
    };
    let target = FileTarget::new(Arc::new(full), OsStr::new("file"));
    let Opened::Ready(mut sink) = open(target) else { panic!("a fresh log is finished") };
    let Err(CommitError::NotCommitted(error)) = stream.complete(&mut sink) else { panic!("decided") };
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(disk.contents("file").unwrap(), b"old");
    drop(sink);
    let target = FileTarget::new(Arc::new(disk.clone()), OsStr::new("file"));
    let Opened::Ready(mut sink) = open(target) else { panic!("the stream was decided") };
    sink.publish(stream.bytes.len() as u64).unwrap();
    assert_eq!(disk.contents("file").unwrap(), stream.bytes);
}

#[test]
fn a_block_device_gets_the_stream_and_keeps_what_lies_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    fs::write(&image, vec![0xEE; DEVICE_LEN]).unwrap();
    let Some(device) = LoopDevice::attach(&image) else {
        println!("no block device: the system gives this test none");
        return;
    };
    println!("a block device: {}", device.path.display());
    let target = DeviceTarget::open(&device.path).unwrap();
    assert_eq!(target.device_len(), DEVICE_LEN as u64);
    let log = directory.path().join("log");
    let too_long = Stream::of(b"too long for it ", &[DEVICE_LEN, 1]);
    let refused = restore(&log, target, &too_long);
    assert!(refused.is_err());
    assert!(fs::read(&image).unwrap() == vec![0xEE; DEVICE_LEN]);
    fs::remove_file(&log).unwrap();
    let stream = Stream::of(b"for a device... ", &[4096, 5000, 0, 1]);
    restore(&log, DeviceTarget::open(&device.path).unwrap(), &stream).unwrap();
    drop(device);
    let mut expected = stream.bytes.clone();
    expected.resize(DEVICE_LEN, 0xEE);
    assert!(fs::read(&image).unwrap() == expected);
}

/// A file as a block device, for root and where there are such devices.
struct LoopDevice {
    path: PathBuf,
}

impl LoopDevice {
    fn attach(image: &Path) -> Option<LoopDevice> {
        let output = Command::new("losetup").args(["--find", "--show"]).arg(image).output().ok()?;
        let path = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        let attached = LoopDevice { path: path.into() };
        (output.status.success() && attached.path.exists()).then_some(attached)
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            let detached = Command::new("losetup").arg("--detach").arg(&self.path).status();
            assert!(detached.is_ok_and(|status| status.success()), "{} stays attached", self.path.display());
        }
    }
}

const DEVICE_LEN: usize = 64 * 1024;
