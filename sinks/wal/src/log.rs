//! The log as an open file: locked, made, appended to, and how far it is durable.
//! Knows records as bytes, and segments not at all.

use std::{
    ffi::{OsStr, OsString},
    fmt, io,
    sync::Arc,
};

use contract::AttemptId;
use storage::{Lock, Ownership, Storage, StorageFile};

use super::{
    Lsn, WalError,
    kept::Anchors,
    layout::{Epoch, HEADER_AT, Header, SLOTS_AT, Slot},
    recovery::{self, NewestSlot, Opening, Refusal, Scan},
};

/// The log's file, which no other writer has as long as this value lives.
pub(super) struct Log {
    storage: Arc<dyn Storage>,
    name: OsString,
    pub(super) file: Arc<dyn StorageFile>,
}

impl Log {
    /// Openings while others make and remove their logs at the same name.
    const ATTEMPTS_MAX: usize = 16;

    /// Opens the file at `name`, or makes an empty one, and locks it.
    pub(super) fn lock(storage: Arc<dyn Storage>, name: &OsStr) -> Result<Log, WalError> {
        for _ in 0..Self::ATTEMPTS_MAX {
            let (file, is_found) = match storage.open(name).map_err(WalError::io("open"))? {
                Some(file) => (file, true),
                None => match storage.create(name) {
                    Ok(file) => (file, false),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                    Err(error) => return Err(WalError::io("create")(error)),
                },
            };
            let log = Log { storage: storage.clone(), name: name.into(), file };
            if let Lock::Held = log.file.try_lock().map_err(WalError::io("lock"))? {
                return Err(WalError::Held);
            }
            // Before it was locked, another writer may have removed it.
            if log.is_at_its_name().map_err(WalError::io("examine"))? {
                // What was made here is ours, even where the file system gives it another owner.
                if is_found {
                    check_ours(&*log.file)?;
                }
                return Ok(log);
            }
        }
        Err(WalError::Held)
    }

    /// What is in it. A log in which nothing ever was is made, with this label.
    pub(super) fn recover(&self, attempt_id: &AttemptId) -> Result<(AttemptId, Scan), WalError> {
        match recovery::examine(&*self.file)? {
            Opening::MakeAnew => {
                let newest = self.make(attempt_id).map_err(WalError::io("make"))?;
                Ok((
                    attempt_id.clone(),
                    Scan {
                        newest,
                        last: None,
                        end: Lsn::FIRST,
                        finished: None,
                        anchors: Arc::new(Anchors::new()),
                    },
                ))
            }
            Opening::Scan { attempt_id, newest } => Ok((attempt_id, recovery::scan(&*self.file, newest)?)),
            Opening::Refuse(refusal) => Err(refusal.into()),
        }
    }

    /// Draws the next epoch: everything before `end` becomes durable, everything behind it is forgotten, and nothing that
    /// is written from now on can be taken for what was there.
    ///
    /// What is not known to be durable, the header too, is written again before it is synced. An earlier process may have
    /// seen that very sync fail; then its pages are clean, a sync alone would answer `Ok`, and they are not on the medium.
    pub(super) fn begin_epoch(
        &self,
        attempt_id: &AttemptId,
        slots: &mut Slots,
        end: Lsn,
    ) -> io::Result<Epoch> {
        let Slot { epoch, durable, .. } = slots.newest.slot;
        self.file.write_all_at(&Header::encode(attempt_id), HEADER_AT)?;
        self.write_again(durable, end)?;
        self.file.sync_data()?;
        // Whoever made the log may have died before its name was durable.
        self.storage.sync()?;
        let epoch = epoch.next();
        // Into both: if one is ever unreadable, the other knows the epoch. Each is whole on the medium before the other
        // is overwritten.
        for _ in SLOTS_AT {
            slots.write(&self.file, epoch, end)?;
            self.file.sync_data()?;
        }
        if self.file.len()? > end.to_u64() {
            self.file.set_len(end.to_u64())?;
        }
        Ok(epoch)
    }

