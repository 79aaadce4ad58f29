//! The sink of a tree: bytes go into files beneath a private directory, which becomes the target at publish.
//! Knows no engine; what lies where is the layout's.

use std::{
    fmt,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cofferdam_io::ReadAt;
use contract::{
    Checkpoint, CommitError, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt, cursor::Cursor,
    written::Closing,
};
use parking_lot::Mutex;
use rustix::fs::syncfs;
use tree::{EntryCounts, Member, TreeError};

use crate::{
    attributes::LeftOut,
    directory_id::DirectoryId,
    finishing::InPlace,
    journal::{Intent, Journal, MOVING},
    made::Made,
    members, merging,
    options::{OldTree, TreeOptions},
    staging::{KeptTree, SkeletonReader, Staging},
    taking_back::take_back,
    target::Target,
};

/// A directory that becomes the target as a whole, or not at all. Its class is *atomic*.
///
/// Files are made beneath `.NAME.cofferdam-staging` in the target's directory, a directory that only its owner may enter. The sink locks it, and
/// `.NAME.cofferdam-journal` beside it: a second writer of the same target is refused. At publish every header is compared with the catalog that
/// the tree was made by; links are made, owners, attributes, modes and times are set; all is synced, and the directory gets the target's name. A tree that
/// is replaced changes places with the new one in one step, if it is still the one that was there at the start.
///
/// The journal says whose attempt it is and which directory it fills, and holds the tree's skeleton, all that is in no file.
/// [`open`](Self::open) finds what an earlier attempt has left:
///
/// - [`Opened::Resumable`](crate::Opened::Resumable): that directory. Attributes are taken back, whatever the tree does not have is removed from it, and what is in
///   it is offered as a claim: [`resumable`](StreamingSink::resumable). There is no checkpoint, since a claim needs none.
/// - [`Opened::Published`](crate::Opened::Published): the crash came after the rename. What is written is compared with the target, and
///   publish does what was left to do.
///
/// The sink is durable at publish and not before. A drop keeps what was committed, for the next [`open`](Self::open); of a sink that was made by
/// [`create`](Self::create) it keeps nothing. A crash right after the rename leaves the new tree with a root that only its owner may enter,
/// until the next attempt.
pub struct TreeSink {
    pub(crate) staging: Arc<Staging>,
    pub(crate) directory: OwnedFd,
    /// Opened before the first write: a failed writeback is reported to it.
    pub(crate) file_system: OwnedFd,
    pub(crate) target: Target,
    pub(crate) journal: Journal,
    pub(crate) options: TreeOptions,
    /// The catalog as it was when the sink was made.
    pub(crate) catalog: Arc<CatalogCopy>,
    pub(crate) cursor: Cursor,
    pub(crate) begun: StartedOver,
    pub(crate) at_drop: AtDrop,
    pub(crate) before_rename: Option<BeforeRename>,
    pub(crate) restored: SharedRestored,
}

/// What is done between the sync and the rename.
pub(crate) type BeforeRename = Box<dyn FnOnce() -> io::Result<()> + Send + Sync>;

/// Over what the sink began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StartedOver {
    /// Nothing.
    Fresh,
    /// What an earlier attempt had left. Whose that was is for the caller to find out, before anything is changed there.
    Resumable { is_taken_back: bool },
    /// The target, which an earlier attempt has put in place with this intent.
    Published {
        intent: Intent,
        /// The tree that it has replaced, if that is at the private directory's name.
        replaced: Option<DirectoryId>,
    },
}

/// What a drop does with what is beside the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AtDrop {
    /// It removes it, whatever was committed.
    Remove,
    /// It removes it if nothing was committed.
    RemoveUnused,
    Keep,
}

/// What came of a publish, if anything.
pub type SharedRestored = Arc<Mutex<Option<Restored>>>;

/// What a published tree lacks, and what was replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Restored {
    /// What the tree is made of.
    pub counts: EntryCounts,
    /// What could not be set, or was not to be.
    pub left_out: LeftOut,
    /// Where the tree is that was replaced, if it is still there.
    pub old_tree: Option<PathBuf>,
    /// Why it could not be removed, or where it is to be kept, not be given its name.
    pub not_removed: Option<String>,
}

impl TreeSink {
    /// Where the files are until publish.
    pub fn staging_path(&self) -> PathBuf {
        self.target.staging_path()
    }

    /// Whether a drop keeps what is beside the target, for a later attempt.
    pub fn is_kept(&self) -> bool {
        self.at_drop == AtDrop::Keep
    }

    /// What came of the publish, to be asked for when the sink is gone.
    pub fn restored(&self) -> SharedRestored {
        self.restored.clone()
    }

