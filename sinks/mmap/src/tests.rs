//! The mapped file over a real directory and over the simulated disk.
//! The rules of the contract are the conformance suite's.
#![cfg(target_os = "linux")]

use std::{
    fs::{self, File},
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use testing::{
    conformance::{SinkUnderTest, check_all},
    simulation::{HookedStorage, SimulatedDisk},
};

use super::*;

fn options(if_exists: IfExists, len: u64) -> StageOptions {
    StageOptions::default().if_exists(if_exists).expected_len(Some(len))
}

/// A directory where files can be mapped: a system's temporary files may lie where they cannot.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

fn names(directory: &Path) -> Vec<OsString> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn the_mapped_file_keeps_the_contract_over_no_target_and_over_an_old_one() {
    for old in [None, Some(b"the old target")] {
        let directory = scratch();
        let count = AtomicUsize::new(0);
        let violations = check_all(&mut || {
            // Unique names, and one test thread makes them: the order with other accesses does not matter.
            let path = directory.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
            let if_exists = match old {
                Some(old) => fs::write(&path, old).map(|()| IfExists::Replace).unwrap(),
                None => IfExists::Refuse,
            };
            // More than any rule writes: a shorter stream is published with its own length.
            let sink = MappedFile::create(&path, &options(if_exists, 4 << 20)).unwrap();
            SinkUnderTest::new(sink, move || fs::read(&path).ok())
        });
        assert!(violations.is_empty(), "{violations:#?}");
        let left = names(directory.path());
        assert!(left.iter().all(|name| !name.as_bytes().starts_with(b".")), "{left:?}");
    }
}

#[test]
fn a_file_system_that_cannot_do_it_says_so() {
    let error = MappedFile::create(Path::new("/proc/target"), &options(IfExists::Refuse, 3)).unwrap_err();
    assert!(matches!(error, TargetError::NoRoom { .. } | TargetError::Io { .. }), "{error:?}");
}

#[test]
fn nothing_has_a_name_before_publish() {
    let directory = scratch();
    let path = directory.path().join("target");
    let mut sink = MappedFile::create(&path, &options(IfExists::Refuse, 5)).unwrap();
    sink.positioned().unwrap().write_all_at(0, b"whole").unwrap();
    assert!(names(directory.path()).is_empty());
    sink.publish(5).unwrap();
    assert_eq!(names(directory.path()), ["target"]);
    assert_eq!(fs::read(&path).unwrap(), b"whole");
}

#[test]
fn a_length_that_is_not_known_and_one_without_room_are_refused_before_the_first_byte() {
    let directory = scratch();
    let path = directory.path().join("target");
    let unknown = StageOptions::default().expected_len(None);
    assert!(matches!(MappedFile::create(&path, &unknown), Err(TargetError::LengthUnknown { .. })));
    let endless = MappedFile::create(&path, &options(IfExists::Refuse, 1 << 60));
    assert!(matches!(endless, Err(TargetError::NoRoom { .. })), "{endless:?}");
    assert!(names(directory.path()).is_empty());
}

#[test]
fn a_target_that_appears_meanwhile_is_not_replaced() {
    let directory = scratch();
    let path = directory.path().join("target");
    let mut sink = MappedFile::create(&path, &options(IfExists::Refuse, 3)).unwrap();
    sink.positioned().unwrap().write_all_at(0, b"new").unwrap();
    fs::write(&path, b"appeared").unwrap();
    let Err(CommitError::NotCommitted(error)) = sink.publish(3) else { panic!("replaced") };
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"appeared");
}

#[test]
fn what_a_crash_left_between_link_and_rename_is_removed_and_a_held_one_is_not() {
    let directory = scratch();
    let path = directory.path().join("target");
    fs::write(&path, b"old").unwrap();
    let passing = directory.path().join(".target.cofferdam-mapped");
    fs::write(&passing, b"whole, and not renamed").unwrap();
    let other = File::open(&passing).unwrap();
    rustix::fs::flock(&other, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let held = MappedFile::create(&path, &options(IfExists::Replace, 3));
    assert!(matches!(&held, Err(TargetError::Held { staging, .. }) if *staging == passing), "{held:?}");
    drop(other);
    let mut sink = MappedFile::create(&path, &options(IfExists::Replace, 3)).unwrap();
    sink.positioned().unwrap().write_all_at(0, b"new").unwrap();
    sink.publish(3).unwrap();
    assert_eq!(names(directory.path()), ["target"]);
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

#[test]
fn what_another_writers_crash_left_while_this_one_wrote_is_in_nobodys_way() {
    let directory = scratch();
    let path = directory.path().join("target");
    fs::write(&path, b"old").unwrap();
    let mut sink = MappedFile::create(&path, &options(IfExists::Replace, 3)).unwrap();
    sink.positioned().unwrap().write_all_at(0, b"new").unwrap();
    fs::write(directory.path().join(".target.cofferdam-mapped"), b"whole, and not renamed").unwrap();
    sink.publish(3).unwrap();
    assert_eq!(names(directory.path()), ["target"]);
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

#[test]
fn a_long_name_is_cut_between_its_characters() {
    let directory = scratch();
    for name in ["n".repeat(255), "\u{1F512}".repeat(63)] {
        let path: PathBuf = directory.path().join(&name);
        fs::write(&path, b"old").unwrap();
        let mut sink = MappedFile::create(&path, &options(IfExists::Replace, 3)).unwrap();
        sink.positioned().unwrap().write_all_at(0, b"new").unwrap();
        sink.publish(3).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let cut = linked_name(OsStr::new(&name));
        assert!(cut.len() <= NAME_LEN_MAX && cut.to_str().is_some(), "{cut:?}");
    }
}

/// Every power cut, before each change of the disk and after the last one, while a stream is written and published.
#[test]
fn a_power_cut_at_any_point_leaves_the_old_target_or_the_new_one() {
    let stream: Vec<u8> = (0..5_000_u32).map(|i| (i % 251) as u8).collect();
    for old in [None, Some(&b"old"[..])] {
        let disk = SimulatedDisk::new();
        if let Some(old) = old {
            disk.put("target", old);
        }
        let (looking, whole) = (disk.clone(), stream.clone());
        let states = Arc::new(AtomicUsize::new(0));
        let count = states.clone();
        let look = move || {
            for state in looking.crash_states(1) {
                let found = state.disk.contents("target");
                assert!(found.as_deref() == old || found.as_ref() == Some(&whole), "{state}");
                // A number for a floor: the order with other accesses does not matter.
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        let before = look.clone();
        let storage = HookedStorage::new(Arc::new(disk.clone()), move |call| {
            if call.operation.changes() {
                before();
            }
            None
        });
        let if_exists = if old.is_some() { IfExists::Replace } else { IfExists::Refuse };
        let mut sink = MappedFile::on(Arc::new(storage), OsStr::new("target"), if_exists, 6_000).unwrap();
        let writer = sink.positioned().unwrap();
        writer.write_all_at(2_000, &stream[2_000..]).unwrap();
        writer.write_all_at(0, &stream[..2_000]).unwrap();
        sink.publish(5_000).unwrap();
        look();
        // Durable: no power cut takes it back.
        assert!(disk.crash_states(1).all(|state| state.disk.contents("target").as_ref() == Some(&stream)));
        assert!(states.load(Ordering::Relaxed) > 100, "{states:?} states were looked at");
    }
}
