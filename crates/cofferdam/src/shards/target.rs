//! The directory that shards become: private beside the target until all are there, then renamed, once.
//! It knows no manifest's signature and no source.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use ::parts::{MANIFEST_LEN_MAX, Manifest, Shard, ShardName};
use contract::IfExists;
use rustix::fs::{
    AtFlags, Dir, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, fsync, mkdirat, openat,
    renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use sources::Source;
use storage::{Disk, Storage as _, TargetDir};

use super::SignedManifest;
use crate::private_dir::open_private;
use crate::{Error, ErrorKind, Kept, Opener, Remedy, Restored, StreamDigest, record_file};

/// What came of a shard.
#[derive(Debug)]
#[non_exhaustive]
pub enum ShardRun {
    /// It was restored, beside the target.
    Restored(Box<Restored>),
    /// A run before this one had restored it.
    RestoredBefore,
}

/// A target for the shards of one manifest. Dropped before it is published, it leaves what was restored to the next run; [`discard`](crate::discard)
/// removes that.
#[derive(Debug)]
pub struct ShardsTarget {
    manifest: Manifest,
    target_dir: TargetDir,
    /// The private directory, locked as long as this lives: it holds the manifest's text, and the directory that is to become the target.
    private: OwnedFd,
    private_name: OsString,
}

impl ShardsTarget {
    /// Takes the place beside `target`, where nothing may be yet.
    ///
    /// # Errors
    /// [`ErrorKind::TargetExists`]; [`ErrorKind::TargetLocked`]: another process is restoring there; [`ErrorKind::JournalMismatch`]: what is
    /// kept beside the target is of another manifest, or not this user's alone; the medium's own.
    pub fn open(manifest: &SignedManifest, target: impl AsRef<Path>) -> Result<ShardsTarget, Error> {
        let target_dir = resolve(target.as_ref())?;
        if exists(&target_dir, target_dir.path())? {
            return Err(taken(target_dir.path()));
        }
        target_dir.check_writable().map_err(Error::target)?;
        let private_name = private_name(&target_dir);
        let path = target_dir.sibling(&private_name);
        match mkdirat(directory_of(&target_dir)?, &private_name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => {
                return Err(Error::io(format!("{} could not be made", path.display()), error.into()));
            }
        }
        let private = lock(&target_dir, &private_name)?.ok_or_else(|| busy(&path))?;
        let opened =
            ShardsTarget { manifest: manifest.manifest().clone(), target_dir, private, private_name };
        opened.claim()?;
        Ok(opened)
    }

    /// Refuses what another manifest's run has left; notes that it is this one's that begins.
    fn claim(&self) -> Result<(), Error> {
        let disk = self.disk()?;
        let text = self.manifest.to_text();
        if self.names(&self.private)?.contains(OsStr::new(SHARDS)) {
            let found = read_manifest(&disk).map_err(|error| self.failed("could not be read", error))?;
            return if found.as_deref() == Some(text.as_bytes()) { Ok(()) } else { Err(self.of_another()) };
        }
        // Nothing has been restored there, or what was has been published.
        match disk.remove(OsStr::new(MANIFEST)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(self.failed("keeps a file", error));
            }
            _ => {}
        }
        let put = record_file::put(&disk, OsStr::new(MANIFEST), text.as_bytes());
        put.map_err(|error| self.failed("takes no file", error))?;
        // Its mode is that of any new directory: nobody else gets through the one that it is in.
        let made = mkdirat(&self.private, SHARDS, Mode::RWXU | Mode::RWXG | Mode::RWXO);
        made.map_err(|error| self.failed("takes no directory", error.into()))
    }

    /// Whether `shard` is there, whole, and nothing of it is left to be done.
    ///
    /// # Errors
    /// The directory cannot be looked at.
    pub fn has(&self, shard: &Shard) -> Result<bool, Error> {
        self.has_in(&self.shards_dir()?, shard)
    }

    fn has_in(&self, shards: &OwnedFd, shard: &Shard) -> Result<bool, Error> {
        let stands = |name: &OsStr| match statat(shards, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(self.failed("could not be examined", error.into())),
        };
        let name = shard.name.as_os_str();
        // A restore that was killed after its rename has something left to do.
        for kept in KEPT {
            if stands(OsStr::from_bytes(&[b".", name.as_bytes(), kept].concat()))? {
                return Ok(false);
            }
        }
        stands(name)
    }

    /// Restores `shard` out of `source` beside the target, as `opener` says how: the stream of the manifest's digest, or none. What an interrupted
    /// run has of it is gone on from.
    ///
    /// # Errors
    /// As [`Opener::restore_to`]; [`ErrorKind::DigestMismatch`]: it is another stream. [`ErrorKind::Usage`]: the manifest has no such shard.
    pub fn restore(&self, opener: &Opener, shard: &Shard, source: impl Source) -> Result<ShardRun, Error> {
        if !self.manifest.shards().contains(shard) {
            return Err(Error::new(ErrorKind::Usage, format!("the manifest has no shard {}", shard.name)));
        }
        if self.has(shard)? {
            return Ok(ShardRun::RestoredBefore);
        }
        opener.refuse_seed("a shard is a part of its target")?;
        let opener =
            opener.clone().if_exists(IfExists::Refuse).expect_digest(StreamDigest(shard.stream_digest));
        // By the directory itself: whoever owns the one that it is in could lead its path elsewhere while the source is opened.
        let shards = self.shards_dir()?;
        let known_here = format!("/proc/self/fd/{}", shards.as_raw_fd());
        let restored = opener.restore_to(source, Path::new(&known_here).join(shard.name.as_os_str()));
        let restored =
            restored.map_err(|error| error.naming(&known_here, &self.shards_path().display().to_string()))?;
        Ok(ShardRun::Restored(Box::new(restored)))
    }

    /// The shards that are not there yet.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn missing(&self) -> Result<Vec<ShardName>, Error> {
        let (shards, mut missing) = (self.shards_dir()?, Vec::new());
        for shard in self.manifest.shards() {
            if !self.has_in(&shards, shard)? {
                missing.push(shard.name.clone());
            }
        }
        Ok(missing)
    }

    /// Gives the directory the target's name, durably, if all shards are in it and nothing else.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`]: shards are missing. [`ErrorKind::TargetExists`]: something has appeared there. [`ErrorKind::JournalMismatch`]: there is
    /// something else in the directory. [`ErrorKind::DurabilityUnknown`]: the target is in place, and may not survive a power cut. With any other nothing
    /// has changed.
    pub fn publish(self) -> Result<(), Error> {
        let missing = self.missing()?;
        if let Some(first) = missing.first() {
            let what = format!(
                "{} of {} shards are missing, {first} first",
                missing.len(),
                self.manifest.shards().len()
            );
            return Err(Error::new(ErrorKind::Usage, what).advise("Restore them, then publish."));
        }
        let shards = self.shards_dir()?;
        let due: BTreeSet<OsString> =
            self.manifest.shards().iter().map(|shard| shard.name.as_os_str().to_owned()).collect();
        if let Some(strange) = self.names(&shards)?.difference(&due).next() {
            let what = format!("{} is none of the shards", self.shards_path().join(strange).display());
            return Err(Error::new(ErrorKind::JournalMismatch, what)
                .advise("Remove it if you know who put it there, and publish again."));
        }
        for directory in [&shards, &self.private] {
            fsync(directory).map_err(|error| self.failed("could not be made durable", error.into()))?;
        }
        let (parent, name) = (directory_of(&self.target_dir)?, &self.target_dir.name);
        match renameat_with(&self.private, SHARDS, parent, name, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(Errno::EXIST | Errno::NOTEMPTY) => return Err(taken(self.target_dir.path())),
            Err(error) => {
                let what = format!("{} could not be given its name", self.target_dir.path().display());
                return Err(Error::io(what, error.into()));
            }
        }
        fsync(parent).map_err(|error| {
            let what =
                format!("{} is in place, and may not survive a power cut", self.target_dir.path().display());
            Error::new(ErrorKind::DurabilityUnknown, what)
                .advise("Run `sync` on its file system and look at the system's log; then verify the target.")
                .because(io::Error::from(error))
        })?;
        // What stays of it holds nothing, and is removed by `discard`.
        let _ = unlinkat(&self.private, MANIFEST, AtFlags::empty());
        let _ = unlinkat(parent, &self.private_name, AtFlags::REMOVEDIR);
        Ok(())
    }

    fn shards_dir(&self) -> Result<OwnedFd, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.private, SHARDS, flags, Mode::empty())
            .map_err(|error| self.failed("has lost its directory", error.into()))
    }

    fn shards_path(&self) -> PathBuf {
        self.target_dir.sibling(&self.private_name).join(SHARDS)
    }

    fn names(&self, directory: &OwnedFd) -> Result<BTreeSet<OsString>, Error> {
        let failed = |error: Errno| self.failed("could not be listed", error.into());
        let mut names = BTreeSet::new();
        for entry in Dir::read_from(directory.as_fd()).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                names.insert(name.to_owned());
            }
        }
        Ok(names)
    }

    fn disk(&self) -> Result<Disk, Error> {
        let cloned = self.private.try_clone();
        cloned.map(Disk::new).map_err(|error| self.failed("could not be opened again", error))
    }

    fn of_another(&self) -> Error {
        let what = "an interrupted restore of another manifest is kept beside the target";
        Error::new(ErrorKind::JournalMismatch, what).remedied(Remedy::ResumeOrDiscard(Kept::Restore))
    }

    fn failed(&self, what: &str, error: io::Error) -> Error {
        Error::io(format!("{} {what}", self.target_dir.sibling(&self.private_name).display()), error)
    }
}

