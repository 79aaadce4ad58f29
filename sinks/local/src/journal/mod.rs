//! The journal of a staged file: what the attempt is, how far it is durable, and whether it was about to be published.
//! Knows nothing of the bytes whose progress it keeps; what follows from a journal is decided elsewhere.

mod record;
#[cfg(test)]
mod tests;

use std::{io, sync::Arc};

use contract::AttemptId;

pub(crate) use record::{Announced, Intent, Records, Slots};
pub use record::{Header, JOURNAL_LEN_MAX, RECORD_LEN, WriterId, header};

use cofferdam_io::Patience;
use contract::Checkpoint;
use storage::{Storage, StorageFile};

use self::record::{HEADER_AT, INTENT_AT, slot_at};

/// A journal that is written. Nothing here is tried again: the first error ends the attempt.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Arc<dyn StorageFile>,
    generation: u64,
    footing: Footing,
}

/// Whether what the journal held when it was opened, and its name, survive a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Footing {
    Unknown,
    Durable,
}

impl Journal {
    /// Reads what a file holds.
    pub(crate) fn read(file: &dyn StorageFile) -> io::Result<Records> {
        let mut bytes = vec![0; JOURNAL_LEN_MAX];
        let (mut len, mut patience) = (0, Patience::default());
        while len < bytes.len() {
            match file.read_at(&mut bytes[len..], len as u64) {
                Ok(0) => break,
                Ok(count) => {
                    len += count;
                    patience.renew();
                }
                Err(error) => patience.endure(error)?,
            }
        }
        Ok(Records::parse(&bytes[..len]))
    }

    /// Empties a file that holds a journal, so that nothing of it can come back after a crash.
    pub(crate) fn erase(file: &dyn StorageFile) -> io::Result<()> {
        if file.len()? > 0 {
            file.set_len(0)?;
            file.sync_all()?;
        }
        Ok(())
    }

    /// Goes on with a journal whose newest slot is of this generation; 0 where there is none.
    pub(crate) fn new(file: Arc<dyn StorageFile>, generation: u64) -> Self {
        Self { file, generation, footing: Footing::Unknown }
    }

    /// Begins a journal in an empty file. Nothing is synced before there is progress to keep: a crash until then leaves a
    /// journal that says that there is none.
    pub(crate) fn begin(&self, attempt_id: &AttemptId) -> io::Result<()> {
        self.file.write_all_at(&header(attempt_id), HEADER_AT)
    }

    /// Whether there is a slot in it.
    pub(crate) fn has_slot(&self) -> bool {
        self.generation > 0
    }

    /// Keeps a checkpoint, durably. Everything up to it is durable already.
    pub(crate) fn keep(&mut self, checkpoint: &Checkpoint, directory: &dyn Storage) -> io::Result<()> {
        self.settle(directory)?;
        self.write_slot(Some(checkpoint))
    }

    /// Gives up, durably, the checkpoints that it holds. Into both slots, one after the other: the first is enough for a crash,
    /// the second so that damage to the first does not bring a checkpoint back.
    pub(crate) fn forget(&mut self, directory: &dyn Storage) -> io::Result<()> {
        if !self.has_slot() {
            return Ok(());
        }
        self.settle(directory)?;
        self.write_slot(None)?;
        self.write_slot(None)
    }

    fn write_slot(&mut self, checkpoint: Option<&Checkpoint>) -> io::Result<()> {
        let exhausted = || io::Error::other("the journal's generations are used up");
        let generation = self.generation.checked_add(1).ok_or_else(exhausted)?;
        let slot = record::slot(generation, checkpoint);
        self.file.write_all_at(&slot, slot_at(generation))?;
        self.file.sync_data()?;
        self.generation = generation;
        Ok(())
    }

    /// Notes, durably, that this file is whole and durable and is about to be renamed to the target.
    pub(crate) fn intend(&mut self, announced: &Announced, directory: &dyn Storage) -> io::Result<()> {
        self.settle(directory)?;
        self.file.write_all_at(&record::intent(announced), INTENT_AT)?;
        self.file.sync_data()
    }

    /// Once an attempt, before its first slot or intent. Without a durable header what stands behind it would be taken
    /// for damage; and a slot that an earlier attempt left may be in memory only, where a crash takes it away while the
    /// other one is being written.
    fn settle(&mut self, directory: &dyn Storage) -> io::Result<()> {
        match self.footing {
            Footing::Durable => Ok(()),
            Footing::Unknown => {
                self.file.sync_all()?;
                directory.sync()?;
                self.footing = Footing::Durable;
                Ok(())
            }
        }
    }
}
