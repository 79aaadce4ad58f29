//! The directory that shards become: private beside the target until all are there, then renamed, once.
//! It knows no manifest's signature and no source.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use ::parts::{MANIFEST_LEN_MAX, Manifest, Shard, ShardName};
use cofferdam_io::{descriptor_path, proc_error};
use contract::IfExists;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fsync, mkdirat, openat, stat, statat};
use rustix::io::Errno;
use sources::Source;
use storage::{FileStamp, Misplaced, Storage as _, TargetDir};
use tree_sink::rename_new;

use super::SignedManifest;
use super::beside::{
    FINISHED, LOCK, LockedDir, MANIFEST, PUBLISHING, SHARDS, busy, directory_of, discard, exists, lock,
    private_name, resolve,
};
use super::finished::state_of;
use crate::private_dir::{names_in, remove_whatever};
use crate::{Attempt, Error, ErrorKind, Kept, Opener, Remedy, Restored, StreamDigest, leftovers};

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
    private: LockedDir,
    private_name: OsString,
}

impl ShardsTarget {
    /// Takes the place beside `target`, where nothing may be yet. `None`: a run of the same manifest has put it in place, and was stopped
    /// before it had tidied up; that is done now.
    ///
    /// # Errors
    /// [`ErrorKind::TargetExists`]; [`ErrorKind::TargetLocked`]: another process is restoring there; [`ErrorKind::JournalMismatch`]: what is
    /// kept beside the target is of another manifest, or not this user's alone; the medium's own.
    pub fn open(manifest: &SignedManifest, target: impl AsRef<Path>) -> Result<Option<ShardsTarget>, Error> {
        let target_dir = resolve(target.as_ref())?;
        let private_name = private_name(&target_dir);
        if exists(&target_dir, target_dir.path())? {
            let path = target_dir.path().to_owned();
            let Ok(Some(private)) = lock(&target_dir, &private_name) else { return Err(taken(&path)) };
            let manifest = manifest.manifest().clone();
            let mut left = ShardsTarget { manifest, target_dir, private, private_name };
            if left.is_published()? {
                return left.settle().map(|_| None);
            }
            left.private.remove_lock()?;
            return Err(taken(&path));
        }
        target_dir.check_writable().map_err(Error::target)?;
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
        Ok(Some(opened))
    }

    /// The same, with nothing of what runs before it have restored beside the target, whatever their manifest was. A target that is there already is
    /// refused before that is removed.
    ///
    /// # Errors
    /// As of [`open`](ShardsTarget::open).
    pub fn open_anew(
        manifest: &SignedManifest,
        target: impl AsRef<Path>,
    ) -> Result<Option<ShardsTarget>, Error> {
        let target_dir = resolve(target.as_ref())?;
        if !exists(&target_dir, target_dir.path())? {
            discard(target.as_ref())?;
        }
        ShardsTarget::open(manifest, target)
    }

    /// Refuses what another manifest's run has left; notes that it is this one's that begins.
    fn claim(&self) -> Result<(), Error> {
        let text = self.manifest.to_text();
        if self.private.names()?.contains(OsStr::new(SHARDS)) {
            let found = self.private.read(OsStr::new(MANIFEST), NOTE_LEN_MAX)?;
            return if found.as_deref() == Some(text.as_bytes()) { Ok(()) } else { Err(self.of_another()) };
        }
        // Nothing has been restored there, or what was has been published.
        self.remove_notes()?;
        self.private.remove(OsStr::new(PUBLISHING))?;
        self.private.put(OsStr::new(MANIFEST), text.as_bytes())?;
        // Its mode is that of any new directory: nobody else gets through the one that it is in.
        let made = mkdirat(&self.private, SHARDS, Mode::RWXU | Mode::RWXG | Mode::RWXO);
        made.map_err(|error| self.private.failed("takes no directory", error.into()))
    }

    /// Whether `shard` was finished by this run or one before it, as `opener` would have it, and is what it was then, as far as the file system says: nothing
    /// of it has been written, moved or put there since. Its content is not read again.
    ///
    /// # Errors
    /// The directory cannot be looked at.
    pub fn has(&self, opener: &Opener, shard: &Shard) -> Result<bool, Error> {
        match self.manifest.shards().iter().position(|known| known == shard) {
            Some(index) => self.has_in(&self.shards_dir()?, index, shard, Some(&opener.choices())),
            None => Ok(false),
        }
    }

