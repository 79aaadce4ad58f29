//! The oracle is held against counts made by hand, and against a real directory.
//! Knows no sink.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    sync::Arc,
};

use contract::IfExists;
use parking_lot::Mutex;
use storage::{Disk, Lock, SECTOR_LEN, Storage, StorageFile};

use super::*;

const SEED: u64 = 7;

/// How often each content of `name` is seen over all crash states.
fn seen(disk: &SimulatedDisk, name: &str) -> BTreeMap<Option<Vec<u8>>, usize> {
    let mut seen = BTreeMap::new();
    for state in disk.crash_states(SEED) {
        *seen.entry(state.disk.contents(name)).or_insert(0) += 1;
    }
    seen
}

fn found(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(bytes.into())
}

fn name(name: &str) -> &OsStr {
    OsStr::new(name)
}

fn open(disk: &SimulatedDisk, at: &str) -> Arc<dyn StorageFile> {
    disk.open(name(at)).unwrap().unwrap()
}

#[test]
fn a_write_that_was_not_synced_is_there_or_not() {
    let disk = SimulatedDisk::new();
    disk.put("file", b"old");
    open(&disk, "file").write_all_at(b"new", 0).unwrap();
    assert_eq!(disk.contents("file"), found(b"new"));
    assert_eq!(seen(&disk, "file"), BTreeMap::from([(found(b"old"), 1), (found(b"new"), 1)]));
}

#[test]
fn what_was_synced_is_never_lost_and_not_asked_about() {
    for all in [false, true] {
        let disk = SimulatedDisk::new();
        disk.put("file", b"old");
        let file = open(&disk, "file");
        file.write_all_at(b"newer", 0).unwrap();
        if all { file.sync_all() } else { file.sync_data() }.unwrap();
        assert_eq!(disk.pending(), 0);
        assert_eq!(seen(&disk, "file"), BTreeMap::from([(found(b"newer"), 1)]));
    }
}

#[test]
fn name_length_and_bytes_of_a_new_file_are_lost_apart() {
    let disk = SimulatedDisk::new();
    disk.create(name("file")).unwrap().write_all_at(b"bytes", 0).unwrap();
    // Name, length, one sector: of eight states four have no name; of the others two have no length.
    let expected = [(None, 4), (found(b""), 2), (found(&[0; 5]), 1), (found(b"bytes"), 1)];
    assert_eq!(seen(&disk, "file"), BTreeMap::from(expected));
}

#[test]
fn a_write_is_torn_at_sectors_and_nowhere_else() {
    let disk = SimulatedDisk::new();
    disk.put("file", &[b'.'; 2000]);
    open(&disk, "file").write_all_at(&[b'x'; 600], 500).unwrap();
    let edges = [500, SECTOR_LEN, 2 * SECTOR_LEN, 1100];
    let expected: BTreeMap<_, _> = (0..8)
        .map(|kept| {
            let mut bytes = vec![b'.'; 2000];
            for sector in (0..3).filter(|sector| kept >> sector & 1 == 1) {
                bytes[edges[sector]..edges[sector + 1]].fill(b'x');
            }
            (Some(bytes), 1)
        })
        .collect();
    assert_eq!(seen(&disk, "file"), expected);
}

#[test]
fn of_two_writes_to_a_sector_the_later_one_stands_where_both_are_kept() {
    let disk = SimulatedDisk::new();
    disk.put("file", b"0");
    let file = open(&disk, "file");
    file.write_all_at(b"1", 0).unwrap();
    file.write_all_at(b"2", 0).unwrap();
    assert_eq!(seen(&disk, "file"), BTreeMap::from([(found(b"0"), 1), (found(b"1"), 1), (found(b"2"), 2)]));
}

#[test]
fn a_cut_that_is_lost_leaves_the_old_bytes_and_a_length_that_grew_reads_as_zeros() {
    let disk = SimulatedDisk::new();
    disk.put("file", b"abcd");
    let file = open(&disk, "file");
    file.set_len(2).unwrap();
    file.set_len(3).unwrap();
    assert_eq!(disk.contents("file"), found(b"ab\0"));
    // Neither, the growth alone, the cut alone, both.
    let expected = [(found(b"abcd"), 1), (found(b"abc"), 1), (found(b"ab"), 1), (found(b"ab\0"), 1)];
    assert_eq!(seen(&disk, "file"), BTreeMap::from(expected));
}

