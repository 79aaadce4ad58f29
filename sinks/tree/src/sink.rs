//! The sink of a tree: bytes go into files beneath a private directory, which becomes the target at publish.
//! Knows no engine; what lies where is the layout's.

use std::{
    fmt,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use cofferdam_io::ReadAt;
use contract::{
    Checkpoint, CommitError, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt, cursor::Cursor,
    written::Closing,
};
use parking_lot::Mutex;
use rustix::fs::{fsync, syncfs};
use storage::TargetError;
use tree::{Catalog, Content, EntryCounts, Layout, Member, TreeError, TreeRoot};

use crate::{
    attributes::{Attributes, LeftOut},
    error::TreeSinkError,
    members,
    options::TreeOptions,
    staging::{SkeletonReader, Staging},
    target::{Target, unnamed_file},
};

/// A directory that becomes the target as a whole, or not at all. Its class is *atomic*.
///
/// Files are made beneath `.NAME.cofferdam-staging` in the target's directory, a directory that only its owner may enter and that is locked
/// as long as the sink lives: a second writer of the same target is refused. At publish every header is compared with the catalog that
/// the tree was made by; links are made, owners, attributes, modes and times are set; all is synced, and the directory gets the target's name. A tree that
/// is replaced changes places with the new one in one step, if it is still the one that was there at the start.
///
/// There is no journal: the sink is durable at publish and not before, and a drop before that removes what was made. A crash leaves a
/// directory that the next writer of the same target removes; one right after the rename may leave the new tree with a root that only its
/// owner may enter.
pub struct TreeSink {
    staging: Arc<Staging>,
    directory: OwnedFd,
    /// Opened before the first write: a failed writeback is reported to it.
    file_system: OwnedFd,
    target: Target,
    options: TreeOptions,
    /// The catalog as it was when the sink was made.
    catalog: Arc<CatalogCopy>,
    cursor: Cursor,
    restored: Arc<Mutex<Option<Restored>>>,
}

/// What a published tree lacks, and what was replaced.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Restored {
    /// What the tree is made of.
    pub counts: EntryCounts,
    /// What could not be set, or was not to be.
    pub left_out: LeftOut,
    /// Where the tree is that was replaced, if it is still there.
    pub old_tree: Option<PathBuf>,
    /// Why it could not be removed.
    pub not_removed: Option<String>,
}

impl TreeSink {
    /// Resolves `target`, refuses what could not be published to, reads the catalog of `plaintext` and looks at all of it; then makes the private
    /// directory. Nothing else of `plaintext` is read.
    ///
    /// # Errors
    /// See [`TreeSinkError`]. The target and its directory are then as they were, save for what a crashed restore had left.
    pub fn create(
        target: impl AsRef<Path>,
        plaintext: &dyn ReadAt,
        options: &TreeOptions,
    ) -> Result<TreeSink, TreeSinkError> {
        let target = Target::open(target.as_ref(), options.if_exists)?;
        let fault = |error: io::Error| TargetError::io(&target.path, "restore to", error);
        let catalog = Arc::new(CatalogCopy::read(plaintext, unnamed_file(&target).map_err(fault)?)?);
        let Content::Tree(opened) = Catalog::open(catalog.clone())? else {
            return Err(TreeSinkError::PlainFile);
        };
        let layout = Layout::new(Arc::new(opened.check(options.path_case)?));
        target.check_room(layout.checked().counts().data_len, layout.catalog().entries(), options.room)?;
        let skeleton = unnamed_file(&target).map_err(fault)?;
        let directory = target.stage()?;
        let root = directory.try_clone().map_err(fault)?;
        let file_system = directory.try_clone().map_err(fault)?;
        let staging = Staging::new(TreeRoot::of(root), layout, skeleton, plaintext.len());
        Ok(TreeSink {
            staging: Arc::new(staging),
            directory,
            file_system,
            target,
            options: *options,
            catalog,
            cursor: Cursor::default(),
            restored: Arc::default(),
        })
    }

    /// Where the files are until publish.
    pub fn staging_path(&self) -> PathBuf {
        self.target.staging_path()
    }

