//! The archive of a tree, and the check of one: what is done with a whole tree without restoring it.
//! It joins the parts and does none of their work.

use std::sync::Arc;

use contract::StreamingSink;
use sources::Source;
use stream::{ContentKind, Opening};
use tree::{Content, EntryCounts, Layout};
use tree_sink::ArchiveSink;

use crate::trees::{said_of_tree, tree_content, tree_error};
use crate::{Error, ErrorKind, Opener, Reader, Remedy, Restored};

/// What becomes of a stream that is no tree, where the archive of one is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IfNoTree {
    /// It is refused, before a byte of it is given out: [`ErrorKind::Usage`].
    Refuse,
    /// All of it is opened, as [`Opener::open`] does.
    OpenAll,
}

impl Opener {
    /// As [`Opener::open`], of a tree: its archive and nothing behind it goes to `sink`, in order, the very bytes that any tar reads. Nothing is
    /// resumed.
    ///
    /// Where the archive ends shows in its own bytes, so a source that is read once does as well. One case does not show there: an archive without a
    /// catalog that goes on, behind its end, with the very bytes that its catalog would have.
    ///
    /// # Errors
    /// As [`Opener::open`]. [`ErrorKind::Damaged`] at the end, where the plaintext does not end as a tree does: the sink has then got
    /// bytes, and has not been published.
    pub fn open_archive(
        &self,
        source: impl Source,
        sink: impl StreamingSink,
        if_no_tree: IfNoTree,
    ) -> Result<Restored, Error> {
        self.require_identities()?;
        self.refuse_seed("the archive of a tree is given out in order")?;
        let opened = self.stream().open_with(source, |envelope, _| {
            // What is not known here is bytes.
            let kind = ContentKind::of_metadata(envelope.metadata()).ok().flatten();
            let sink: Box<dyn StreamingSink + '_> = match (kind, if_no_tree) {
                (Some(ContentKind::Tree), _) => Box::new(ArchiveSink::new(sink)),
                (_, IfNoTree::OpenAll) => Box::new(sink),
                (_, IfNoTree::Refuse) => return Err(no_tree()),
            };
            Ok(Opening::plain(sink, envelope).into())
        });
        opened.map_err(said_of_tree)
    }
}

/// Looks at all of the tree that `reader` reads: its catalog, and every header, which has to say what its entry says. What is in the files is not
/// read. None of a stream that is no tree, or has no catalog.
///
/// # Errors
/// [`ErrorKind::Damaged`] where they do not fit together; as [`Reader::read_at`].
pub fn check_tree(reader: &Arc<Reader>) -> Result<Option<EntryCounts>, Error> {
    let Content::Tree(catalog) = tree_content(reader)? else { return Ok(None) };
    let checked = catalog.check().map_err(tree_error)?;
    let catalog = checked.catalog();
    for index in 0..catalog.pages() {
        for located in catalog.page(index).map_err(tree_error)?.located_entries() {
            located.read_member(&**reader).map_err(tree_error)?;
        }
    }
    let counts = checked.counts();
    Layout::new(Arc::new(checked)).check_archive_end_in(&**reader).map_err(tree_error)?;
    Ok(Some(counts))
}

pub(crate) fn no_tree() -> Error {
    Error::new(ErrorKind::Usage, "the stream is no tree: it was not sealed from a directory or an archive")
        .remedied(Remedy::AskForNoTree)
}