#[test]
fn a_rename_comes_back_as_a_whole_until_the_names_are_synced() {
    let disk = SimulatedDisk::new();
    disk.put("target", b"old");
    disk.put("staging", b"new");
    disk.rename(name("staging"), name("target"), IfExists::Replace).unwrap();
    let states: Vec<_> = disk.crash_states(SEED).map(|state| state.disk).collect();
    assert_eq!(states.len(), 2);
    assert_eq!((states[0].contents("target"), states[0].contents("staging")), (found(b"old"), found(b"new")));
    assert_eq!((states[1].contents("target"), states[1].contents("staging")), (found(b"new"), None));
    disk.sync().unwrap();
    assert_eq!(seen(&disk, "target"), BTreeMap::from([(found(b"new"), 1)]));
}

#[test]
fn a_removed_name_comes_back_and_one_that_was_made_anew_is_not_taken_by_an_old_removal() {
    let disk = SimulatedDisk::new();
    disk.put("file", b"old");
    disk.remove(name("file")).unwrap();
    assert_eq!(seen(&disk, "file"), BTreeMap::from([(None, 1), (found(b"old"), 1)]));
    drop(disk.create(name("file")).unwrap());
    let expected = [(None, 1), (found(b"old"), 1), (found(b""), 2)];
    assert_eq!(seen(&disk, "file"), BTreeMap::from(expected));
}

#[test]
fn syncing_bytes_does_not_sync_the_name_nor_the_metadata() {
    let disk = SimulatedDisk::new();
    let file = disk.create(name("file")).unwrap();
    file.write_all_at(b"x", 0).unwrap();
    file.give_mode(0o644).unwrap();
    file.sync_data().unwrap();
    assert_eq!(seen(&disk, "file"), BTreeMap::from([(None, 2), (found(b"x"), 2)]));
    let alike = |disk: &SimulatedDisk| {
        disk.crash_states(SEED).filter(|state| state.disk.has_target_metadata("file")).count()
    };
    assert_eq!(alike(&disk), 1);
    file.sync_all().unwrap();
    disk.sync().unwrap();
    assert_eq!((disk.pending(), alike(&disk)), (0, 1));
}

