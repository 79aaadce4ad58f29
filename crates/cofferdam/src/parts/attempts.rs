//! The private directory beside a target where attempts at parts have their files, and their receipts.
//! It knows names and files; what is in them is not its.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parts::{AttemptName, PLAN_LEN_MAX, PlanId};
use rustix::fs::{AtFlags, Mode, chmodat, mkdirat, unlinkat};
use rustix::io::Errno;
use storage::{Disk, Lock, Storage as _, StorageFile, TargetDir};

use crate::private_dir::{PrivateDir, is_kept_open, names_in};
use crate::{Error, ErrorKind};

/// The directory, opened once. While it is, its files are reached whatever becomes of its name; and once it has been removed, nothing
/// can be made in it.
pub(super) struct AttemptsDir {
    private: PrivateDir,
}

impl AttemptsDir {
    /// Makes it for `plan`, beside its target, with the plan's text in it.
    pub(super) fn create(target_dir: &TargetDir, plan: PlanId, text: &str) -> Result<AttemptsDir, Error> {
        let name = name_of(target_dir, plan);
        let path = target_dir.sibling(&name);
        let directory = directory_of(target_dir)?;
        let made = mkdirat(directory, &name, Mode::RWXU).map_err(io::Error::from);
        let made = made.and_then(|()| {
            // No plan names it yet.
            target_dir.storage.sync().inspect_err(|_| _ = unlinkat(directory, &name, AtFlags::REMOVEDIR))
        });
        made.map_err(|error| Error::io(format!("{} could not be made", path.display()), error))?;
        let attempts = AttemptsDir::open(target_dir, plan)?.ok_or_else(|| taken_away(&path))?;
        match attempts.put(OsStr::new(PLAN), text.as_bytes()) {
            Ok(()) => Ok(attempts),
            Err(error) => {
                attempts.remove_all(target_dir, plan, None)?;
                Err(error)
            }
        }
    }

    /// Opens the one of `plan`; `None` where there is none, or none any more.
    ///
    /// # Errors
    /// What stands there is no directory, another user's, or open to others: who can write to it could put any bytes there.
    pub(super) fn open(target_dir: &TargetDir, plan: PlanId) -> Result<Option<AttemptsDir>, Error> {
        let name = name_of(target_dir, plan);
        Ok(PrivateDir::open(target_dir, &name)?.map(|private| AttemptsDir { private }))
    }

    /// Refuses a plan whose text is not the one that the directory was made for: whoever can write to the plan's own directory may have
    /// put another one there, and its key. Where there is none, nothing is refused.
    pub(super) fn check_plan(&self, text: &str) -> Result<(), Error> {
        match self.read(OsStr::new(PLAN), PLAN_LEN_MAX)? {
            Some(found) if found != text.as_bytes() => {
                let what = format!("{} was made for another plan than this", self.path().display());
                Err(Error::new(ErrorKind::JournalMismatch, what)
                    .advise("Look who has changed the plan or its key since it was made."))
            }
            _ => Ok(()),
        }
    }

    /// Whether the plan's text is there: it is from before the plan is, until the directory is removed.
    pub(super) fn has_plan(&self) -> Result<bool, Error> {
        self.private
            .open_file(OsStr::new(PLAN))
            .map(|file| file.is_some())
            .map_err(|error| self.failed("has a plan that cannot be opened", error))
    }

    /// For messages.
    pub(super) fn path(&self) -> &Path {
        self.private.path()
    }