    /// The same, restored by these `choices`; without any, by whatever choices.
    fn has_in(
        &self,
        shards: &OwnedFd,
        index: usize,
        shard: &Shard,
        choices: Option<&str>,
    ) -> Result<bool, Error> {
        let stands = |name: &OsStr| match statat(shards, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(self.private.failed("could not be examined", error.into())),
        };
        let name = shard.name.as_os_str();
        // A restore that was killed after its rename has something left to do.
        for kept in KEPT {
            if stands(OsStr::from_bytes(&[b".", name.as_bytes(), kept].concat()))? {
                return Ok(false);
            }
        }
        let Some(known) = self.private.read(&finished_name(index), NOTE_LEN_MAX)? else { return Ok(false) };
        let state =
            state_of(shards, name).map_err(|error| self.private.failed("could not be examined", error))?;
        let Some(state) = state else { return Ok(false) };
        let noted = known.strip_prefix(state.as_bytes());
        Ok(noted.is_some_and(|noted| choices.is_none_or(|choices| noted == choices.as_bytes())))
    }

    /// Whether a directory has this name. Beside one there is what it was restored by; of a file nobody could tell whose mode and time it has.
    fn stands(&self, shards: &OwnedFd, name: &OsStr) -> Result<bool, Error> {
        match statat(shards, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(self.private.failed("could not be examined", error.into())),
        }
    }

    /// Removes what stands at the name of a shard that is not finished: its run was stopped, or somebody has changed it since.
    fn clear(&self, shards: &OwnedFd, index: usize, shard: &Shard) -> Result<(), Error> {
        self.private.remove(&finished_name(index))?;
        let name = shard.name.as_os_str();
        if self.names_in(shards)?.contains(name) {
            return remove_whatever(shards, name).map_err(|error| {
                self.private.failed(&format!("keeps a {} that is not finished", shard.name), error)
            });
        }
        match statat(shards, name, AtFlags::SYMLINK_NOFOLLOW) {
            // Found, and not listed: it is listed under another name.
            Ok(_) => Err(one_name(name)),
            Err(_) => Ok(()),
        }
    }