#[test]
fn an_unnamed_file_is_found_only_through_a_link_that_is_kept() {
    let disk = SimulatedDisk::new();
    let file = disk.create_unnamed().unwrap();
    file.write_all_at(b"x", 0).unwrap();
    file.sync_all().unwrap();
    assert_eq!(disk.crash_states(SEED).next().unwrap().disk.names(), Vec::<OsString>::new());
    file.link(name("file")).unwrap();
    assert_eq!(file.link(name("file")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(seen(&disk, "file"), BTreeMap::from([(None, 1), (found(b"x"), 1)]));
    assert_eq!(disk.id_at(name("file")).unwrap(), Some(file.id().unwrap()));
}

#[test]
fn what_is_written_to_a_map_is_on_its_way_until_the_file_is_synced() {
    let disk = SimulatedDisk::new();
    let file = disk.create(name("file")).unwrap();
    disk.sync().unwrap();
    let map = file.map(3).unwrap();
    map.write_all_at(0, b"ab").unwrap();
    assert_eq!(map.write_all_at(2, b"cd").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    // Room that was taken reads as zeros, and is not data.
    let expected = [(found(b""), 2), (found(b"\0\0\0"), 1), (found(b"ab\0"), 1)];
    assert_eq!(seen(&disk, "file"), BTreeMap::from(expected));
    file.sync_data().unwrap();
    assert_eq!(seen(&disk, "file"), BTreeMap::from([(found(b"ab\0"), 1)]));
}

#[test]
fn a_failed_sync_leaves_in_doubt_what_no_later_one_settles() {
    let disk = SimulatedDisk::new();
    disk.put("file", b"..");
    let storage = disk.failing(Arc::new(FaultPlan::new(3, Fault::Io, Times::Once)));
    let file = storage.open(name("file")).unwrap().unwrap();
    file.write_all_at(b"x", 0).unwrap();
    assert!(file.sync_data().is_err());
    file.write_all_at(b"y", 1).unwrap();
    file.sync_data().unwrap();
    assert_eq!(seen(&disk, "file"), BTreeMap::from([(found(b".y"), 1), (found(b"xy"), 1)]));
    assert_eq!(disk.contents("file"), found(b"xy")); // memory is better than the medium may be
    file.drop_page_cache().unwrap();
    assert_eq!(disk.contents("file"), found(b".y"));
    assert_eq!(seen(&disk, "file"), BTreeMap::from([(found(b".y"), 1)]));
}

#[test]
fn beyond_twelve_items_the_listed_kinds_are_tried_and_each_state_can_be_made_again() {
    let disk = SimulatedDisk::new();
    disk.put("file", &[b'.'; 13 * SECTOR_LEN]);
    let file = open(&disk, "file");
    file.write_all_at(&[b'x'; 12 * SECTOR_LEN], 0).unwrap();
    assert_eq!(disk.crash_states(SEED).len(), 4096);
    file.write_all_at(b"x", 12 * SECTOR_LEN as u64).unwrap();
    let states: Vec<_> = disk.crash_states(SEED).collect();
    // 14 prefixes (nothing and everything among them), 13 + 13 single ones, 78 pairs, the samples.
    assert_eq!(states.len(), 14 + 26 + 78 + CrashStates::SAMPLES);
    let lost = |count: usize| {
        states.iter().filter(move |state| state.kept.iter().filter(|kept| !**kept).count() == count)
    };
    let distinct = |count: usize| {
        lost(count).map(|state| state.kept.clone()).collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!([0, 1, 2, 12, 13].map(distinct), [1, 13, 78, 13, 1]);
    let again = disk.crash_states(SEED);
    for state in &states {
        let bytes = state.disk.contents("file").unwrap();
        let by_hand: Vec<bool> = (0..13).map(|sector| bytes[sector * SECTOR_LEN] == b'x').collect();
        assert_eq!(state.kept, by_hand, "{state}");
        assert_eq!(again.state(state.index).kept, state.kept);
    }
    assert_ne!(disk.crash_states(SEED + 1).last().unwrap().kept, states.last().unwrap().kept);
}

#[test]
fn pairs_are_bounded_and_spread() {
    let disk = SimulatedDisk::new();
    disk.put("file", &[0; 40 * SECTOR_LEN]);
    open(&disk, "file").write_all_at(&[1; 40 * SECTOR_LEN], 0).unwrap();
    let states: Vec<_> = disk.crash_states(SEED).collect();
    assert_eq!(states.len(), 41 + 80 + CrashStates::PAIRS_MAX + CrashStates::SAMPLES);
    let pairs = &states[41 + 80..41 + 80 + CrashStates::PAIRS_MAX];
    let mut distinct: Vec<_> = pairs.iter().map(|state| state.kept.clone()).collect();
    distinct.dedup();
    assert_eq!(distinct.len(), CrashStates::PAIRS_MAX);
    assert!(distinct.iter().all(|kept| kept.iter().filter(|kept| !**kept).count() == 2));
    assert!((0..40).all(|item| distinct.iter().any(|kept| !kept[item])), "each item is in some pair");
}

#[test]
fn a_lock_goes_with_the_open_file_and_with_the_power() {
    let disk = SimulatedDisk::new();
    let (first, second) = (disk.create(name("file")).unwrap(), open(&disk, "file"));
    disk.sync().unwrap();
    assert_eq!(first.try_lock().unwrap(), Lock::Taken);
    assert_eq!(first.try_lock().unwrap(), Lock::Taken);
    assert_eq!(second.try_lock().unwrap(), Lock::Held);
    let after = disk.crash_states(SEED).next().unwrap().disk;
    assert_eq!(open(&after, "file").try_lock().unwrap(), Lock::Taken);
    assert_eq!(open(&after, "file").id().unwrap(), first.id().unwrap());
    drop(first);
    assert_eq!(second.try_lock().unwrap(), Lock::Taken);
}

#[test]
fn the_call_that_was_chosen_fails_and_the_others_do_not() {
    for fault in Fault::ALL {
        for (times, expected) in [
            (Times::Once, [false, true, false, false, false]),
            (Times::ForEver, {
                let signal = fault == Fault::Interrupted;
                [false, true, !signal, true, !signal]
            }),
        ] {
            let plan = FaultPlan::new(2, fault, times);
            let struck = std::array::from_fn(|_| plan.next() == Some(fault));
            assert_eq!((struck, plan.calls()), (expected, 5), "{fault:?} {times:?}");
        }
    }
}

#[test]
fn a_fault_does_nothing_and_a_short_write_does_half() {
    for (fault, kind) in [
        (Fault::Io, None),
        (Fault::NoSpace, Some(io::ErrorKind::StorageFull)),
        (Fault::Interrupted, Some(io::ErrorKind::Interrupted)),
    ] {
        let disk = SimulatedDisk::new();
        let storage =
            HookedStorage::failing(Arc::new(disk.clone()), Arc::new(FaultPlan::new(2, fault, Times::Once)));
        let file = storage.create(name("file")).unwrap();
        let error = file.write_at(b"data", 0).unwrap_err();
        assert!(kind.is_none_or(|kind| error.kind() == kind), "{error}");
        assert_eq!(disk.contents("file"), found(b""));
    }
    let disk = SimulatedDisk::new();
    let plan = Arc::new(FaultPlan::new(2, Fault::Short, Times::ForEver));
    let file = disk.failing(plan.clone()).create(name("file")).unwrap();
    assert_eq!(file.write_at(b"data5", 0).unwrap(), 3);
    file.write_all_at(b"other", 0).unwrap();
    assert_eq!(disk.contents("file"), found(b"other"));
    assert_eq!(plan.calls(), 1 + 1 + 3); // of five bytes three, then one of two, then one
}

#[test]
fn every_call_is_seen_with_what_it_is_about() {
    let disk = SimulatedDisk::new();
    let log = Arc::new(Mutex::new(Vec::new()));
    let kept = log.clone();
    let storage = HookedStorage::new(Arc::new(disk), move |call| {
        kept.lock().push((call.operation, call.name.map(OsStr::to_owned), call.file.is_some()));
        None
    });
    let file = storage.create(name("a")).unwrap();
    file.map(1).unwrap().write_all_at(0, b"x").unwrap();
    file.sync_data().unwrap();
    storage.rename(name("a"), name("b"), IfExists::Refuse).unwrap();
    storage.sync().unwrap();
    let expected = [
        (Operation::Create, Some("a".into()), false),
        (Operation::Map, None, true),
        (Operation::MapWrite, None, true),
        (Operation::SyncData, None, true),
        (Operation::Rename, Some("b".into()), false),
        (Operation::Sync, None, false),
    ];
    assert_eq!(*log.lock(), expected);
    assert!(expected.iter().all(|(operation, ..)| operation.changes()));
}

/// The same calls on a real directory: answers and readers' view agree.
#[test]
fn a_simulated_disk_answers_as_a_real_directory_does() {
    let folder = tempfile::tempdir().unwrap();
    let (real, simulated) = (Disk::open(folder.path()).unwrap(), SimulatedDisk::new());
    let names = ["a", "b", "c"];
    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut renamed = 0;
    for _ in 0..3000 {
        let (from, to) = (name(names[rng.usize(..3)]), name(names[rng.usize(..3)]));
        let (at, len, act) = (rng.u64(..2000), rng.usize(..1500), rng.usize(..9));
        let answers = [&real as &dyn Storage, &simulated].map(|disk| act_on(disk, act, from, to, at, len));
        assert_eq!(answers[0], answers[1], "act {act} on {from:?} and {to:?}");
        renamed += usize::from(act < 2 && answers[0] == "done");
        for at in names {
            assert_eq!(std::fs::read(folder.path().join(at)).ok(), simulated.contents(at), "{at}");
        }
    }
    assert!(renamed > 50, "the walk must get somewhere: {renamed}");
}

fn act_on(disk: &dyn Storage, act: usize, from: &OsStr, to: &OsStr, at: u64, len: usize) -> String {
    let on_file = |act: &dyn Fn(Arc<dyn StorageFile>) -> io::Result<()>| match disk.open(from)? {
        Some(file) => act(file),
        None => Ok(()),
    };
    let done = match act {
        0 => disk.rename(from, to, IfExists::Refuse),
        1 => disk.rename(from, to, IfExists::Replace),
        2 | 3 => disk.create(from).map(|_| ()),
        4 => disk.remove(from),
        5 => on_file(&|file| file.set_len(at)),
        6 => disk
            .create_unnamed()
            .and_then(|file| file.write_all_at(&vec![3; len], 0).and_then(|()| file.link(to))),
        7 => on_file(&|file| {
            let mut buffer = vec![9; len];
            let count = file.read_at(&mut buffer, at)?;
            Err(io::Error::other(format!("{count} {:?}", buffer)))
        }),
        _ => on_file(&|file| file.write_all_at(&vec![(at % 250) as u8 + 1; len], at)),
    };
    match done {
        Ok(()) => "done".into(),
        Err(error) if error.kind() == io::ErrorKind::Other => error.to_string(),
        Err(error) => format!("{:?}", error.kind()),
    }
}