    /// Has `act` done at publish, when all of the tree is durable and before it gets the target's name. From then on a drop keeps the tree: what it is made of may be
    /// nowhere else. If it fails, the target is as it was.
    pub fn before_rename(&mut self, act: impl FnOnce() -> io::Result<()> + Send + Sync + 'static) {
        self.before_rename = Some(Box::new(act));
    }

    /// Of a tree that is compared: whether the target has turned out to be another one. To be asked for when the sink is gone.
    pub fn difference(&self) -> Arc<AtomicBool> {
        self.staging.has_difference.clone()
    }

    /// Of a tree that an earlier attempt has put in place: whether that one had other options for what members get, owners for instance. It cannot be brought
    /// to its end by these: it can be [tidied up](Self::tidy) after, and then be replaced.
    pub fn has_other_options(&self) -> bool {
        match self.begun {
            StartedOver::Published { intent, .. } => {
                intent.options.is_some_and(|options| options != self.options.attribute_options())
            }
            StartedOver::Fresh | StartedOver::Resumable { .. } => false,
        }
    }

    /// Of a tree that another attempt has put in place, whatever it was: does what that one had left to do, without a look at the tree.
    ///
    /// # Errors
    /// The medium's own.
    pub fn tidy(self) -> io::Result<()> {
        match self.begun {
            StartedOver::Published { intent, replaced } => {
                self.staging.written.lock().close();
                // The root is made as the rest of it was.
                let options = intent.options.map(|options| self.options.with_attribute_options(options));
                let options = options.unwrap_or(self.options);
                let in_place = InPlace { options: &options, ..self.in_place() };
                in_place.settle_noted_root()?;
                in_place.put_away(intent.old_tree, replaced).map(drop)
            }
            StartedOver::Fresh | StartedOver::Resumable { .. } => Ok(()),
        }
    }

    /// Everything that is done to the directory before it is the target. Gives what the root is to have.
    fn finish(&self, plain_len: u64) -> io::Result<(Option<Member>, LeftOut)> {
        let layout = &self.staging.layout;
        if plain_len != self.catalog.plain_len {
            let message =
                format!("a tree of {plain_len} bytes where its catalog spoke of {}", self.catalog.plain_len);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        self.staging.close_files();
        let skeleton_len = layout.skeleton_len(plain_len);
        let skeleton = SkeletonReader { skeleton: &self.staging.skeleton, len: skeleton_len };
        self.catalog.check_against(&skeleton)?;
        layout.check_archive_end(&skeleton)?;
        if let StartedOver::Published { .. } = self.begun {
            members::compare(&self.staging)?;
            // What was compared says nothing of what could not be set.
            let left_out = self.journal.made()?.unwrap_or_default().left_out;
            return Ok((members::root(&self.staging)?, left_out));
        }
        let done = members::finish(&self.staging, &self.options)?;
        let root = members::root_header(&self.staging)?;
        self.journal.note_root(root)?;
        self.journal.note_made(&Made { counts: layout.checked().counts(), left_out: done.1 })?;
        if skeleton_len > SKELETON_KEPT_LEN_MAX && !self.target.is_merged() {
            // It need not go to the medium. An attempt that is cut off from here on reads the stream again.
            self.staging.skeleton.cut(root.map_or(0, |root| root.at + root.len))?;
        }
        // Once: after a failed sync a second one can succeed over lost data.
        syncfs(&self.file_system)?;
        Ok(done)
    }

    /// The target is the new tree: its root gets its attributes, all is made durable, and the old tree goes.
    fn settle(
        &self,
        root: Option<Member>,
        mut left_out: LeftOut,
        old_tree: OldTree,
        replaced: Option<DirectoryId>,
    ) -> io::Result<()> {
        left_out.add(&self.in_place().settle_root(root)?);
        let (old_tree, not_removed) = self.in_place().put_away(old_tree, replaced)?;
        let counts = self.staging.layout.checked().counts();
        *self.restored.lock() = Some(Restored { counts, left_out, old_tree, not_removed });
        Ok(())
    }

    fn in_place(&self) -> InPlace<'_> {
        let TreeSink { target, journal, directory, options, .. } = self;
        InPlace { target, journal, directory, options }
    }

