//! A simulated disk whose calls are recorded, and fail after some steps, as for a process that is killed: what was done stays.
//! Knows no log, and loses no power: the tests of that use the simulated disk itself.

use std::{ffi::OsString, sync::Arc};

use parking_lot::Mutex;
use storage::{FileId, Storage};
use testing::simulation::{Call, Fault, HookedStorage, Operation, SimulatedDisk};

/// One step that changes something, or makes it durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Create(OsString),
    Write { inode: u64, at: u64, len: usize },
    SetLen { inode: u64, len: u64 },
    Sync { inode: u64 },
    Remove(OsString),
    SyncNames,
}

pub(super) struct RecordedDisk {
    disk: Mutex<SimulatedDisk>,
    record: Arc<Mutex<Record>>,
}

#[derive(Default)]
struct Record {
    steps: Vec<Step>,
    /// File, start and length of each writeback that was begun.
    sent: Vec<(Option<FileId>, u64, u64)>,
    /// Steps that are still done. None: all of them.
    fuse: Option<usize>,
    /// The sync that fails, counted from here.
    bad_sync: Option<usize>,
}

impl RecordedDisk {
    pub(super) fn new() -> RecordedDisk {
        RecordedDisk { disk: Mutex::new(SimulatedDisk::new()), record: Arc::default() }
    }

    /// Every step after the next `steps` fails, and so do the ones after that.
    pub(super) fn stop_after(&self, steps: usize) {
        self.record.lock().fuse = Some(steps);
    }

    /// The process is gone, with its locks. Everything works again.
    pub(super) fn start_again(&self) {
        let mut record = self.record.lock();
        (record.fuse, record.bad_sync) = (None, None);
        let mut disk = self.disk.lock();
        *disk = disk.after_kill();
    }

    /// The sync after the next `syncs` fails, and no other.
    pub(super) fn fail_sync_after(&self, syncs: usize) {
        self.record.lock().bad_sync = Some(syncs);
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        self.disk.lock().put(name, bytes);
    }

    pub(super) fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.disk.lock().contents(name)
    }

    /// Start and length of each writeback of the file at `name`.
    pub(super) fn sent(&self, name: &str) -> Vec<(u64, u64)> {
        let named = self.disk.lock().id_at(name.as_ref()).unwrap();
        let record = self.record.lock();
        let of_it = record.sent.iter().filter(|(file, ..)| *file == named);
        of_it.map(|(_, at, len)| (*at, *len)).collect()
    }

    pub(super) fn take_steps(&self) -> Vec<Step> {
        std::mem::take(&mut self.record.lock().steps)
    }

    pub(super) fn storage(&self) -> Arc<dyn Storage> {
        let record = self.record.clone();
        let disk = Arc::new(self.disk.lock().clone());
        Arc::new(HookedStorage::new(disk, move |call| record.lock().called(call)))
    }
}

impl Record {
    fn called(&mut self, call: &Call<'_>) -> Option<Fault> {
        if call.operation == Operation::BeginWriteback {
            self.sent.push((call.file, call.at, call.len));
        }
        let step = step(call)?;
        match &mut self.fuse {
            Some(0) => return Some(Fault::Io),
            Some(left) => *left -= 1,
            None => {}
        }
        let is_sync = matches!(step, Step::Sync { .. } | Step::SyncNames);
        self.steps.push(step);
        match &mut self.bad_sync {
            Some(0) if is_sync => {
                self.bad_sync = None;
                return Some(Fault::Io);
            }
            Some(left) if is_sync => *left -= 1,
            _ => {}
        }
        None
    }
}

fn step(call: &Call<'_>) -> Option<Step> {
    let name = || call.name.map(OsString::from).expect("a name");
    let inode = call.file.map_or(0, |file| file.inode);
    Some(match call.operation {
        Operation::Create => Step::Create(name()),
        Operation::WriteAt => Step::Write { inode, at: call.at, len: call.len as usize },
        Operation::SetLen => Step::SetLen { inode, len: call.len },
        Operation::SyncData | Operation::SyncAll => Step::Sync { inode },
        Operation::Remove => Step::Remove(name()),
        Operation::Sync => Step::SyncNames,
        other => {
            assert!(!other.changes(), "a log makes no such call: {other:?}");
            return None;
        }
    })
}