    /// Restores `shard` out of `source` beside the target, as `opener` says how: the stream of the manifest's digest, or none. What an interrupted
    /// run has of it is gone on from. What is finished there and was changed since, or restored by other options, is removed and restored anew.
    ///
    /// # Errors
    /// As [`Opener::restore_to`]; [`ErrorKind::DigestMismatch`]: it is another stream, or not as long as the manifest says.
    /// [`ErrorKind::Usage`]: the manifest has no such shard. [`ErrorKind::Unsupported`]: the file system has one name for two of the shards.
    pub fn restore(&self, opener: &Opener, shard: &Shard, source: impl Source) -> Result<ShardRun, Error> {
        let index = self.manifest.shards().iter().position(|known| known == shard);
        let index = index.ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("the manifest has no shard {}", shard.name))
        })?;
        if self.has(opener, shard)? {
            return Ok(ShardRun::RestoredBefore);
        }
        opener.refuse_seed("a shard is a part of its target")?;
        let opener =
            opener.clone().if_exists(IfExists::Refuse).expect_digest(StreamDigest(shard.stream_digest));
        // By the directory itself: whoever owns the one that it is in could lead its path elsewhere while the source is opened.
        let shards = self.shards_dir()?;
        let known_here = descriptor_path(&shards);
        stat(&known_here).map_err(|error| self.private.failed("takes no shard", proc_error(error)))?;
        let path = Path::new(&known_here).join(shard.name.as_os_str());
        let named = |error: Error| error.naming(&known_here, &self.shards_path().display().to_string());
        // A directory that was put in place, and whose run was stopped before it had said so, is compared with its stream and kept.
        let was_published = self.stands(&shards, shard.name.as_os_str())?
            && leftovers(&path, None).map_err(named)?.attempt == Attempt::Published;
        if !was_published {
            self.clear(&shards, index, shard)?;
        }
        let restored = match opener.restore_to(source, &path) {
            // Another tree, or one by other options.
            Err(error)
                if was_published
                    && matches!(error.kind(), ErrorKind::TargetExists | ErrorKind::JournalMismatch) =>
            {
                self.clear(&shards, index, shard)?;
                return Err(changed(shard));
            }
            restored => restored.map_err(named)?,
        };
        check_len(shard, restored.plaintext_len)?;
        let state = state_of(&shards, shard.name.as_os_str());
        let state =
            state.map_err(|error| self.private.failed("could not be examined", error))?.unwrap_or_default();
        self.private.put(&finished_name(index), [state, opener.choices()].concat().as_bytes())?;
        Ok(ShardRun::Restored(Box::new(restored)))
    }

    /// The shards that are not there yet.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn missing(&self) -> Result<Vec<ShardName>, Error> {
        let (shards, mut missing) = (self.shards_dir()?, Vec::new());
        for (index, shard) in self.manifest.shards().iter().enumerate() {
            if !self.has_in(&shards, index, shard, None)? {
                missing.push(shard.name.clone());
            }
        }
        Ok(missing)
    }

    /// Gives the directory the target's name, durably, if all shards are in it and nothing else. Gives the private directory, if that could not be removed: no
    /// shard is in it any more.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`]: shards are missing. [`ErrorKind::TargetExists`]: something has appeared there. [`ErrorKind::JournalMismatch`]: there is
    /// something else in the directory. [`ErrorKind::DurabilityUnknown`]: the target is in place, and may not survive a power cut; or somebody has moved it, or
    /// the directory that it is in, at the same time. With any other nothing has changed.
    pub fn publish(self) -> Result<Option<PathBuf>, Error> {
        let missing = self.missing()?;
        if let Some(first) = missing.first() {
            let are = if missing.len() == 1 { "is" } else { "are" };
            let all = self.manifest.shards().len();
            let what = format!("{} of {all} shards {are} missing, {first} first", missing.len());
            return Err(Error::new(ErrorKind::Usage, what).advise("Restore them, then publish."));
        }
        let shards = self.shards_dir()?;
        let due: BTreeSet<OsString> =
            self.manifest.shards().iter().map(|shard| shard.name.as_os_str().to_owned()).collect();
        if let Some(strange) = self.names_in(&shards)?.difference(&due).next() {
            let what = format!("{} is none of the shards", self.shards_path().join(strange).display());
            return Err(Error::new(ErrorKind::JournalMismatch, what)
                .advise("Remove it if you know who put it there, and publish again."));
        }
        if let Some(name) = due.difference(&self.names_in(&shards)?).next() {
            return Err(one_name(name));
        }
        for directory in [shards.as_fd(), self.private.as_fd()] {
            fsync(directory)
                .map_err(|error| self.private.failed("could not be made durable", error.into()))?;
        }
        let identity = self.private.disk().stamp_at(OsStr::new(SHARDS));
        let identity = identity.map_err(|error| self.private.failed("could not be examined", error))?;
        self.private.remove(OsStr::new(PUBLISHING))?;
        self.private.put(OsStr::new(PUBLISHING), &self.publishing(identity))?;
        let (parent, name) = (directory_of(&self.target_dir)?, &self.target_dir.name);
        // Nobody would look for the directory at a path that leads elsewhere by now.
        self.target_dir.check_path().map_err(|_| moved_before())?;
        match rename_new(&self.private, OsStr::new(SHARDS), parent, name) {
            Ok(()) => {}
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => return Err(taken(self.target_dir.path())),
            Err(error) => {
                let what = format!("{} could not be given its name", self.target_dir.path().display());
                return Err(Error::io(what, error.into()));
            }
        }
        self.settle()
    }

    /// Whether the directory that a run of this manifest was about to publish is the target.
    fn is_published(&self) -> Result<bool, Error> {
        let noted = self.private.read(OsStr::new(PUBLISHING), NOTE_LEN_MAX)?;
        let standing = self.target_dir.target_stamp().map_err(Error::target)?;
        Ok(noted.is_some_and(|noted| noted == self.publishing(standing)))
    }

    /// The note of which directory becomes the target, and of what manifest.
    fn publishing(&self, of: Option<FileStamp>) -> Vec<u8> {
        let (inode, created) = of.map_or((0, None), |stamp| (stamp.inode, stamp.created));
        format!("{inode} {created:?}\n{}", self.manifest.to_text()).into_bytes()
    }

    /// The target has its name: it is made durable, and what is beside it removed.
    fn settle(mut self) -> Result<Option<PathBuf>, Error> {
        let parent = directory_of(&self.target_dir)?;
        fsync(parent).map_err(|error| {
            let what =
                format!("{} is in place, and may not survive a power cut", self.target_dir.path().display());
            Error::new(ErrorKind::DurabilityUnknown, what)
                .advise("Run `sync` on its file system and look at the system's log; then verify the target.")
                .because(io::Error::from(error))
        })?;
        if !self.is_published()? {
            let (path, replaced) = (self.target_dir.path().to_owned(), None);
            return Err(misplaced(io::Error::other(Misplaced::SwappedTree { path, replaced })));
        }
        self.target_dir.check_path().map_err(misplaced)?;
        // What stays of it holds nothing, and is removed by `discard`. As long as a note says that the target is in place, the next run tidies up.
        let _ = self.remove_notes();
        let _ = self.private.remove_lock();
        let _ = self.private.remove(OsStr::new(PUBLISHING));
        let removed = self.private.remove_itself(parent, &self.private_name);
        Ok((!removed.unwrap_or(false)).then(|| self.private.path().to_owned()))
    }

    /// Removes all notes but the one that says that the target is in place.
    fn remove_notes(&self) -> Result<(), Error> {
        let names = self.private.names()?;
        let mut notes = names.iter().filter(|name| *name != LOCK && *name != PUBLISHING);
        notes.try_for_each(|name| self.private.remove(name))
    }

    fn shards_dir(&self) -> Result<OwnedFd, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.private, SHARDS, flags, Mode::empty())
            .map_err(|error| self.private.failed("has lost its directory", error.into()))
    }

    fn shards_path(&self) -> PathBuf {
        self.target_dir.sibling(&self.private_name).join(SHARDS)
    }

    fn names_in(&self, directory: &OwnedFd) -> Result<BTreeSet<OsString>, Error> {
        names_in(directory).map_err(|error| self.private.failed("could not be listed", error))
    }

    fn of_another(&self) -> Error {
        let what = format!(
            "{}: an interrupted restore of another manifest is kept there",
            self.private.path().display()
        );
        Error::new(ErrorKind::JournalMismatch, what).remedied(Remedy::ResumeOrDiscard(Kept::Restore))
    }
}

