//! Directories to be sealed: walked once into a private plan, by which they are read, and by which a sealing resumes.
//! It joins the parts and does none of their work.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::IfExists;
use segment_worker::CancelToken;
use storage::{OnPartial, TargetError, TargetKind, classify};
use stream::{FileInput, PlanAge, PlanDir};
use tree::{
    ChangedFiles, EntryCounts, EntryKind, LeftOut, OnChange, Plan, TreeError, TreePath, TreeRoot, TreeSource,
    WalkOptions,
};

use crate::files::{Target, was_published};
use crate::{Error, ErrorKind, Kept, Metadata, Remedy, Sealed, Sealer};

/// A directory to be sealed as a tree, and what of it.
#[derive(Clone, Debug)]
pub struct TreeInput {
    directory: PathBuf,
    walk: WalkOptions,
    on_change: OnChange,
    /// None: in the state directory.
    unnamed_in: Option<PathBuf>,
}

/// A directory that has been walked, and the plan by which it is read. The plan names its files in clear: it is kept in a private directory
/// of the state directory, and removed when this is dropped; or in a file without a name, see [`TreeInput::unnamed_in`].
#[derive(Debug)]
pub struct PlannedTree {
    source: TreeSource,
    counts: EntryCounts,
    left_out: Option<LeftOut>,
    /// Last: what is in it is in use until then.
    _plan_dir: Option<PlanDir>,
}

/// What was sealed of a directory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SealedTree {
    /// The stream.
    pub sealed: Sealed,
    /// What the tree is made of, as its plan says.
    pub counts: EntryCounts,
    /// What the walk left out; none where the plan is an interrupted sealing's.
    pub left_out: Option<LeftOut>,
    /// Files that were not what the plan says when they were read, and those that were gone.
    pub changed: ChangedFiles,
}

/// What walks a directory and makes a plan of it.
type MakePlan<'a> = &'a dyn Fn(&TreeRoot, &WalkOptions) -> Result<(Plan, LeftOut), TreeError>;

impl TreeInput {
    /// All of the directory at `directory` that is on its own file system; its last component may be a symbolic link. A file that changes while
    /// it is read is flagged.
    pub fn new(directory: impl Into<PathBuf>) -> TreeInput {
        TreeInput {
            directory: directory.into(),
            walk: WalkOptions::default(),
            on_change: OnChange::default(),
            unnamed_in: None,
        }
    }

    /// What of it is taken.
    #[must_use]
    pub fn walk(mut self, walk: WalkOptions) -> TreeInput {
        self.walk = walk;
        self
    }

    /// What becomes of a file that changes.
    #[must_use]
    pub fn on_change(mut self, on_change: OnChange) -> TreeInput {
        self.on_change = on_change;
        self
    }

    /// Has the plan of a sealing that leaves nothing in a file without a name in `directory`, whoever else may write there, and be it on the file
    /// system that is sealed. The state directory is then not looked at. A sealing that can be resumed has its plan there all the same.
    #[must_use]
    pub fn unnamed_in(mut self, directory: impl Into<PathBuf>) -> TreeInput {
        self.unnamed_in = Some(directory.into());
        self
    }

    /// What of it is taken, and, after a walk, which globs have matched something.
    pub fn walk_options(&self) -> &WalkOptions {
        &self.walk
    }

    /// Walks the directory. `state_dir` is made where it is missing; nobody else may write it. It is left out of the walk.
    ///
    /// # Errors
    /// What cannot be read; [`ErrorKind::Limit`] for a path that is too long; [`ErrorKind::Cancelled`] by `cancel`; [`ErrorKind::Usage`] if
    /// others can write `state_dir`, or if there are globs of what to include and none chooses a file.
    pub fn plan(&self, state_dir: impl AsRef<Path>, cancel: &CancelToken) -> Result<PlannedTree, Error> {
        let plan_dir = match &self.unnamed_in {
            Some(_) => None,
            None => Some(PlanDir::unnamed(state_dir.as_ref())?),
        };
        let directory = plan_dir.as_ref().map(PlanDir::path).or(self.unnamed_in.as_deref());
        let directory = directory.unwrap_or_else(|| state_dir.as_ref());
        // It has no name: whoever kills this process leaves no list of files.
        let create = |root: &TreeRoot, options: &WalkOptions| Plan::create_unnamed(root, directory, options);
        let walked = self.walk_by(&create, plan_dir.as_ref().map(|_| state_dir.as_ref()), cancel)?;
        self.planned(walked, plan_dir)
    }