    /// The tree is moved into the target, name by name.
    fn merge(&self, left_out: LeftOut) -> Result<(), CommitError> {
        // Nobody would look for the files in a directory that is called otherwise by now.
        self.target.check_path().map_err(CommitError::NotCommitted)?;
        self.journal.intend(&MOVING, &self.target.parent).map_err(CommitError::NotCommitted)?;
        // From here on some of it may be there: what is left is kept for the next attempt, whatever comes.
        self.staging.written.lock().close();
        let directory = self.target.directory().map_err(CommitError::NotCommitted)?;
        let merged = merging::merge(&directory, &self.staging, &self.options).and_then(|()| {
            syncfs(&self.file_system)?;
            self.journal.sync()?;
            self.target.remove_staging(&self.directory)?;
            self.journal.remove(&self.target.parent)?;
            self.target.sync()?;
            self.target.unlock(&self.directory)
        });
        merged.and_then(|()| self.target.check_path()).map_err(CommitError::Unknown)?;
        let counts = self.staging.layout.checked().counts();
        *self.restored.lock() = Some(Restored { counts, left_out, old_tree: None, not_removed: None });
        Ok(())
    }

    fn remove(&self) -> io::Result<()> {
        self.staging.close_files();
        // First, so that nobody goes on with what is left whenever a crash comes. As long as some of it is there, the journal vouches for it.
        self.journal.give_up()?;
        self.target.remove_staging(&self.directory)?;
        self.target.sync()?;
        self.journal.remove(&self.target.parent)?;
        self.target.unlock(&self.directory)
    }

    fn close(&self, at_close: AtDrop) -> io::Result<()> {
        match (self.staging.written.lock().close(), at_close, self.begun) {
            (Closing::Again, _, _) | (Closing::First, AtDrop::Keep, _) => Ok(()),
            (Closing::First, _, StartedOver::Published { replaced, .. }) => {
                // The engine has ended: no write is under way.
                match self.staging.has_difference.load(Ordering::Relaxed) {
                    // What is left vouches for nothing any more. The old tree is kept: a run that refuses takes nothing away.
                    true => self.in_place().put_away(OldTree::Keep, replaced).map(drop),
                    false => Ok(()),
                }
            }
            (Closing::First, AtDrop::Remove | AtDrop::RemoveUnused, _) => self.remove(),
        }
    }
}

impl StreamingSink for TreeSink {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Private).confirming()
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        if self.begun == (StartedOver::Resumable { is_taken_back: false }) {
            // What could not be written by an earlier attempt is known before it is read.
            syncfs(&self.file_system)?;
            take_back(&self.staging)?;
            self.begun = StartedOver::Resumable { is_taken_back: true };
        }
        Ok(None)
    }

    fn resumable(&self) -> Option<Arc<dyn ReadAt>> {
        (self.begun == StartedOver::Resumable { is_taken_back: true })
            .then(|| Arc::new(KeptTree(self.staging.clone())) as Arc<dyn ReadAt>)
    }

    fn resume_at(&mut self, index: u64, at: u64) -> io::Result<()> {
        if self.begun != (StartedOver::Resumable { is_taken_back: true }) {
            let message = format!("no earlier attempt was found: nothing to go on from at byte {at}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.staging.close_files();
        self.staging.written.lock().keep(at)?;
        self.cursor = Cursor::resuming_at(index, at);
        Ok(())
    }

    fn confirm_segment(&mut self, index: u64, at: u64, len: u64) -> io::Result<()> {
        if self.begun != (StartedOver::Resumable { is_taken_back: true }) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "nothing is kept of an earlier attempt"));
        }
        let count = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.staging.written.lock().claim(at, count)?;
        self.cursor.pass(index, at, len)
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.cursor.begin(index, at)
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.cursor.write(at, data.len())?;
        self.staging.write_all_at(at, data)
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        let start = self.cursor.roll_back()?;
        self.staging.roll_back(start);
        Ok(())
    }

    fn commit_segment(&mut self, _checkpoint: &Checkpoint) -> Result<(), CommitError> {
        self.staging.written.lock().check_live().map_err(CommitError::NotCommitted)?;
        if self.at_drop == AtDrop::RemoveUnused {
            self.at_drop = AtDrop::Keep;
        }
        self.cursor.commit();
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.cursor.check_closed().map_err(CommitError::NotCommitted)?;
        self.staging.written.lock().check_complete(plain_len).map_err(CommitError::NotCommitted)?;
        // Whatever fails from here on, nothing more is written and the sync is not tried again.
        self.staging.written.lock().fail();
        let finished = self.finish(plain_len);
        if finished.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidData) {
            // All bytes are there, and are no tree: nothing can come of it.
            self.at_drop = AtDrop::Remove;
        }
        let (root, left_out) = finished.map_err(CommitError::NotCommitted)?;
        if let StartedOver::Published { intent, replaced } = self.begun {
            self.staging.written.lock().close();
            let settled = self.settle(root, left_out, intent.old_tree, replaced);
            return settled.map_err(CommitError::Unknown);
        }
        if self.target.is_merged() {
            return self.merge(left_out);
        }
        // Nobody would look for the directory at a path that leads elsewhere by now.
        self.target.check_path().map_err(CommitError::NotCommitted)?;
        if let Some(act) = self.before_rename.take() {
            self.at_drop = AtDrop::Keep;
            act().map_err(CommitError::NotCommitted)?;
        }
        let intent = Intent {
            replaced: self.target.replaced,
            old_tree: self.options.old_tree,
            options: Some(self.options.attribute_options()),
        };
        let put = self.target.put(&self.directory, &self.journal, &intent);
        let put = put.inspect_err(|error| {
            if let CommitError::Unknown(_) = error {
                // The old tree may be at the private directory's name: nothing is removed there.
                self.staging.written.lock().close();
            }
        })?;
        // From here on what is at the private directory's name is the old tree.
        self.staging.written.lock().close();
        let settled = self.settle(root, left_out, self.options.old_tree, put.replaced);
        settled.map_err(CommitError::Unknown)
    }

    fn discard(&mut self) -> io::Result<()> {
        self.close(AtDrop::Remove)
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        Some(self.staging.clone())
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        None
    }
}

