//! Some paths of a tree, restored: only the frames that hold them are read, and only those bytes are proved.
//! It joins the parts and does none of their work.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use cofferdam_io::share;
use contract::{ReadAt, StreamingSink, WriteAt};
use sources::Source;
use storage::OnPartial;
use stream::PARTS_ID;
use tree::{Content, Globs, Subtree};
use tree_sink::{Placement, Restored, TreeOptions, TreeSink, attempt_beside, scratch_directory};

use crate::tree_restore::stopped_move;
use crate::trees::{said_of_tree, tree_content, tree_error, tree_sink_error};
use crate::{Error, ErrorKind, InTheWay, Kept, Metadata, Opener, Remedy, StreamId};

/// Some paths of a tree that were restored.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RestoredPaths {
    /// Names the stream.
    pub stream_id: StreamId,
    /// What whoever sealed it gave it.
    pub metadata: Metadata,
    /// What the directory is made of, and what it lacks.
    pub tree: Restored,
}

impl Opener {
    /// Restores of the tree in `source`, which has to have offsets, what `selection` chooses, into a directory at `target`, with the directories
    /// that it is in: all of that or nothing. Everything else of the stream stays unread, but for what says where things are.
    ///
    /// **Proved by this:** these bytes, names and attributes were sealed under the stream's key, for this stream and these places. **Not proved:**
    /// that the rest of the stream is there and unchanged, as [`Opener::reader`] says. Nothing is kept of it if it is interrupted.
    ///
    /// # Errors
    /// As [`Opener::reader`] and [`Opener::restore_to`]. [`ErrorKind::Usage`] if the stream is no tree, or nothing of it is chosen.
    pub fn restore_paths(
        &self,
        source: impl Source,
        target: impl AsRef<Path>,
        selection: &Globs,
        options: &TreeOptions,
    ) -> Result<RestoredPaths, Error> {
        let target = target.as_ref();
        self.refuse_seed("some paths of a tree are restored")?;
        let reader = Arc::new(self.reader(source)?);
        let Content::Tree(catalog) = tree_content(&reader)? else {
            return Err(Error::new(
                ErrorKind::Usage,
                "paths are chosen of a directory, and the stream is a file",
            )
            .advise("Restore it without choosing."));
        };
        // As before all others that make files: in what is chosen could be two of one name.
        let catalog = catalog.check().map_err(tree_error)?;
        let catalog = catalog.catalog();
        self.refuse_lost(target, options)?;
        let scratch = scratch_directory(target, options.placement_of()).map_err(Error::target)?;
        let chosen = Subtree::new(reader.clone(), catalog, selection, &scratch);
        let Some(chosen) = chosen.map_err(tree_error)? else {
            return Err(Error::new(ErrorKind::Usage, "nothing in the tree matches what was chosen")
                .advise("A path that begins with / is one from the tree's root on; without it, it may be at any depth."));
        };
        self.resources.tell_staging();
        let options = options.if_exists(self.if_exists);
        let created = self.open_with_room(|room| TreeSink::create(target, &chosen, &options.room(room)));
        let mut sink = created.map_err(tree_sink_error)?;
        self.copy(&chosen, &sink)?;
        let outcome = sink.restored();
        sink.publish(chosen.len()).map_err(|error| match options.placement_of() {
            // Whether another run chooses the same paths is not known.
            Placement::Into => {
                stopped_move(Error::publish(error), Some(Remedy::Replace(InTheWay::StoppedMove)))
            }
            Placement::Whole => said_of_tree(Error::publish(error)),
        })?;
        let restored = outcome.lock().clone();
        let tree = restored.ok_or_else(|| Error::new(ErrorKind::Io, "nothing was restored"))?;
        Ok(RestoredPaths { stream_id: reader.stream_id(), metadata: reader.metadata().clone(), tree })
    }

    /// What an interrupted restore left beside the target is not thrown away by one that does not go on with it.
    fn refuse_lost(&self, target: &Path, options: &TreeOptions) -> Result<(), Error> {
        #[cfg(feature = "parts")]
        crate::tree_leftovers::refuse_restart_over_plan(target, self.on_partial)?;
        let found = attempt_beside(target, options.placement_of()).map_err(Error::target)?;
        let Some(found) = found.filter(|_| self.on_partial == OnPartial::Resume) else { return Ok(()) };
        if found.as_bytes().starts_with(PARTS_ID) {
            let what = "what the commit of a plan has left beside this name would be lost";
            return Err(Error::new(ErrorKind::JournalMismatch, what)
                .remedied(Remedy::ResumeOrDiscard(Kept::PlanCommit)));
        }
        let what = "what an interrupted restore to this name left beside it would be lost";
        Err(Error::new(ErrorKind::JournalMismatch, what).remedied(Remedy::ResumeOrDiscard(Kept::Restore)))
    }

    fn copy(&self, chosen: &Subtree, sink: &TreeSink) -> Result<(), Error> {
        let Some(tree) = sink.positioned() else { return Ok(()) };
        let threads = thread::available_parallelism().map_or(1, usize::from).min(COPY_THREADS_MAX);
        let pieces = chosen.len().div_ceil(COPY_LEN as u64);
        let begin = || vec![0; COPY_LEN];
        share(pieces, threads, begin, |buffer, piece| self.copy_piece(chosen, &*tree, piece, buffer))
            .map(drop)
    }

    fn copy_piece(
        &self,
        chosen: &Subtree,
        tree: &dyn WriteAt,
        piece: u64,
        buffer: &mut [u8],
    ) -> Result<(), Error> {
        if self.resources.cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "interrupted"));
        }
        let at = piece * COPY_LEN as u64;
        let len = usize::try_from(chosen.len() - at).map_or(COPY_LEN, |left| left.min(COPY_LEN));
        chosen.read_exact_at(at, &mut buffer[..len]).map_err(unread)?;
        tree.write_all_at(at, &buffer[..len])
            .map_err(|error| Error::io("the directory could not be written", error))
    }
}

/// What [`Reader`](crate::Reader) says is within what it says through [`ReadAt`].
fn unread(error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::io("the tree could not be read", error),
    }
}

/// What is copied at a time.
const COPY_LEN: usize = 1 << 20;
/// Threads that copy: each opens the frames that it needs.
const COPY_THREADS_MAX: usize = 16;