    /// The plan of an interrupted sealing of this directory into `output`, where one is kept and is to be used; else a new one.
    /// With where the plan is.
    fn plan_resumable(
        &self,
        output: &Path,
        state_dir: &Path,
        sealer: &Sealer,
    ) -> Result<(PlannedTree, PathBuf), Error> {
        let plan_dir = PlanDir::of_output(state_dir, output)?;
        let name = self.plan_name().map_err(|error| self.unread(error))?;
        let path = plan_dir.path().join(&name);
        let resumes = sealer.on_partial == OnPartial::Resume && plan_dir.has_sealing()?;
        if resumes {
            if !path.exists() {
                let what =
                    "what is kept for this output is of another directory, or of another choice of its files";
                return Err(
                    Error::new(ErrorKind::JournalMismatch, what).remedied(Remedy::Restart(Kept::OtherInput))
                );
            }
            let plan = Plan::open(&path).map_err(|error| {
                Error::new(
                    ErrorKind::JournalMismatch,
                    format!("the plan of the interrupted sealing: {error}"),
                )
                .remedied(Remedy::Restart(Kept::SealingState))
            })?;
            let (root, plan) = (self.root()?, Arc::new(plan));
            return Ok((self.planned(WalkedPlan { root, plan, left_out: None }, Some(plan_dir))?, path));
        }
        if sealer.if_exists == IfExists::Refuse
            && matches!(classify(output), Ok(TargetKind::RegularFile))
            && !was_published(output)
        {
            return Err(Error::target(TargetError::Exists { path: output.to_owned() }));
        }
        clear(plan_dir.path(), &name)
            .map_err(|error| Error::io("an old plan could not be removed", error))?;
        let create = |root: &TreeRoot, options: &WalkOptions| Plan::create(root, &path, options);
        let walked = self.walk_by(&create, Some(state_dir), &sealer.resources.cancel)?;
        Ok((self.planned(walked, Some(plan_dir))?, path))
    }

    /// Walks the directory by what makes a plan of it.
    fn walk_by(
        &self,
        create: MakePlan<'_>,
        state_dir: Option<&Path>,
        cancel: &CancelToken,
    ) -> Result<WalkedPlan, Error> {
        let mut options = self.walk.clone();
        if let Some(state_dir) = state_dir {
            let (device, inode) = self.own_directory(state_dir)?;
            options = options.without_directory(device, inode);
        }
        if self.on_change == OnChange::Refuse {
            options = options.stamped();
        }
        let token = cancel.clone();
        let options = options.cancel_when(Arc::new(move || token.is_cancelled()));
        let root = self.root()?;
        let (plan, left_out) = create(&root, &options).map_err(|error| match cancel.is_cancelled() {
            true => Error::new(ErrorKind::Cancelled, "interrupted"),
            false => input_error(error),
        })?;
        if !self.walk.includes_all() && has_directories_alone(plan.layout().checked().counts()) {
            // What goes on by it would seal as little.
            plan.remove().map_err(|error| Error::io("the plan could not be removed", error))?;
            let what =
                "no file is chosen by the globs of what to include: nothing would be sealed but directories";
            return Err(Error::new(ErrorKind::Usage, what).advise(GLOBS_ADVICE));
        }
        Ok(WalkedPlan { root, plan: Arc::new(plan), left_out: Some(left_out) })
    }

    /// Device and inode of the state directory, which is left out.
    fn own_directory(&self, state_dir: &Path) -> Result<(u64, u64), Error> {
        let own = fs::metadata(state_dir)
            .map_err(|error| Error::io("the state directory could not be examined", error))?;
        let sealed = fs::metadata(&self.directory).map_err(|error| self.unread(error))?;
        if (sealed.dev(), sealed.ino()) == (own.dev(), own.ino()) {
            let what =
                "the state directory is the directory that is sealed, which would contain its own plan";
            return Err(
                Error::new(ErrorKind::Usage, what).advise("Name another state directory, outside of it.")
            );
        }
        Ok((own.dev(), own.ino()))
    }

