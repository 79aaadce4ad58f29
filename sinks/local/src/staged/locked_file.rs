//! A file under a name that is fixed by the target's: made or found, locked, and removed by the lock's holder alone.
//! Knows nothing of what is in it.

use std::{
    ffi::{OsStr, OsString},
    io,
    sync::Arc,
};

use storage::{FileId, Lock, StorageFile, TargetDir, TargetError};

/// A locked file that, when it was locked, stood at its name. Only its holder removes or renames it.
#[derive(Debug)]
pub(super) struct LockedFile {
    pub(super) file: Arc<dyn StorageFile>,
    pub(super) name: OsString,
    pub(super) id: FileId,
}

impl LockedFile {
    /// Attempts at making or finding a file while others make and remove theirs.
    pub(super) const ATTEMPTS_MAX: usize = 16;

    /// Makes a new file, and removes what a crashed writer left at its name.
    pub(super) fn replace(target_dir: &TargetDir, name: &OsStr) -> Result<Self, TargetError> {
        for _ in 0..Self::ATTEMPTS_MAX {
            if let Some(locked_file) = Self::create(target_dir, name)? {
                return Ok(locked_file);
            }
            if let Some(stale) = Self::find(target_dir, name)? {
                stale
                    .remove(target_dir)
                    .map_err(|error| TargetError::io(&target_dir.sibling(name), "remove", error))?;
            }
        }
        Err(held(target_dir, name))
    }

    /// Makes a new file. None: something stands at the name, or another writer took the new file for a stale one and
    /// removed it before it was locked.
    pub(super) fn create(target_dir: &TargetDir, name: &OsStr) -> Result<Option<Self>, TargetError> {
        let file = match target_dir.storage.create(name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(cannot_create(target_dir, name, error)),
        };
        Self::lock_new(target_dir, name, file)
    }

    /// Takes the file that stands at the name, if one does. One that is locked belongs to a writer at work.
    pub(super) fn find(target_dir: &TargetDir, name: &OsStr) -> Result<Option<Self>, TargetError> {
        for _ in 0..Self::ATTEMPTS_MAX {
            let file = match target_dir.storage.open(name) {
                Ok(Some(file)) => file,
                Ok(None) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    return Err(TargetError::InTheWay { staging: target_dir.sibling(name) });
                }
                Err(error) => return Err(TargetError::io(&target_dir.sibling(name), "open", error)),
            };
            if let Some(locked_file) = Self::lock(target_dir, name, file)? {
                return Ok(Some(locked_file));
            }
        }
        Err(held(target_dir, name))
    }

    /// Removes the file, if it still is what stands at its name.
    pub(super) fn remove(&self, target_dir: &TargetDir) -> io::Result<()> {
        match target_dir.storage.id_at(&self.name)? {
            Some(there) if there == self.id => target_dir.storage.remove(&self.name),
            Some(_) | None => Ok(()),
        }
    }

    fn lock_new(
        target_dir: &TargetDir,
        name: &OsStr,
        file: Arc<dyn StorageFile>,
    ) -> Result<Option<Self>, TargetError> {
        let unlocked = file.clone();
        let locked = Self::lock(target_dir, name, file);
        if !matches!(locked, Ok(_) | Err(TargetError::Held { .. }))
            && let Ok(id) = unlocked.id()
        {
            // Where locks do not work, nobody else has one on it.
            let _ = Self { file: unlocked, name: name.into(), id }.remove(target_dir);
        }
        locked
    }

    /// None: the file does not stand at the name any more. Its last holder has removed or published it, and what stands
    /// there now is another's.
    fn lock(
        target_dir: &TargetDir,
        name: &OsStr,
        file: Arc<dyn StorageFile>,
    ) -> Result<Option<Self>, TargetError> {
        let failed = |action, error| TargetError::io(&target_dir.sibling(name), action, error);
        match file.try_lock().map_err(|error| failed("lock", error))? {
            Lock::Taken => {}
            Lock::Held => return Err(held(target_dir, name)),
        }
        let id = file.id().map_err(|error| failed("examine", error))?;
        let there = target_dir.storage.id_at(name).map_err(|error| failed("examine", error))?;
        Ok((there == Some(id)).then(|| Self { file, name: name.into(), id }))
    }
}

pub(super) fn held(target_dir: &TargetDir, name: &OsStr) -> TargetError {
    TargetError::Held { path: target_dir.path().into(), staging: target_dir.sibling(name) }
}

pub(super) fn cannot_create(target_dir: &TargetDir, name: &OsStr, error: io::Error) -> TargetError {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            TargetError::NotWritable { directory: target_dir.directory_path(), source: error }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            TargetError::NoRoom { directory: target_dir.directory_path(), needed: 0, free: None }
        }
        _ => TargetError::io(&target_dir.sibling(name), "create", error),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        path::Path,
    };

    use contract::IfExists;
    use rustix::fs::{FlockOperation, flock};

    use super::*;

    const NAME: &str = ".target.cofferdam-staging";

    fn place_in(directory: &Path) -> TargetDir {
        TargetDir::resolve(&directory.join("target"), IfExists::Refuse).unwrap()
    }

    /// A file that was opened under a name that has then gone to another writer's file.
    fn overtaken(directory: &Path, target_dir: &TargetDir) -> Arc<dyn StorageFile> {
        let opened = target_dir.storage.create(OsStr::new(NAME)).unwrap();
        fs::remove_file(directory.join(NAME)).unwrap();
        fs::write(directory.join(NAME), b"another's").unwrap();
        opened
    }

    #[test]
    fn a_new_file_that_was_removed_before_its_lock_gives_no_claim() {
        let directory = tempfile::tempdir().unwrap();
        let target_dir = place_in(directory.path());
        let opened = overtaken(directory.path(), &target_dir);
        assert!(LockedFile::lock_new(&target_dir, OsStr::new(NAME), opened).unwrap().is_none());
        assert_eq!(fs::read(directory.path().join(NAME)).unwrap(), b"another's");
    }

    #[test]
    fn a_stale_file_that_is_gone_when_it_is_removed_does_not_cost_another_writer_theirs() {
        let directory = tempfile::tempdir().unwrap();
        let target_dir = place_in(directory.path());
        let file = overtaken(directory.path(), &target_dir);
        let id = file.id().unwrap();
        LockedFile { file, name: NAME.into(), id }.remove(&target_dir).unwrap();
        assert_eq!(fs::read(directory.path().join(NAME)).unwrap(), b"another's");
    }

    #[test]
    fn a_new_file_that_another_writer_has_locked_is_theirs() {
        let directory = tempfile::tempdir().unwrap();
        let (target_dir, name) = (place_in(directory.path()), OsStr::new(NAME));
        let ours = target_dir.storage.create(name).unwrap();
        let theirs = File::open(directory.path().join(NAME)).unwrap();
        flock(&theirs, FlockOperation::LockExclusive).unwrap();
        assert!(matches!(LockedFile::lock_new(&target_dir, name, ours), Err(TargetError::Held { .. })));
        assert!(directory.path().join(NAME).exists());
    }
}
