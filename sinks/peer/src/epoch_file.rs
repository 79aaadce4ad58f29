//! The epoch on disk, beside the receiver's target: it grows with each greeting, also over a crash.
//! Knows no connection.
//!
//! 64 bytes, little-endian: 0:8 magic `CFDEPOCH`, 8:8 epoch, 16:16 restore id of the sender that holds it, 32:32 BLAKE3 of
//! the bytes before. A new one is written beside it, synced, and renamed over it, so that there is always a whole one.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::Path,
    sync::Arc,
};

use contract::IfExists;
use storage::{Disk, Ownership, Storage, StorageFile, names};

use super::message::{Epoch, RestoreId};

/// Where a receiver keeps its epoch.
#[derive(Debug)]
pub struct EpochFile {
    storage: Arc<dyn Storage>,
    name: OsString,
    holder: Option<(Epoch, RestoreId)>,
}

impl EpochFile {
    /// The file that goes with the target at `target`: `.NAME.cofferdam-epoch` beside it.
    ///
    /// # Errors
    /// As [`EpochFile::open`]; [`io::ErrorKind::InvalidInput`] where `target` names no file.
    pub fn beside(target: impl AsRef<Path>) -> io::Result<EpochFile> {
        let target = target.as_ref();
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let directory = target.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // With room for the name of the file that is renamed over it.
        let hidden = names::beside(name, SUFFIX, names::NAME_LEN_MAX - FRESH.len());
        EpochFile::open(Arc::new(Disk::open(directory)?), &hidden)
    }

    /// The file called `name`, which need not be there.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] where it is damaged: which senders were let in before is then not known.
    /// [`io::ErrorKind::PermissionDenied`] where it is another user's, or has a second name. The medium's own.
    pub fn open(storage: Arc<dyn Storage>, name: &OsStr) -> io::Result<EpochFile> {
        let holder = match storage.open(name)? {
            None => None,
            Some(file) => {
                check_ours(&*file, name)?;
                let mut bytes = [0; FILE_LEN];
                file.read_exact_at(&mut bytes, 0)?;
                Some(parse(&bytes).ok_or_else(damaged)?)
            }
        };
        Ok(EpochFile { storage, name: name.to_owned(), holder })
    }

    /// Who holds the receiver, and under which epoch.
    pub(super) fn holder(&self) -> Option<(Epoch, RestoreId)> {
        self.holder
    }

    /// The next epoch, for `restore`. It is durable when this returns.
    pub(super) fn advance(&mut self, restore: RestoreId) -> io::Result<Epoch> {
        let epoch = Epoch(self.holder.map_or(0, |(epoch, _)| epoch.0).checked_add(1).ok_or_else(damaged)?);
        let fresh = self.fresh_name();
        if self.storage.id_at(&fresh)?.is_some() {
            self.storage.remove(&fresh)?;
        }
        let file = self.storage.create(&fresh)?;
        file.write_all_at(&to_bytes(epoch, restore), 0)?;
        file.sync_all()?;
        self.storage.rename(&fresh, &self.name, IfExists::Replace)?;
        // The directory's sync alone is not enough: XFS that has shut down says yes to it, and no to the file's.
        file.sync_all()?;
        self.storage.sync()?;
        self.holder = Some((epoch, restore));
        Ok(epoch)
    }

    /// Takes the file away, once no sender may come back. The target is free for another receiver then: what that one has
    /// written stays.
    pub(super) fn remove(&self) -> io::Result<()> {
        let standing = EpochFile::open(self.storage.clone(), &self.name)?;
        match self.holder {
            Some(_) if standing.holder == self.holder => self.storage.remove(&self.name),
            Some(_) | None => Ok(()),
        }
    }

    fn fresh_name(&self) -> OsString {
        let mut name = self.name.clone();
        name.push(FRESH);
        name
    }
}

fn to_bytes(epoch: Epoch, restore: RestoreId) -> [u8; FILE_LEN] {
    let mut bytes = [0; FILE_LEN];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&epoch.0.to_le_bytes());
    bytes[16..32].copy_from_slice(&restore.0);
    let hash = blake3::hash(&bytes[..HASHED_LEN]);
    bytes[HASHED_LEN..].copy_from_slice(hash.as_bytes());
    bytes
}

fn parse(bytes: &[u8; FILE_LEN]) -> Option<(Epoch, RestoreId)> {
    let epoch = u64::from_le_bytes(*bytes[8..].first_chunk()?);
    let restore = RestoreId(*bytes[16..].first_chunk()?);
    // Whatever is not what would have been written is damaged.
    (to_bytes(Epoch(epoch), restore) == *bytes).then_some((Epoch(epoch), restore))
}