    /// Makes everything before `end` durable, then says so in a slot, which the next sync makes durable.
    pub(super) fn sync_to(&self, slots: &mut Slots, end: Lsn) -> io::Result<()> {
        let epoch = slots.newest.slot.epoch;
        self.file.sync_data()?;
        slots.write(&self.file, epoch, end)
    }

    /// As [`Log::sync_to`], of what an earlier process may have left, and the slot durable as well. The one that is found
    /// may be in memory only, where that process has seen its sync fail: it is written again, whatever it says.
    pub(super) fn settle(&self, slots: &mut Slots, end: Lsn) -> io::Result<()> {
        self.write_again(slots.newest.slot.durable, end)?;
        self.sync_to(slots, end)?;
        self.file.sync_data()
    }

    /// Removes it, for good.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.unlink()?;
        self.storage.sync()
    }

    /// Takes its name away, if it still is what stands there.
    pub(super) fn unlink(&self) -> io::Result<()> {
        if self.is_at_its_name()? { self.storage.remove(&self.name) } else { Ok(()) }
    }

    fn is_at_its_name(&self) -> io::Result<bool> {
        Ok(self.storage.id_at(&self.name)? == Some(self.file.id()?))
    }

    /// The order is that of the first table in `recovery`: a header that is there had its slots before it. The name becomes
    /// durable with the first epoch.
    fn make(&self, attempt_id: &AttemptId) -> io::Result<NewestSlot> {
        self.file.set_len(0)?;
        let first = Slot { generation: 0, epoch: Epoch(0), durable: Lsn::FIRST };
        let mut slots = Slots { newest: NewestSlot { slot: first, place: SLOTS_AT.len() - 1 } };
        for _ in SLOTS_AT {
            slots.write(&self.file, first.epoch, first.durable)?;
        }
        self.file.sync_data()?;
        self.file.write_all_at(&Header::encode(attempt_id), HEADER_AT)?;
        self.file.sync_all()?;
        Ok(slots.newest)
    }

    fn write_again(&self, start: Lsn, end: Lsn) -> io::Result<()> {
        let mut piece = Vec::new();
        let (mut at, end) = (start.to_u64(), end.to_u64());
        while at < end {
            let len = (end - at).min(PIECE_LEN);
            piece.resize(len as usize, 0);
            self.file.read_exact_at(&mut piece, at)?;
            self.file.write_all_at(&piece, at)?;
            at += len;
        }
        Ok(())
    }
}

/// Refuses a log that others can write as well, or have put there.
pub(super) fn check_ours(file: &dyn StorageFile) -> Result<(), WalError> {
    match file.ownership().map_err(WalError::io("examine"))? {
        Ownership::Ours if file.is_open_to_others().map_err(WalError::io("examine"))? => {
            Err(WalError::OpenToOthers)
        }
        Ownership::Ours => Ok(()),
        Ownership::SomeoneElses { owner } => Err(WalError::SomeoneElses { owner }),
        Ownership::Shared => Err(WalError::Shared),
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Log").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The two slots, of which the older is always the one that is written over.
#[derive(Debug)]
pub(super) struct Slots {
    newest: NewestSlot,
}

impl Slots {
    pub(super) fn new(newest: NewestSlot) -> Slots {
        Slots { newest }
    }

    pub(super) fn newest(&self) -> NewestSlot {
        self.newest
    }

    fn write(&mut self, file: &Arc<dyn StorageFile>, epoch: Epoch, durable: Lsn) -> io::Result<()> {
        let slot = Slot { generation: self.newest.slot.generation + 1, epoch, durable };
        let place = (self.newest.place + 1) % SLOTS_AT.len();
        file.write_all_at(&slot.encode(), SLOTS_AT[place])?;
        self.newest = NewestSlot { slot, place };
        Ok(())
    }
}

impl From<Refusal> for WalError {
    fn from(refusal: Refusal) -> WalError {
        match refusal {
            Refusal::NotALog => WalError::NotALog,
            Refusal::OtherVersion(version) => WalError::OtherVersion { version },
            Refusal::Damaged { lsn, what } => WalError::Damaged { lsn, what },
        }
    }
}

/// Bytes that are read and written again at once.
const PIECE_LEN: u64 = 1 << 20;
