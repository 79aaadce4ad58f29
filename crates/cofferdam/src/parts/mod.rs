//! One stream restored by many processes or machines into one file or directory on a file system that they share, or into one object in a store.
//! It starts no process and speaks to none: they meet in files, and each call here is one step of one of them.
//!
//! 1. Somebody [plans](PlannedRestore::create): the stream is cut into parts, whole segments each, and the plan is written to a file,
//!    once. Whoever comes second finds the first one's.
//! 2. Workers [run parts](PlannedRestore::run_part), on any machine, in any order, as often as they like. Each attempt writes a file
//!    that is its alone, in a private directory beside the target, and then leaves a receipt, under a MAC with the plan's key.
//! 3. Somebody [commits](PlannedRestore::commit), once there is a receipt for each part: the target's file is put together from those
//!    of the attempts, in a file that nobody else has open, and published by one rename. What is shared by the file system is not read if that says of the
//!    attempt's file what it has said to the attempt; all else is compared with the receipts. Of a tree
//!    the parts' bytes are compared as they are written to the directory's files.
//!
//! Where the target is an object (feature `remote`), attempts send to one upload that was begun with the plan, receipts say what the store calls
//! what it has taken, and the commit has the store put that together, once: [`PlannedRestore::create_for_object`].
//!
//! Before the commit the target is what it was, after it what was sealed. A worker that was paused and comes back has open a file
//! that has never been the target's; and once the plan is committed, it can make no other.
//!
//! What is on the wire between them is in docs/PARTS.md.
//!
//! ```
//! use std::num::{NonZeroU64, NonZeroUsize};
//!
//! use cofferdam::parts::{Outcome, PlanKeyFile, PlannedRestore, open_key};
//! use cofferdam::{CancelToken, FileSource, Identities, Opener, Recipients, Sealer, WrappingKey};
//!
//! # let directory = tempfile::tempdir()?;
//! # let at = |name: &str| directory.path().join(name);
//! let key = || WrappingKey::from_bytes([7; 32]); // in earnest: an identity that each worker has in a file
//! std::fs::write(at("db"), vec![1; 1 << 20])?;
//! Sealer::new(Recipients::new().wrapping_key(key()))
//!     .frame_len(64 << 10)
//!     .segment_len(256 << 10)
//!     .seal_file(at("db"), at("db.cfd"))?;
//! let opener = Opener::new(Identities::new().wrapping_key(key()));
//!
//! let plan_key = PlanKeyFile::open_or_draw(at("plan.key"))?;
//! let source = FileSource::open(at("db.cfd"))?;
//! let parts = NonZeroU64::new(2).unwrap();
//! let name = at("db.cfd");
//! PlannedRestore::create(at("plan"), plan_key, &opener, source, name.as_os_str(), at("restored"), parts)?;
//!
//! // On any machine:
//! for part in 0..2 {
//!     let planned = PlannedRestore::open(at("plan"), open_key(at("plan.key"))?)?;
//!     planned.run_part(&opener, part, FileSource::open(at("db.cfd"))?)?;
//! }
//!
//! let planned = PlannedRestore::open(at("plan"), open_key(at("plan.key"))?)?;
//! assert_eq!(planned.commit(NonZeroUsize::MIN, &CancelToken::new())?, Outcome::Published);
//! assert_eq!(planned.commit(NonZeroUsize::MIN, &CancelToken::new())?, Outcome::AlreadyCommitted);
//! assert_eq!(std::fs::read(at("restored"))?, vec![1; 1 << 20]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod assembly;
mod attempts;
mod commit;
mod comparison;
mod digested_sink;
mod file_state;
mod giving_up;
mod key_file;
mod member_files;
#[cfg(feature = "remote")]
mod object;
#[cfg(feature = "remote")]
mod object_commit;
#[cfg(feature = "remote")]
mod object_part;
mod part_files;
#[cfg(feature = "remote")]
mod piece_sink;
mod planning;
mod run_part;
#[cfg(feature = "tree")]
mod tree_commit;
#[cfg(feature = "tree")]
mod tree_target;
#[cfg(feature = "tree")]
mod whole;

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use ::parts::{AttemptName, Committed, NOTE_LEN_MAX, PLAN_LEN_MAX, PartReceipt, RECEIPT_LEN_MAX};
pub use ::parts::{
    PARTS_MAX, PartExtent, Plan, PlanId, PlanKey, PlanTarget, RecordError, TreeOwners, TreeTarget,
};
use contract::IfExists;
use storage::{Disk, Storage as _, TargetDir};

