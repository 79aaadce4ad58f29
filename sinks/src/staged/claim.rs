//! A file under a name that is fixed by the target's: made or found, locked, and removed by the lock's holder alone.
//! Knows nothing of what is in it.

use std::{
    ffi::{OsStr, OsString},
    io,
    sync::Arc,
};

use super::place::Place;
use crate::{
    TargetError,
    storage::{FileId, Lock, StorageFile},
};

/// A locked file that, when it was locked, stood at its name. Only its holder removes or renames it.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) file: Arc<dyn StorageFile>,
    pub(super) name: OsString,
    pub(super) id: FileId,
}

impl Claim {
    /// Attempts at making or finding a file while others make and remove theirs.
    pub(super) const ATTEMPTS_MAX: usize = 16;

    /// Makes a new file, and removes what a crashed writer left at its name.
    pub(super) fn replace(place: &Place, name: &OsStr) -> Result<Self, TargetError> {
        for _ in 0..Self::ATTEMPTS_MAX {
            if let Some(claim) = Self::create(place, name)? {
                return Ok(claim);
            }
            if let Some(stale) = Self::find(place, name)? {
                stale
                    .remove(place)
                    .map_err(|error| TargetError::io(&place.sibling(name), "remove", error))?;
            }
        }
        Err(held(place, name))
    }

    /// Makes a new file. None: something stands at the name, or another writer took the new file for a stale one and
    /// removed it before it was locked.
    pub(super) fn create(place: &Place, name: &OsStr) -> Result<Option<Self>, TargetError> {
        let file = match place.storage.create(name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(cannot_create(place, name, error)),
        };
        Self::lock_new(place, name, file)
    }

    /// Takes the file that stands at the name, if one does. One that is locked belongs to a writer at work.
    pub(super) fn find(place: &Place, name: &OsStr) -> Result<Option<Self>, TargetError> {
        for _ in 0..Self::ATTEMPTS_MAX {
            let file = match place.storage.open(name) {
                Ok(Some(file)) => file,
                Ok(None) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    return Err(TargetError::InTheWay { staging: place.sibling(name) });
                }
                Err(error) => return Err(TargetError::io(&place.sibling(name), "open", error)),
            };
            if let Some(claim) = Self::lock(place, name, file)? {
                return Ok(Some(claim));
            }
        }
        Err(held(place, name))
    }

    /// Removes the file, if it still is what stands at its name.
    pub(super) fn remove(&self, place: &Place) -> io::Result<()> {
        match place.storage.id_at(&self.name)? {
            Some(there) if there == self.id => place.storage.remove(&self.name),
            Some(_) | None => Ok(()),
        }
    }

    fn lock_new(
        place: &Place,
        name: &OsStr,
        file: Arc<dyn StorageFile>,
    ) -> Result<Option<Self>, TargetError> {
        let unlocked = file.clone();
        let locked = Self::lock(place, name, file);
        if !matches!(locked, Ok(_) | Err(TargetError::Held { .. }))
            && let Ok(id) = unlocked.id()
        {
            // Where locks do not work, nobody else has one on it.
            let _ = Self { file: unlocked, name: name.into(), id }.remove(place);
        }
        locked
    }

    /// None: the file does not stand at the name any more. Its last holder has removed or published it, and what stands
    /// there now is another's.
    fn lock(place: &Place, name: &OsStr, file: Arc<dyn StorageFile>) -> Result<Option<Self>, TargetError> {
        let failed = |action, error| TargetError::io(&place.sibling(name), action, error);
        match file.try_lock().map_err(|error| failed("lock", error))? {
            Lock::Taken => {}
            Lock::Held => return Err(held(place, name)),
        }
        let id = file.id().map_err(|error| failed("examine", error))?;
        let there = place.storage.id_at(name).map_err(|error| failed("examine", error))?;
        Ok((there == Some(id)).then(|| Self { file, name: name.into(), id }))
    }
}

pub(super) fn held(place: &Place, name: &OsStr) -> TargetError {
    TargetError::Held { path: place.path().into(), staging: place.sibling(name) }
}

pub(super) fn cannot_create(place: &Place, name: &OsStr, error: io::Error) -> TargetError {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            TargetError::NotWritable { directory: place.directory_path(), source: error }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            TargetError::NoRoom { directory: place.directory_path(), needed: 0, free: None }
        }
        _ => TargetError::io(&place.sibling(name), "create", error),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        path::Path,
    };

    use rustix::fs::{FlockOperation, flock};

    use super::*;
    use crate::Existing;

    const NAME: &str = ".target.cofferdam-staging";

    fn place_in(directory: &Path) -> Place {
        Place::resolve(&directory.join("target"), Existing::Refuse).unwrap()
    }

    /// A file that was opened under a name that has then gone to another writer's file.
    fn overtaken(directory: &Path, place: &Place) -> Arc<dyn StorageFile> {
        let opened = place.storage.create(OsStr::new(NAME)).unwrap();
        fs::remove_file(directory.join(NAME)).unwrap();
        fs::write(directory.join(NAME), b"another's").unwrap();
        opened
    }

    #[test]
    fn a_new_file_that_was_removed_before_its_lock_gives_no_claim() {
        let directory = tempfile::tempdir().unwrap();
        let place = place_in(directory.path());
        let opened = overtaken(directory.path(), &place);
        assert!(Claim::lock_new(&place, OsStr::new(NAME), opened).unwrap().is_none());
        assert_eq!(fs::read(directory.path().join(NAME)).unwrap(), b"another's");
    }

    #[test]
    fn a_stale_file_that_is_gone_when_it_is_removed_does_not_cost_another_writer_theirs() {
        let directory = tempfile::tempdir().unwrap();
        let place = place_in(directory.path());
        let file = overtaken(directory.path(), &place);
        let id = file.id().unwrap();
        Claim { file, name: NAME.into(), id }.remove(&place).unwrap();
        assert_eq!(fs::read(directory.path().join(NAME)).unwrap(), b"another's");
    }

    #[test]
    fn a_new_file_that_another_writer_has_locked_is_theirs() {
        let directory = tempfile::tempdir().unwrap();
        let (place, name) = (place_in(directory.path()), OsStr::new(NAME));
        let ours = place.storage.create(name).unwrap();
        let theirs = File::open(directory.path().join(NAME)).unwrap();
        flock(&theirs, FlockOperation::LockExclusive).unwrap();
        assert!(matches!(Claim::lock_new(&place, name, ours), Err(TargetError::Held { .. })));
        assert!(directory.path().join(NAME).exists());
    }
}