    fn planned(&self, walked: WalkedPlan, plan_dir: Option<PlanDir>) -> Result<PlannedTree, Error> {
        let counts = walked.plan.layout().checked().counts();
        let source = TreeSource::new(walked.root, walked.plan, self.on_change).map_err(input_error)?;
        Ok(PlannedTree { source, counts, left_out: walked.left_out, _plan_dir: plan_dir })
    }

    fn root(&self) -> Result<TreeRoot, Error> {
        TreeRoot::open(&self.directory).map_err(input_error)
    }

    /// Tells plans of other directories, and of other choices, from this one's.
    fn plan_name(&self) -> io::Result<String> {
        let real = fs::canonicalize(&self.directory)?;
        let real = real.as_os_str().as_bytes();
        let mut what = (real.len() as u64).to_le_bytes().to_vec();
        what.extend_from_slice(real);
        what.extend_from_slice(self.walk.choice().as_bytes());
        what.push(u8::from(self.on_change == OnChange::Refuse));
        Ok(format!("{}{PLAN_EXTENSION}", stream::plan_digest(&what)))
    }

    /// What is sealed would contain itself, and what is written meanwhile.
    fn refuse_output_within(&self, output: &Path) -> Result<(), Error> {
        let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
        let (Ok(directory), Ok(parent)) =
            (fs::canonicalize(&self.directory), fs::canonicalize(parent.unwrap_or(Path::new("."))))
        else {
            // Whoever opens them says what is wrong.
            return Ok(());
        };
        let Ok(within) = parent.strip_prefix(&directory) else { return Ok(()) };
        let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
        let is_on_other_mount = !self.walk.enters_mounts() && device(&directory) != device(&parent);
        let path = TreePath::parse(within.as_os_str().as_bytes());
        let is_left_out = path.is_ok_and(|path| self.walk.leaves_out(&path, EntryKind::Directory));
        if is_on_other_mount || is_left_out {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Usage,
            "the output lies in the directory that is sealed, which would contain it",
        )
        .advise("Name an output outside of it, or leave out the directory that the output is in."))
    }

    fn unread(&self, error: io::Error) -> Error {
        Error::io(format!("the directory {} could not be read", self.directory.display()), error)
    }
}

/// A plan, the directory that was walked, or is to be read by a plan of before, and what the walk left out.
struct WalkedPlan {
    root: TreeRoot,
    plan: Arc<Plan>,
    left_out: Option<LeftOut>,
}

impl PlannedTree {
    /// Its plaintext, to be sealed by a [`Sealer`] of a [`tree`](Sealer::tree). Each call gives it from the beginning.
    pub fn source(&self) -> TreeSource {
        self.source.clone()
    }

    /// What it is made of.
    pub fn counts(&self) -> EntryCounts {
        self.counts
    }

    /// What the walk left out; none where the plan is an interrupted sealing's.
    pub fn left_out(&self) -> Option<LeftOut> {
        self.left_out
    }

    /// Files that were not what the plan says when they were read, so far.
    pub fn changed_files(&self) -> ChangedFiles {
        self.source.changed_files()
    }

    /// What came of it, when it was sealed as `sealed`.
    pub fn sealed_as(&self, sealed: Sealed) -> SealedTree {
        SealedTree { sealed, counts: self.counts, left_out: self.left_out, changed: self.changed_files() }
    }
}