    /// What came of the publish, to be asked for when the sink is gone.
    pub fn restored(&self) -> Arc<Mutex<Option<Restored>>> {
        self.restored.clone()
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
        let skeleton = SkeletonReader { file: &self.staging.skeleton, len: layout.skeleton_len(plain_len) };
        self.catalog.check_against(&skeleton)?;
        layout.check_archive_end(&skeleton)?;
        let done = members::finish(&self.staging, &self.options)?;
        // Nobody reads it any more, and it need not go to the medium.
        self.staging.skeleton.set_len(0)?;
        // Once: after a failed sync a second one can succeed over lost data.
        syncfs(&self.file_system)?;
        Ok(done)
    }

    /// The target is the new tree: its root gets its attributes, all is made durable, and the old tree goes.
    fn settle(
        &self,
        root: Option<Member>,
        mut left_out: LeftOut,
        old_tree: Option<PathBuf>,
    ) -> io::Result<()> {
        if let Some(root) = root {
            let mut attributes = Attributes::new(&self.options);
            attributes.set(&self.directory, ".".as_ref(), &root)?;
            left_out.add(&attributes.left_out());
        } else {
            rustix::fs::fchmod(&self.directory, IMPLICIT_MODE.into())?;
        }
        fsync(&self.directory)?;
        self.target.sync()?;
        // The syncs of directories are not enough: XFS that has shut down says yes to them, and no to a file's.
        self.staging.skeleton.write_all_at(&[0], 0)?;
        self.staging.skeleton.sync_all()?;
        let mut restored = Restored {
            counts: self.staging.layout.checked().counts(),
            left_out,
            old_tree: None,
            not_removed: None,
        };
        if let Some(staging) = old_tree {
            match self.target.dispose_of(self.options.old_tree) {
                Ok(kept) => restored.old_tree = kept,
                Err(error) => {
                    restored.not_removed = Some(error.to_string());
                    restored.old_tree = Some(staging);
                }
            }
        }
        *self.restored.lock() = Some(restored);
        Ok(())
    }

    fn remove(&self) -> io::Result<()> {
        match self.staging.written.lock().close() {
            Closing::Again => Ok(()),
            Closing::First => {
                self.staging.close_files();
                self.target.remove_staging(&self.directory)
            }
        }
    }
}

impl StreamingSink for TreeSink {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Private)
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
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
        self.cursor.commit();
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.cursor.check_closed().map_err(CommitError::NotCommitted)?;
        self.staging.written.lock().check_complete(plain_len).map_err(CommitError::NotCommitted)?;
        // Whatever fails from here on, nothing more is written and the sync is not tried again.
        self.staging.written.lock().fail();
        let (root, left_out) = self.finish(plain_len).map_err(CommitError::NotCommitted)?;
        let put = self.target.put(&self.directory).inspect_err(|error| {
            if let CommitError::Unknown(_) = error {
                // The old tree may be at the private directory's name: nothing is removed there.
                self.staging.written.lock().close();
            }
        })?;
        // From here on what is at the private directory's name is the old tree.
        self.staging.written.lock().close();
        self.settle(root, left_out, put.old_tree).map_err(CommitError::Unknown)
    }

    fn discard(&mut self) -> io::Result<()> {
        self.remove()
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
        let _ = self.remove();
    }
}

impl fmt::Debug for TreeSink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TreeSink").field("target", &self.target.path).finish_non_exhaustive()
    }
}

/// The catalog of a plaintext, copied into a file of ours: pages are read as often as need be, and nobody changes them meanwhile.
#[derive(Debug)]
struct CatalogCopy {
    file: File,
    tar_len: u64,
    plain_len: u64,
}

impl CatalogCopy {
    fn read(plaintext: &dyn ReadAt, file: File) -> Result<CatalogCopy, TreeError> {
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
/// Of a root that is no member, as of every directory that is none (TREE T2.2).
const IMPLICIT_MODE: u32 = 0o755;
/// What is copied or compared at a time.
const COPY_LEN: usize = 256 << 10;