/// Removes what is kept of shards for `target`, and says which directory that was.
pub(crate) fn discard(target: &Path) -> Result<Vec<PathBuf>, Error> {
    // What is no place for a target has nothing beside it; whoever discards the rest says what is wrong with it.
    let Ok(target_dir) = resolve(target) else { return Ok(Vec::new()) };
    let name = private_name(&target_dir);
    let path = target_dir.sibling(&name);
    let stat = statat(directory_of(&target_dir)?, &name, AtFlags::SYMLINK_NOFOLLOW);
    if matches!(stat, Err(Errno::NOENT)) {
        return Ok(Vec::new());
    }
    let Some(_locked) = lock(&target_dir, &name)? else { return Ok(Vec::new()) };
    fs::remove_dir_all(&path)
        .map_err(|error| Error::io(format!("{} could not be removed", path.display()), error))?;
    target_dir.storage.sync().map_err(|error| Error::io("the directory could not be synced", error))?;
    Ok(vec![path])
}

/// Opens the private directory and locks it; `None` if its name has gone, or is another's, by the time that it is locked.
fn lock(target_dir: &TargetDir, name: &OsStr) -> Result<Option<OwnedFd>, Error> {
    let path = target_dir.sibling(name);
    let Some(private) = open_private(target_dir, name)? else { return Ok(None) };
    match flock(&private, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(busy(&path)),
        Err(error) => return Err(Error::io(format!("{} could not be locked", path.display()), error.into())),
    }
    let failed = |error: Errno| Error::io(format!("{} could not be examined", path.display()), error.into());
    let locked = fstat(&private).map_err(failed)?;
    match statat(directory_of(target_dir)?, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(standing) if (standing.st_dev, standing.st_ino) == (locked.st_dev, locked.st_ino) => {
            Ok(Some(private))
        }
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn read_manifest(disk: &Disk) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = disk.open(OsStr::new(MANIFEST))? else { return Ok(None) };
    let mut found = vec![0; file.len()?.min(MANIFEST_LEN_MAX as u64 + 1) as usize];
    file.read_exact_at(&mut found, 0)?;
    Ok(Some(found))
}

/// The place of a directory that is not there yet: a slash at its end is none of its name.
fn resolve(target: &Path) -> Result<TargetDir, Error> {
    let target = target.components().as_path();
    TargetDir::resolve(target, IfExists::Refuse).map_err(Error::target)
}

fn exists(target_dir: &TargetDir, path: &Path) -> Result<bool, Error> {
    match statat(directory_of(target_dir)?, &target_dir.name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(Error::io(format!("{} could not be examined", path.display()), error.into())),
    }
}

fn taken(path: &Path) -> Error {
    Error::new(ErrorKind::TargetExists, format!("{} exists", path.display()))
        .advise("Shards become a directory that is new: give another name, or move that one away.")
}

fn busy(path: &Path) -> Error {
    Error::new(ErrorKind::TargetLocked, format!("another process is at work in {}", path.display()))
        .advise("Wait until it has ended.")
}

fn directory_of(target_dir: &TargetDir) -> Result<std::os::fd::BorrowedFd<'_>, Error> {
    target_dir.directory().ok_or_else(|| Error::new(ErrorKind::Usage, "the target is in no directory"))
}

fn private_name(target_dir: &TargetDir) -> OsString {
    storage::names::beside(&target_dir.name, SUFFIX, target_dir.name_len_max())
}

const SUFFIX: &[u8] = b".cofferdam-shards";
const _: () = assert!(SUFFIX.len() <= storage::names::SUFFIX_LEN_MAX);
/// In the private directory: the manifest's text, and what becomes the target.
const MANIFEST: &str = "manifest";
const SHARDS: &str = "shards";
/// What a restore keeps beside its target.
const KEPT: [&[u8]; 2] = [b".cofferdam-staging", b".cofferdam-journal"];