    /// The directory itself.
    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        self.private.as_fd()
    }

    /// Where files are made.
    pub(super) fn storage(&self) -> Arc<Disk> {
        Arc::new(self.private.disk().clone())
    }

    /// Takes the lock of whoever commits or gives up. It goes with the file.
    pub(super) fn lock(&self) -> Result<Arc<dyn StorageFile>, Error> {
        self.private.lock(OsStr::new(LOCK))?.ok_or_else(|| {
            let what = "another process is committing or giving up the same plan";
            Error::new(ErrorKind::TargetLocked, what).advise("Wait until it has ended.")
        })
    }

    /// Puts a file there, as a whole.
    pub(super) fn put(&self, name: &OsStr, content: &[u8]) -> Result<(), Error> {
        self.private.put(name, content)
    }

    /// The content of a file there, as far as `len_max` bytes and one more.
    pub(super) fn read(&self, name: &OsStr, len_max: usize) -> Result<Option<Vec<u8>>, Error> {
        self.private.read(name, len_max)
    }

    /// The file of an attempt, to be read; `None` where it is not there, or no regular file.
    pub(super) fn open_part(&self, part: u64, attempt: AttemptName) -> Result<Option<File>, Error> {
        let name = part_name(part, attempt);
        self.private
            .open_file(&name)
            .map_err(|error| self.failed(&format!("has a {} that cannot be opened", name.display()), error))
    }

    /// The file of a member of the tree that an attempt has made, to be read; `None` as above.
    pub(super) fn open_member(
        &self,
        part: u64,
        attempt: AttemptName,
        number: usize,
    ) -> Result<Option<File>, Error> {
        let name = member_name(part, attempt, number);
        let opened = match self.private.open_file(&name) {
            // It is in the tree of a commit that was killed as well, and has got the mode that was sealed.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                chmodat(&self.private, &name, Mode::RUSR | Mode::WUSR, AtFlags::empty())
                    .map_err(io::Error::from)
                    .and_then(|()| self.private.open_file(&name))
            }
            opened => opened,
        };
        opened.map_err(|error| self.failed(&format!("has a {} that cannot be opened", name.display()), error))
    }

    /// The receipts that there are, by their names alone: part and attempt.
    pub(super) fn receipts(&self) -> Result<Vec<(u64, AttemptName)>, Error> {
        let mut found: Vec<_> =
            self.private.names()?.iter().filter_map(|name| parse_name(name.as_bytes(), RECEIPT)).collect();
        // Whoever asks twice takes the same.
        found.sort_unstable();
        Ok(found)
    }

    /// Removes what dead attempts at `part` have left: files that nobody holds locked, and that have not been written since well before
    /// the attempt `ours` began, by the file system's own clock; and of an attempt that has no other, those of members.
    pub(super) fn remove_dead(&self, part: u64, ours: &OsStr) -> Result<(), Error> {
        let begins = [format!(".{PART}{part}-"), format!("{PART}{part}-")];
        let names = self.private.names()?;
        // What has a receipt is not dead, but done. After the names: an attempt that has ended since has one by now.
        let receipts = self.receipts()?;
        let is_of_dead = |name: &[u8]| {
            begins.iter().any(|begins| name.starts_with(begins.as_bytes()))
                && !parse_name(name, PART).is_some_and(|attempt| receipts.contains(&attempt))
        };
        let disk = self.private.disk();
        let Ok(Some(now)) = disk.stamp_at(ours) else { return Ok(()) };
        let is_dead = |name: &OsStr| -> io::Result<bool> {
            let Some(file) = disk.open(name)? else { return Ok(false) };
            let idle = now.modified.seconds.saturating_sub(file.stamp()?.modified.seconds);
            Ok(idle > IDLE_SECONDS_MIN && file.try_lock()? == Lock::Taken)
        };
        for name in names.iter().filter(|name| is_of_dead(name.as_bytes())) {
            // What cannot be told may be alive, and goes with the directory.
            if is_dead(name).unwrap_or(false) {
                let _ = disk.remove(name);
            }
        }
        // An attempt makes its part's file before all others, which are not locked, and gives it another name when it has written them all.
        let has_file = |attempt: AttemptName| {
            let name = part_name(part, attempt);
            [staging_name(&name), name].iter().any(|name| disk.open(name).map_or(true, |file| file.is_some()))
        };
        for (name, attempt) in names.iter().filter_map(|name| Some((name, parse_member(name, part)?))) {
            if !receipts.contains(&(part, attempt)) && !has_file(attempt) && is_dead(name).unwrap_or(false) {
                let _ = disk.remove(name);
            }
        }
        Ok(())
    }

    /// The time by which the file system stamps what is changed here now, in nanoseconds since 1970, as far as that can be found out.
    pub(super) fn file_system_time(&self) -> Option<u64> {
        let disk = self.private.disk();
        let name = OsString::from(format!(".{}{CLOCK}", AttemptName::generate().ok()?));
        let stamp = disk.create(&name).and_then(|file| file.stamp());
        // Closed before: of an open one some file systems keep another name.
        let _ = disk.remove(&name);
        let modified = stamp.ok()?.modified;
        u64::try_from(modified.seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(modified.nanos.into())
    }

    /// Removes an attempt: first what says that it is one.
    pub(super) fn remove_attempt(&self, part: u64, attempt: AttemptName) -> Result<(), Error> {
        self.remove(&receipt_name(part, attempt))?;
        for name in self.private.names()?.iter().filter(|name| parse_member(name, part) == Some(attempt)) {
            self.private.remove_whatever(name)?;
        }
        self.private.remove_whatever(&part_name(part, attempt))
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: &OsStr) -> Result<(), Error> {
        self.private.remove(name)
    }

    /// Removes the directory with all that is in it. An attempt that is still at work can make no file in it from then on. `lock` is of whoever commits
    /// or gives up, and is kept until nothing is left to commit.
    pub(super) fn remove_all(
        self,
        target_dir: &TargetDir,
        plan: PlanId,
        mut lock: Option<Arc<dyn StorageFile>>,
    ) -> Result<(), Error> {
        let name = name_of(target_dir, plan);
        for _ in 0..REMOVALS_MAX {
            // Last what says whose it is, for until then it is found by its plan alone; and then the lock, so that nobody commits meanwhile.
            let is_last = |name: &OsString| name == PLAN || name == LOCK || is_kept_open(name);
            for name in self.private.names()?.iter().filter(|name| !is_last(name)) {
                self.private.remove_whatever(name)?;
            }
            self.remove(OsStr::new(PLAN))?;
            self.remove(OsStr::new(LOCK))?;
            // Open, it would keep a name in the directory where files do that are removed while they are open (NFS). Whoever locks another one from now on
            // finds no plan.
            drop(lock.take());
            if self.private.remove_itself(directory_of(target_dir)?, &name)? {
                let synced = target_dir.storage.sync();
                return synced.map_err(|error| self.failed("may come back after a power cut", error));
            }
            // An attempt has just made a file.
        }
        Err(self.failed("could not be removed", Errno::NOTEMPTY.into()))
    }

    fn failed(&self, what: &str, error: io::Error) -> Error {
        self.private.failed(what, error)
    }
}