pub(crate) use self::attempts::beside;
use self::attempts::{AttemptsDir, receipt_name};
pub use self::commit::Outcome;
pub(crate) use self::commit::plan_that_stages;
pub use self::giving_up::GivenUp;
pub use self::key_file::{PlanKeyFile, open_key};
use self::part_files::PartFiles;
pub use self::planning::Planned;
pub use self::run_part::PartRun;
use crate::{Error, ErrorKind, record_file};

/// A restore that is planned: the plan, and the key that authenticates it.
#[derive(Clone, Debug)]
pub struct PlannedRestore {
    path: PathBuf,
    plan: Plan,
    key: PlanKey,
    /// How an object as the target is reached; `None` of a file, and where that has not been said.
    #[cfg(feature = "remote")]
    object: Option<crate::ObjectTarget>,
}

/// How far a plan is.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PartsState {
    /// Whether it has been committed: the target is in place. Then nothing else is known any more.
    pub is_committed: bool,
    /// Whether a commit has put the target, a file or directory, in place, and was interrupted before that was noted: to commit again notes it.
    pub is_published: bool,
    /// Of each part, whether there is a receipt, and files as long as it says. What is in it is looked at when the plan is committed.
    pub has_receipt: Vec<bool>,
    /// Files that have the name of a receipt and are none of this plan.
    pub strange: u64,
}

impl PlannedRestore {
    fn of(path: &Path, plan: Plan, key: PlanKey) -> PlannedRestore {
        PlannedRestore {
            path: path.to_owned(),
            plan,
            key,
            #[cfg(feature = "remote")]
            object: None,
        }
    }

    /// Reads the plan at `path`, which was made with `key`.
    ///
    /// # Errors
    /// [`ErrorKind::JournalMismatch`]: it is no plan, or one of another key, or has been changed. [`ErrorKind::Io`]: it is not there, or
    /// cannot be read.
    pub fn open(path: impl AsRef<Path>, key: PlanKey) -> Result<PlannedRestore, Error> {
        let path = path.as_ref();
        PlannedRestore::find(path, &key)?
            .ok_or_else(|| not_found(format!("there is no plan at {}", path.display())))
    }

    /// The plan at `path`, if one is there. Whoever names it by a link has its note beside the plan, where all others look.
    fn find(path: &Path, key: &PlanKey) -> Result<Option<PlannedRestore>, Error> {
        let failed = |error| Error::io(format!("{} could not be read", path.display()), error);
        let real = match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_symlink() => {
                let what = format!("{} is a link that leads nowhere", path.display());
                return Err(Error::io(what, error)
                    .advise("Look whether the plan's file system is mounted here; or give another name."));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            real => real.map_err(failed)?,
        };
        let Some(text) = record_file::read(&real, PLAN_LEN_MAX).map_err(failed)? else { return Ok(None) };
        let plan = Plan::parse(&text, key).map_err(|error| not_readable(path, error))?;
        Ok(Some(PlannedRestore::of(&real, plan, key.clone())))
    }

    /// What is planned.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The URL of the target, where that is an object: running a part, the commit and giving up have to be told [how it is
    /// reached](PlannedRestore::with_object).
    pub fn object_url(&self) -> Option<&str> {
        match self.plan.target() {
            PlanTarget::Path(_) => None,
            PlanTarget::Object { url, .. } => Some(url),
        }
    }

