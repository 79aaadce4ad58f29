//! A real directory whose changes are counted, and fail from one of them to another.
//! Knows no sink, and no loss of power: looking and locking never fail, and syncs are not made.

use std::{ops::Range, path::Path, sync::Arc};

use parking_lot::Mutex;
use storage::{Disk, Storage};
use testing::simulation::{Call, Fault, HookedStorage, Operation};

/// A directory that can be made to fail. All that fails changes nothing.
pub(super) struct FaultyDisk {
    storage: Arc<HookedStorage<Disk>>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    calls: usize,
    written: usize,
    failing: Range<usize>,
    sent: Vec<(u64, u64)>,
    before_rename: Option<Box<dyn FnOnce() + Send>>,
    shutdown: Option<Shutdown>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shutdown {
    /// With the next rename.
    Due,
    Done,
}

impl FaultyDisk {
    pub(super) fn over(directory: &Path) -> FaultyDisk {
        FaultyDisk::hooked(directory, |storage| storage)
    }

    /// Every file is another user's, as where a server gives all files to one user.
    pub(super) fn squashing_owners(directory: &Path) -> FaultyDisk {
        FaultyDisk::hooked(directory, |storage| storage.owned_by(65_534))
    }

    /// Files share what they have of a seed.
    pub(super) fn sharing(directory: &Path) -> FaultyDisk {
        FaultyDisk::hooked(directory, HookedStorage::sharing)
    }

    fn hooked(
        directory: &Path,
        change: impl FnOnce(HookedStorage<Disk>) -> HookedStorage<Disk>,
    ) -> FaultyDisk {
        let state = Arc::new(Mutex::new(State::default()));
        let asked = state.clone();
        let disk = Arc::new(Disk::open(directory).unwrap());
        let storage = HookedStorage::new(disk, move |call| {
            let rename = call.operation == Operation::Rename;
            let before = if rename { asked.lock().before_rename.take() } else { None };
            // Without the lock: it may use the directory.
            if let Some(before) = before {
                before();
            }
            asked.lock().called(call)
        });
        FaultyDisk { storage: Arc::new(change(storage)), state }
    }

    pub(super) fn storage(&self) -> Arc<dyn Storage> {
        self.storage.clone()
    }

    /// Changes that were asked for so far.
    pub(super) fn calls(&self) -> usize {
        self.state.lock().calls
    }

    /// Bytes that were written to files so far.
    pub(super) fn written(&self) -> usize {
        self.state.lock().written
    }

    /// Start and length of each writeback that was begun, in order.
    pub(super) fn sent(&self) -> Vec<(u64, u64)> {
        self.state.lock().sent.clone()
    }

    /// With the next rename the file system shuts down, as XFS does: from then on everything fails but a directory's sync,
    /// which does nothing.
    pub(super) fn shut_down_after_rename(&self) {
        self.state.lock().shutdown = Some(Shutdown::Due);
    }

    /// Somebody comes in between the last look and the next rename.
    pub(super) fn before_rename(&self, hook: impl FnOnce() + Send + 'static) {
        self.state.lock().before_rename = Some(Box::new(hook));
    }

    /// The changes with these numbers fail. A range without end is a crash: whatever is done afterwards, a drop included,
    /// leaves the directory as it is.
    pub(super) fn fail_calls(&self, numbers: Range<usize>) {
        self.state.lock().failing = numbers;
    }
}

impl State {
    fn called(&mut self, call: &Call<'_>) -> Option<Fault> {
        if call.operation == Operation::BeginWriteback {
            self.sent.push((call.at, call.len));
        }
        let shut_down = self.shutdown == Some(Shutdown::Done);
        if !call.operation.changes() || shut_down && call.operation == Operation::Sync {
            return Some(Fault::NotSynced);
        }
        let number = self.calls;
        self.calls += 1;
        if shut_down || self.failing.contains(&number) {
            return Some(Fault::Io);
        }
        match call.operation {
            Operation::WriteAt => self.written += call.len as usize,
            Operation::Rename => self.shutdown = self.shutdown.map(|_| Shutdown::Done),
            _ => {}
        }
        Some(Fault::NotSynced)
    }
}