/// The file of an attempt.
pub(super) fn part_name(part: u64, attempt: AttemptName) -> OsString {
    format!("{PART}{part}-{attempt}").into()
}

/// What the file of an attempt is called while it is written ([`StagedFile`](local::StagedFile)).
fn staging_name(part_name: &OsStr) -> OsString {
    format!(".{}.cofferdam-staging", part_name.display()).into()
}

/// The receipt of an attempt.
pub(super) fn receipt_name(part: u64, attempt: AttemptName) -> OsString {
    format!("{RECEIPT}{part}-{attempt}").into()
}

/// The file of a member of the tree that an attempt has made, by the member's number among those of the attempt.
pub(super) fn member_name(part: u64, attempt: AttemptName, number: usize) -> OsString {
    format!("{MEMBER}{part}-{attempt}-{number}").into()
}

/// The attempt at `part` that a name is of, if it is that of a member's file.
fn parse_member(name: &OsStr, part: u64) -> Option<AttemptName> {
    let rest = name.to_str()?.strip_prefix(MEMBER)?.strip_prefix(&part.to_string())?.strip_prefix('-')?;
    AttemptName::parse(rest.split_once('-')?.0)
}

fn parse_name(name: &[u8], begins: &str) -> Option<(u64, AttemptName)> {
    let rest = std::str::from_utf8(name).ok()?.strip_prefix(begins)?;
    let (part, attempt) = rest.split_once('-')?;
    let found = (part.parse().ok()?, AttemptName::parse(attempt)?);
    // One spelling alone.
    (format!("{begins}{}-{}", found.0, found.1).as_bytes() == name).then_some(found)
}

fn name_of(target_dir: &TargetDir, plan: PlanId) -> OsString {
    let id = plan.to_string();
    let suffix = [SUFFIX, &id.as_bytes()[..ID_DIGITS]].concat();
    storage::names::beside(&target_dir.name, &suffix, target_dir.name_len_max())
}

/// The directories of plans beside a target, by their names alone.
pub(crate) fn beside(target_dir: &TargetDir) -> Result<Vec<PathBuf>, Error> {
    let suffix = [SUFFIX, &[b'0'; ID_DIGITS]].concat();
    let any = storage::names::beside(&target_dir.name, &suffix, target_dir.name_len_max());
    let begins = &any.as_bytes()[..any.len() - ID_DIGITS];
    let is_one = |name: &OsStr| {
        let id = name.as_bytes().strip_prefix(begins).unwrap_or_default();
        id.len() == ID_DIGITS && id.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    };
    let names = names_in(&directory_of(target_dir)?);
    let names = names.map_err(|error| Error::io("the target's directory could not be listed", error))?;
    Ok(names.iter().filter(|name| is_one(name)).map(|name| target_dir.sibling(name)).collect())
}

fn directory_of(target_dir: &TargetDir) -> Result<BorrowedFd<'_>, Error> {
    target_dir.directory().ok_or_else(|| Error::new(ErrorKind::Usage, "the target is in no directory"))
}

fn taken_away(path: &Path) -> Error {
    let what = format!("{} was taken away as soon as it was made", path.display());
    Error::io(what, io::ErrorKind::NotFound.into())
}

const SUFFIX: &[u8] = b".cofferdam-parts-";
/// Of the plan's id. Two plans of one target whose ids begin alike cannot both be made.
const ID_DIGITS: usize = 12;
const _: () = assert!(SUFFIX.len() + ID_DIGITS <= storage::names::SUFFIX_LEN_MAX);
const PART: &str = "part-";
const MEMBER: &str = "member-";
const RECEIPT: &str = "receipt-";
const LOCK: &str = "commit-lock";
/// Ends the name of a file that is there to be looked at alone.
const CLOCK: &str = ".cofferdam-clock";
/// The plan's text, as it was made.
const PLAN: &str = "plan";
/// A file that has just been made is not locked yet. If its attempt comes back after that, it finds its name gone, and ends.
const IDLE_SECONDS_MIN: i64 = 60;
/// How often attempts may make files while the directory is emptied: each can make two after it was listed.
const REMOVALS_MAX: usize = 64;