/// Whoever could put an epoch here could let an earlier sender in again.
fn check_ours(file: &dyn StorageFile, name: &OsStr) -> io::Result<()> {
    let whose = match file.ownership()? {
        Ownership::Ours => return Ok(()),
        Ownership::SomeoneElses { owner } => format!("belongs to user {owner}"),
        Ownership::Shared => "has a second name".to_owned(),
    };
    let name = name.to_string_lossy();
    let message =
        format!("{name}: the receiver's epoch file {whose}; remove it once no earlier sender is running");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

fn damaged() -> io::Error {
    let message = "the receiver's epoch file is damaged; remove it once no earlier sender is running";
    io::Error::new(io::ErrorKind::InvalidData, message)
}

const SUFFIX: &[u8] = b".cofferdam-epoch";
const FRESH: &str = "-new";
const MAGIC: &[u8; 8] = b"CFDEPOCH";
const HASHED_LEN: usize = 32;
const FILE_LEN: usize = 64;

#[cfg(test)]
mod tests {
    use std::fs;

    use testing::simulation::{Done, Extent, Failure, Promises, SimulatedDisk, Trial, crashes, faults};

    use super::*;

    /// Receivers that greet until the third epoch, over a disk that fails and loses power.
    struct Greetings;

    impl Trial for Greetings {
        fn disk(&self) -> SimulatedDisk {
            SimulatedDisk::new()
        }

        fn attempt(&self, storage: Arc<dyn Storage>, promises: &Promises) -> Result<Done, Failure> {
            let mut epochs = EpochFile::open(storage, OsStr::new("epoch"))?;
            let found = epochs.holder().map_or(0, |(epoch, _)| epoch.0);
            if found < promises.made() {
                return Err(Failure::wrong(format!("epoch {found} after {} was synced", promises.made())));
            }
            for expected in found + 1..=3 {
                let Epoch(epoch) = epochs.advance(RestoreId([7; 16]))?;
                if epoch != expected {
                    return Err(Failure::wrong(format!("epoch {epoch} where {expected} was due")));
                }
                promises.make(epoch);
            }
            Ok(if found < 3 { Done::Now } else { Done::Before })
        }

        fn check(&self, disk: &SimulatedDisk, done: bool) -> Result<(), String> {
            let file = disk.contents("epoch").map(|bytes| bytes.first_chunk().and_then(parse));
            match file {
                Some(None) => Err("the epoch file is torn".into()),
                Some(Some((Epoch(3), _))) => Ok(()),
                Some(Some(_)) | None if done => Err("the work is done, and not there".into()),
                Some(Some(_)) | None => Ok(()),
            }
        }
    }

    const EXTENT: Extent =
        Extent { states_max: 500, deep_every: 3, deep_states_max: 50, killed_states_max: 50, seed: 1 };

    #[test]
    fn no_power_cut_and_no_failing_call_takes_an_epoch_back() {
        let mut report = crashes(&Greetings, &EXTENT);
        report.merge(faults(&Greetings, &EXTENT));
        report.assert_clean();
        println!("{} crash states, {} two deep, {} faults", report.states, report.deep_states, report.faults);
        assert!(report.states > 100 && report.deep_states > 50 && report.faults > 20, "{report:?}");
    }

    #[test]
    fn a_target_with_the_longest_name_has_an_epoch_too() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("n".repeat(255));
        EpochFile::beside(&target).unwrap().advance(RestoreId([1; 16])).unwrap();
        assert_eq!(EpochFile::beside(&target).unwrap().holder(), Some((Epoch(1), RestoreId([1; 16]))));
    }

    #[test]
    fn an_epoch_outlives_the_receiver_and_grows() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("db");
        for expected in 1..4 {
            let mut epochs = EpochFile::beside(&target).unwrap();
            assert_eq!(epochs.holder().map_or(0, |(epoch, _)| epoch.0), expected - 1);
            assert_eq!(epochs.advance(RestoreId([expected as u8; 16])).unwrap(), Epoch(expected));
        }
        let epochs = EpochFile::beside(&target).unwrap();
        assert_eq!(epochs.holder(), Some((Epoch(3), RestoreId([3; 16]))));
        epochs.remove().unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_epoch_of_the_next_receiver_outlives_the_end_of_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("db");
        let mut before = EpochFile::beside(&target).unwrap();
        before.advance(RestoreId([1; 16])).unwrap();
        let mut next = EpochFile::beside(&target).unwrap();
        next.advance(RestoreId([2; 16])).unwrap();
        before.remove().unwrap();
        assert_eq!(EpochFile::beside(&target).unwrap().holder(), Some((Epoch(2), RestoreId([2; 16]))));
        next.remove().unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_epoch_that_is_another_users_or_has_a_second_name_is_refused_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let (target, file) = (directory.path().join("db"), directory.path().join(".db.cofferdam-epoch"));
        EpochFile::beside(&target).unwrap().advance(RestoreId([1; 16])).unwrap();
        let refused = |what: &str| {
            let error = EpochFile::beside(&target).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert!(
                error.to_string().contains(".db.cofferdam-epoch") && error.to_string().contains(what),
                "{error}"
            );
        };
        fs::hard_link(&file, directory.path().join("second")).unwrap();
        refused("second name");
        fs::remove_file(directory.path().join("second")).unwrap();
        assert!(EpochFile::beside(&target).is_ok());
        // Only root can make another user's file.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(65_534), None).unwrap();
            refused("user 65534");
        }
    }

    #[test]
    fn what_a_crash_left_of_a_new_one_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("db");
        fs::write(directory.path().join(".db.cofferdam-epoch-new"), "torn").unwrap();
        assert_eq!(EpochFile::beside(&target).unwrap().advance(RestoreId([1; 16])).unwrap(), Epoch(1));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn every_bit_and_every_length_of_a_damaged_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (target, file) = (directory.path().join("db"), directory.path().join(".db.cofferdam-epoch"));
        EpochFile::beside(&target).unwrap().advance(RestoreId([1; 16])).unwrap();
        let whole = fs::read(&file).unwrap();
        assert_eq!(whole.len(), FILE_LEN);
        for bit in 0..8 * FILE_LEN {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(&file, damaged).unwrap();
            assert!(EpochFile::beside(&target).is_err(), "bit {bit}");
        }
        for len in 0..FILE_LEN {
            fs::write(&file, &whole[..len]).unwrap();
            assert!(EpochFile::beside(&target).is_err(), "{len} bytes");
        }
    }
}