impl Drop for TreeSink {
    fn drop(&mut self) {
        // Nobody is there to hear of a failure, and the next writer of the target removes the directory as well.
        let _ = self.close(self.at_drop);
    }
}

impl fmt::Debug for TreeSink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TreeSink").field("target", &self.target.path).finish_non_exhaustive()
    }
}

/// The catalog of a plaintext, copied into a file of ours: pages are read as often as need be, and nobody changes them meanwhile.
#[derive(Debug)]
pub(crate) struct CatalogCopy {
    file: File,
    tar_len: u64,
    plain_len: u64,
}

impl CatalogCopy {
    pub(crate) fn read(plaintext: &dyn ReadAt, file: File) -> Result<CatalogCopy, TreeError> {
        let fault = |error| TreeError::Io { what: "read the tree's catalog".into(), source: error };
        let plain_len = plaintext.len();
        let tail_at = plain_len.checked_sub(TAIL_LEN).ok_or_else(|| {
            fault(io::Error::new(io::ErrorKind::InvalidData, "the plaintext is too short for a tree"))
        })?;
        let mut tar_len = [0; 8];
        plaintext.read_exact_at(tail_at + TAR_LEN_AT, &mut tar_len).map_err(fault)?;
        let tar_len = u64::from_le_bytes(tar_len).min(tail_at);
        let mut buffer = vec![0; COPY_LEN];
        let mut at = tar_len;
        while at < plain_len {
            let len = usize::try_from(plain_len - at).map_or(COPY_LEN, |left| left.min(COPY_LEN));
            plaintext.read_exact_at(at, &mut buffer[..len]).map_err(fault)?;
            file.write_all_at(&buffer[..len], at - tar_len).map_err(fault)?;
            at += len as u64;
        }
        Ok(CatalogCopy { file, tar_len, plain_len })
    }

    /// Whether the catalog that has come with the tree is this one.
    fn check_against(&self, skeleton: &SkeletonReader<'_>) -> io::Result<()> {
        let len = self.plain_len - self.tar_len;
        let skeleton_at = skeleton.len - len;
        let (mut ours, mut theirs) = (vec![0; COPY_LEN], vec![0; COPY_LEN]);
        let mut at = 0;
        while at < len {
            let count = usize::try_from(len - at).map_or(COPY_LEN, |left| left.min(COPY_LEN));
            self.file.read_exact_at(&mut ours[..count], at)?;
            skeleton.read_exact_at(skeleton_at + at, &mut theirs[..count])?;
            if ours[..count] != theirs[..count] {
                let message = "the tree's catalog is not the one that was read at the start";
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            at += count as u64;
        }
        Ok(())
    }
}

impl ReadAt for CatalogCopy {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let at = offset.checked_sub(self.tar_len).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.file.read_exact_at(buffer, at)
    }

    fn len(&self) -> u64 {
        self.plain_len
    }
}

/// Bytes of a tree's tail (TREE T5.1), and where in it the archive's length is.
const TAIL_LEN: u64 = 64;
const TAR_LEN_AT: u64 = 16;
/// Bytes of a skeleton that go to the medium with the tree, so that an attempt that is cut off while it publishes reads nothing again.
const SKELETON_KEPT_LEN_MAX: u64 = 64 << 20;
/// What is copied or compared at a time.
const COPY_LEN: usize = 256 << 10;