/// Of a stream that was found to have so many bytes of plaintext.
///
/// # Errors
/// [`ErrorKind::DigestMismatch`]: the manifest says otherwise.
fn check_len(shard: &Shard, found: u64) -> Result<(), Error> {
    if shard.plaintext_len == found {
        return Ok(());
    }
    let what =
        format!("it has {found} bytes, and the manifest says {} of {}", shard.plaintext_len, shard.name);
    Err(Error::new(ErrorKind::DigestMismatch, what)
        .advise("Look who has made the manifest, and make another."))
}

fn changed(shard: &Shard) -> Error {
    let what = format!(
        "{} had been restored, and is not what it was any more, or by other options: it has been removed",
        shard.name
    );
    Error::new(ErrorKind::JournalMismatch, what).advise("The same command restores it anew.")
}

fn moved_before() -> Error {
    let what = "nothing was put in place: the target's directory is another one than at the start";
    Error::new(ErrorKind::Io, what)
        .advise("Move that directory back and run the same command again, or discard what is kept in it.")
}

fn misplaced(error: io::Error) -> Error {
    let what = "the directory of the shards was published, and does not stand where it was to be";
    Error::new(ErrorKind::DurabilityUnknown, what)
        .advise("Somebody has moved files at the same time. Look before this is run again.")
        .because(error)
}

fn one_name(name: &OsStr) -> Error {
    let what = format!("the file system takes {} for the name of another shard", name.display());
    Error::new(ErrorKind::Unsupported, what)
        .advise("Restore where names that differ in the case of letters are two names.")
}

/// A name of a shard may be too long for one with something before it.
fn finished_name(index: usize) -> OsString {
    OsString::from_vec([FINISHED, index.to_string().as_bytes()].concat())
}

fn taken(path: &Path) -> Error {
    Error::new(ErrorKind::TargetExists, format!("{} exists", path.display()))
        .advise("Shards become a directory that is new: give another name, or move that one away.")
}

/// Bytes of a note: a manifest's text, and a line.
const NOTE_LEN_MAX: usize = MANIFEST_LEN_MAX + 256;
/// What a restore keeps beside its target.
const KEPT: [&[u8]; 2] = [b".cofferdam-staging", b".cofferdam-journal"];