    /// How far it is, as its files say now.
    ///
    /// # Errors
    /// Something cannot be read; [`ErrorKind::JournalMismatch`] where the plan was given up.
    pub fn state(&self) -> Result<PartsState, Error> {
        let target_dir = self.target_dir()?;
        let found = self.attempts(&target_dir).and_then(|attempts| {
            // What a commit would refuse, it says.
            let is_file = matches!(self.plan.target(), PlanTarget::Path(_));
            let is_published = is_file && self.stands_published(&target_dir, &attempts).unwrap_or(false);
            // As who runs a part finds it.
            let found = self.receipts_where(&attempts, |receipt| self.has_files(&attempts, receipt))?;
            let is_run = found.by_part.iter().map(|attempts| !attempts.is_empty()).collect::<Vec<_>>();
            Ok((is_published, is_run, found.strange))
        });
        // Last: with a commit the directory goes, also while it is read, and what was found there says nothing then.
        if self.is_committed()? {
            let parts = self.plan.parts().len();
            let has_receipt = vec![true; parts];
            return Ok(PartsState { is_committed: true, is_published: true, has_receipt, strange: 0 });
        }
        let (is_published, has_receipt, strange) = found?;
        Ok(PartsState { is_committed: false, is_published, has_receipt, strange })
    }

    /// Whether a commit has been done to its end.
    fn is_committed(&self) -> Result<bool, Error> {
        let path = committed_path(&self.path);
        let failed = |error| Error::io(format!("{} could not be read", path.display()), error);
        let Some(text) = record_file::read(&path, NOTE_LEN_MAX).map_err(failed)? else {
            // Where such a link stands, no commit could be noted.
            return match path.is_symlink() {
                true => Err(Error::new(
                    ErrorKind::JournalMismatch,
                    format!("{} is a link that leads nowhere", path.display()),
                )
                .advise("Look who put it there, and remove it.")),
                false => Ok(false),
            };
        };
        match Committed::parse(&text, &self.key, self.plan.id()) {
            Ok(note) if note == Committed::of(&self.plan) => Ok(true),
            Ok(_) => Err(not_ours(&path, RecordError::Contradictory)),
            Err(error) => Err(not_ours(&path, error)),
        }
    }

    /// Where the directory of attempts is: beside the target, or, where that is an object, beside the plan.
    fn target_dir(&self) -> Result<TargetDir, Error> {
        TargetDir::resolve(self.beside(), IfExists::Refuse).map_err(Error::target)
    }

    fn beside(&self) -> &Path {
        match self.plan.target() {
            // The plan has the path that links lead to.
            PlanTarget::Path(path) => path,
            PlanTarget::Object { .. } => &self.path,
        }
    }

    #[cfg(not(feature = "remote"))]
    fn abort_upload(&self) -> Result<(), Error> {
        Err(no_stores())
    }

    #[cfg(not(feature = "remote"))]
    fn look_after_abort(&self, _: &AttemptsDir, _: GivenUp) -> Result<GivenUp, Error> {
        Err(no_stores())
    }

    fn attempts(&self, target_dir: &TargetDir) -> Result<AttemptsDir, Error> {
        let attempts = self.attempts_left(target_dir)?.ok_or_else(|| self.nothing_kept())?;
        if attempts.has_plan()? { Ok(attempts) } else { Err(self.nothing_kept()) }
    }

    fn nothing_kept(&self) -> Error {
        let what = format!(
            "there is nothing beside {} for this plan: it was given up, or its file system is not mounted here, or its directory was moved",
            self.beside().display()
        );
        Error::new(ErrorKind::JournalMismatch, what)
            .advise("Look whether that is the directory of the other machines. If it is, make another plan, under another name.")
    }

    /// The directory of attempts, and if somebody was removing it, what is left.
    fn attempts_left(&self, target_dir: &TargetDir) -> Result<Option<AttemptsDir>, Error> {
        let attempts = AttemptsDir::open(target_dir, self.plan.id())?;
        if let Some(attempts) = &attempts {
            attempts.check_plan(&self.plan.to_text(&self.key))?;
        }
        Ok(attempts)
    }

    fn receipts(&self, attempts: &AttemptsDir) -> Result<Receipts, Error> {
        self.receipts_where(attempts, |_| Ok(true))
    }

