//! The order in which bytes, checkpoints and the intent of a staged file become durable.
//! Knows neither the layout of the journal nor what a checkpoint means.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use contract::{AttemptId, Checkpoint, SyncTo};
use parking_lot::Mutex;
use storage::Storage;

use super::staging::Staging;
use crate::journal::{Announced, Journal, WriterId};

/// A staging file and the journal that vouches for it.
pub(super) struct Progress {
    staging: Arc<Staging>,
    /// Held across the journal's I/O: only publish and the one thread that syncs ever want it, and never both at once.
    journal: Mutex<Journal>,
    directory: Arc<dyn Storage>,
    /// What is said too late or too far is at worst written later: the order with other memory does not matter.
    synced_to: AtomicU64,
}

impl Progress {
    pub(super) fn new(staging: Arc<Staging>, journal: Journal, directory: Arc<dyn Storage>) -> Self {
        Self { staging, journal: Mutex::new(journal), directory, synced_to: AtomicU64::new(0) }
    }

    pub(super) fn begin(&self, attempt_id: &AttemptId) -> io::Result<()> {
        self.journal.lock().begin(attempt_id)
    }

    pub(super) fn has_slot(&self) -> bool {
        self.journal.lock().has_slot()
    }

    /// Up to where the last sync found the file whole.
    pub(super) fn synced_to(&self) -> u64 {
        self.synced_to.load(Ordering::Relaxed)
    }

    /// Gives up the checkpoints of the attempts before.
    pub(super) fn forget(&self) -> io::Result<()> {
        let forgotten = self.journal.lock().forget(&*self.directory);
        forgotten.inspect_err(|error| self.staging.written.lock().fail_for(error))
    }

    /// The staging file is whole and durable, and `writer` wrote it.
    pub(super) fn intend(&self, writer: WriterId, mode_due: Option<u32>) -> io::Result<()> {
        let announced = Announced { stamp: self.staging.file.stamp()?, writer, mode_due };
        self.journal.lock().intend(&announced, &*self.directory)
    }

    /// Data before the checkpoint that vouches for it.
    fn keep(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        let whole_to = self.staging.written.lock().whole_to();
        self.staging.file.sync_data()?;
        self.synced_to.store(whole_to, Ordering::Relaxed);
        self.journal.lock().keep(checkpoint, &*self.directory)
    }
}

impl SyncTo for Progress {
    fn make_durable(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        self.staging.written.lock().check_live()?;
        self.keep(checkpoint).inspect_err(|error| self.staging.written.lock().fail_for(error))
    }
}