impl Sealer {
    /// Seals a directory into a file at `output`, all or nothing. Its plan is kept in `state_dir` until then: see [`TreeInput::plan`].
    ///
    /// # Errors
    /// As [`Sealer::seal_file`] and [`TreeInput::plan`]. [`ErrorKind::Usage`] if `output` lies in the directory, and is not left out of it;
    /// [`ErrorKind::SourceChanged`] if a file changes, and that is refused, or if the directory itself is removed, moved or replaced.
    pub fn seal_tree(
        &self,
        tree: &TreeInput,
        output: impl AsRef<Path>,
        state_dir: impl AsRef<Path>,
    ) -> Result<SealedTree, Error> {
        let output = output.as_ref();
        tree.refuse_output_within(output)?;
        let target = Target::resolve(output, self.if_exists, &self.resources.cancel)?;
        let planned = tree.plan(state_dir, &self.resources.cancel)?;
        let sealer = self.clone().tree();
        let sealed = sealer.seal_into(Box::new(planned.source()), Metadata::new(), target)?;
        Ok(planned.sealed_as(sealed))
    }

    /// As [`Sealer::seal_tree`], but keeps what has been sealed when it is interrupted, as [`Sealer::seal_file_resumable`] does: the same call
    /// then resumes, by the plan of the interrupted one. What has become of the tree meanwhile shows in files alone: one that has changed is
    /// flagged, unless bytes that are sealed already are other ones.
    ///
    /// # Errors
    /// As [`Sealer::seal_tree`] and [`Sealer::seal_file_resumable`]. [`ErrorKind::JournalMismatch`] if what is kept is of another directory or
    /// of another choice of its files.
    pub fn seal_tree_resumable(
        &self,
        tree: &TreeInput,
        output: impl AsRef<Path>,
        state_dir: impl AsRef<Path>,
    ) -> Result<SealedTree, Error> {
        let (output, state_dir) = (output.as_ref(), state_dir.as_ref());
        self.refuse_other_format()?;
        tree.refuse_output_within(output)?;
        match self.seal_by_plan(tree, output, state_dir) {
            // Then the state is gone as well, and the next plan is a new one.
            Err(error) if error.remedy() == Some(Remedy::Restart(Kept::PlanAlone)) => {
                self.seal_by_plan(tree, output, state_dir)
            }
            sealed => sealed,
        }
    }

    fn seal_by_plan(&self, tree: &TreeInput, output: &Path, state_dir: &Path) -> Result<SealedTree, Error> {
        let (planned, plan_path) = tree.plan_resumable(output, state_dir, self)?;
        let age = if planned.left_out.is_some() { PlanAge::New } else { PlanAge::Kept };
        let input = FileInput::of_plan(Box::new(planned.source()), &plan_path, age)?;
        let sealed = self.clone().tree().seal_input_resumable(input, output, state_dir)?;
        Ok(planned.sealed_as(sealed))
    }
}

/// Whether `state_dir` can hold what a sealing keeps: it is made where it is missing, and something is made and removed in it.
///
/// # Errors
/// [`ErrorKind::Usage`] if others can write it, or it is another user's; the medium's own.
pub fn check_state_dir(state_dir: impl AsRef<Path>) -> Result<(), Error> {
    PlanDir::unnamed(state_dir.as_ref()).map(drop)
}

fn has_directories_alone(counts: EntryCounts) -> bool {
    (counts.files, counts.symlinks, counts.hard_links, counts.others) == (0, 0, 0, 0)
}

/// Removes the plans in a directory of plans, but what is to be called `name`, which its maker replaces.
fn clear(plan_dir: &Path, name: &str) -> io::Result<()> {
    for entry in fs::read_dir(plan_dir)? {
        let entry = entry?;
        if entry.file_name() != name {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The error of a tree that cannot be sealed.
pub(crate) fn input_error(error: TreeError) -> Error {
    match error {
        TreeError::Io { what, source } => {
            Error::io(format!("the tree could not be sealed: cannot {what}"), source)
        }
        TreeError::Name { .. } => {
            Error::new(ErrorKind::Limit, error.to_string()).advise("Leave it out, or give it another name.")
        }
        other => Error::new(ErrorKind::Io, format!("the tree could not be sealed: {other}")),
    }
}

const GLOBS_ADVICE: &str = "Look at the globs: one without a `/` at its beginning matches at any depth, one with it from the sealed directory on; one with a `/` at its end \
                            matches directories alone.";
/// What names of plans end in.
const PLAN_EXTENSION: &str = ".plan";