    fn receipts_where(
        &self,
        attempts: &AttemptsDir,
        mut is_wanted: impl FnMut(&PartReceipt) -> Result<bool, Error>,
    ) -> Result<Receipts, Error> {
        let mut by_part = vec![Vec::new(); self.plan.parts().len()];
        let mut strange = 0;
        for (part, attempt) in attempts.receipts()? {
            match self.read_receipt(attempts, part, attempt)? {
                Some(receipt) if is_wanted(&receipt)? => by_part[part as usize].push(attempt),
                Some(_) => {}
                None => strange += 1,
            }
        }
        Ok(Receipts { by_part, strange })
    }

    /// The receipt of an attempt; `None` if it is none of this plan, or not of that attempt, or has gone.
    fn read_receipt(
        &self,
        attempts: &AttemptsDir,
        part: u64,
        attempt: AttemptName,
    ) -> Result<Option<PartReceipt>, Error> {
        let text = attempts.read(&receipt_name(part, attempt), RECEIPT_LEN_MAX)?;
        let receipt = text.and_then(|text| PartReceipt::parse(&text, &self.key, &self.plan).ok());
        Ok(receipt.filter(|receipt| (receipt.part(), receipt.attempt()) == (part, attempt)))
    }

    /// What an attempt has written; `None` as above, or where the file of its part is not there, or of another length.
    fn open_files<'a>(
        &self,
        attempts: &'a AttemptsDir,
        part: u64,
        attempt: AttemptName,
    ) -> Result<Option<PartFiles<'a>>, Error> {
        let receipt = self.read_receipt(attempts, part, attempt)?;
        receipt.map_or(Ok(None), |receipt| PartFiles::open(attempts, receipt))
    }
}

/// Attempts that have left a receipt that is right, by their part. What it says of pieces is read again where it is needed: all receipts
/// of a long stream take more memory than a commit should.
struct Receipts {
    by_part: Vec<Vec<AttemptName>>,
    strange: u64,
}

/// Why the plan at `path` is none for us. Where its MAC is right, it is the key's.
fn not_readable(path: &Path, error: RecordError) -> Error {
    let (is, advice) = match error {
        RecordError::OtherVersion => {
            ("cannot be used", "Use the program that has made it, or a newer one than this.")
        }
        RecordError::Malformed { .. } | RecordError::Contradictory => (
            "cannot be used",
            "Its MAC is right: whoever has made it makes other plans. Plan again with this program.",
        ),
        _ => ("is not this key's plan", "Give a plan and the key that it was made with."),
    };
    let what = format!("{} {is}: {error}", path.display());
    Error::new(ErrorKind::JournalMismatch, what).advise(advice)
}

/// Puts a file at `path`, where none may be.
fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().filter(|_| !path.as_os_str().as_bytes().ends_with(b"/"));
    let name = name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is no name of a file"))?;
    record_file::put(&directory_of(path)?, name, content)
}

/// Makes the names in the directory of `path` durable.
fn sync_beside(path: &Path) -> io::Result<()> {
    directory_of(path)?.sync()
}

fn directory_of(path: &Path) -> io::Result<Disk> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Disk::open(parent.unwrap_or(Path::new(".")))
}

/// Where it is noted that the plan at `path` has been committed.
fn committed_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".committed");
    name.into()
}

fn not_ours(path: &Path, error: RecordError) -> Error {
    Error::new(ErrorKind::JournalMismatch, format!("{} is not of this plan: {error}", path.display()))
        .advise("Remove it if you know who put it there.")
}

#[cfg(not(feature = "remote"))]
fn no_stores() -> Error {
    Error::new(ErrorKind::Unsupported, "the plan's target is an object, and this was built without stores")
}

/// Of a stream, or of a plan of one, where no directories can be made.
#[cfg(not(feature = "tree"))]
fn no_trees() -> Error {
    Error::new(ErrorKind::Unsupported, "a tree is not restored by this build, which has no trees")
}

fn not_found(what: String) -> Error {
    Error::io(what, io::Error::new(io::ErrorKind::NotFound, "no such file")).advise(NOT_FOUND)
}

const NOT_FOUND: &str = "Plan first; or look whether the plan's file system is mounted here, how its name is spelt, and where its key was put.";
