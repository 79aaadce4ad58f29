//! Trees through the engine: the stream says that it is one, and a reader finds its catalog.
//! It joins the parts and does none of their work.

use std::error::Error as _;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use rustix::process::geteuid;
use storage::TargetError;
use stream::ContentKind;
use tree::{Catalog, Content, TreeError};
use tree_sink::TreeSinkError;

use crate::{Error, ErrorKind, Reader, Remedy, Sealer};

impl Sealer {
    /// What is sealed is the plaintext of a tree, that of a [`TreeSource`](tree::TreeSource) for instance, and the stream says so: the
    /// encrypted pair `cofferdam.content` with the value `tar+catalog/1`. Whoever opens a stream that says so, and is none, gets
    /// [`ErrorKind::Damaged`].
    ///
    /// An age file has no place for it: [`ErrorKind::Usage`] when sealing.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use cofferdam::tree::{Content, OnChange, Plan, TreePath, TreeRoot, TreeSource, WalkOptions};
    /// use cofferdam::{BytesSource, Identities, MemorySink, Opener, Recipients, Sealer, WrappingKey, tree_content};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let (files, plan) = (directory.path().join("files"), directory.path().join("plan"));
    /// # std::fs::create_dir(&files)?;
    /// std::fs::write(files.join("note"), "of a tree")?;
    /// let (plan, _) = Plan::create(&TreeRoot::open(&files)?, &plan, &WalkOptions::default())?;
    /// let source = TreeSource::new(TreeRoot::open(&files)?, Arc::new(plan), OnChange::Flag)?;
    /// let (sink, sealed) = MemorySink::new();
    /// let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes([7; 32]));
    /// Sealer::new(recipients).tree().seal(source, sink)?;
    ///
    /// let opener = Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes([7; 32])));
    /// let reader = Arc::new(opener.reader(BytesSource::new(sealed.take().unwrap()))?);
    /// let Content::Tree(catalog) = tree_content(&reader)? else { panic!("it is a tree") };
    /// let note = catalog.find(&TreePath::parse(b"note")?)?.expect("it is there");
    /// let mut bytes = vec![0; note.entry.size as usize];
    /// reader.read_at(note.data_at(), &mut bytes)?;
    /// assert_eq!(bytes, b"of a tree");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn tree(mut self) -> Sealer {
        self.form.content = Some(ContentKind::Tree);
        self
    }
}

/// What the plaintext that `reader` reads is: a tree, with its catalog, or a file of so many bytes. A stream that is no tree is a file of all
/// its bytes; a tree without a catalog is one of those before its tail (TREE T5.4).
///
/// Tail and page directory are read, and no page. What is read of the catalog later is authentic, as all that a [`Reader`] reads.
///
/// # Errors
/// [`ErrorKind::Damaged`] where the stream says that it is a tree, and is none; [`ErrorKind::Unsupported`] where it says that it is something
/// that is not known here; as [`Reader::read_at`].
pub fn tree_content(reader: &Arc<Reader>) -> Result<Content, Error> {
    match ContentKind::of_metadata(reader.metadata())? {
        Some(ContentKind::Tree) => Catalog::open(reader.clone()).map_err(tree_error),
        _ => Ok(Content::PlainFile { tar_len: reader.len() }),
    }
}

/// The error of a stream whose tree cannot be used. Where reading it failed, it is what [`Reader::read_at`] said.
pub fn tree_error(error: TreeError) -> Error {
    match error {
        TreeError::Io { what, source } => match source.downcast::<Error>() {
            Ok(error) => error,
            Err(source) => Error::io(format!("the tree cannot be used: cannot {what}"), source),
        },
        other => damaged(&other),
    }
}

/// The error of a tree that cannot be restored to a place.
pub fn tree_sink_error(error: TreeSinkError) -> Error {
    match error {
        TreeSinkError::Target(error) => target_error(error),
        TreeSinkError::Tree(error) => tree_error(error),
        other => Error::new(ErrorKind::Unsupported, other.to_string()),
    }
}

/// The error of a tree's target, or of what is beside it: of another user's directory it says whose that is, also if it may not be looked into.
pub(crate) fn target_error(error: TargetError) -> Error {
    let path = match &error {
        TargetError::NotOurs { path, .. } => path,
        TargetError::Io { path, source, .. } if source.kind() == io::ErrorKind::PermissionDenied => path,
        TargetError::InTheWay { staging } => staging,
        _ => return Error::target(error),
    };
    let there = path.symlink_metadata().ok().filter(|there| there.is_dir());
    match there.map(|there| there.uid()).filter(|owner| *owner != geteuid().as_raw()) {
        None => Error::target(error),
        Some(owner) => {
            let what =
                format!("{}: this directory belongs to user {owner}, and its name is needed", path.display());
            Error::new(ErrorKind::JournalMismatch, what).advise(NOT_OURS)
        }
    }
}

/// An error of publish, where what stopped it is that the tree is none: then it is of the stream, and not of the target.
pub(crate) fn said_of_tree(error: Error) -> Error {
    let mut cause = error.source();
    while let Some(under) = cause {
        let of_tree = under.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(tree) = of_tree.and_then(|inner| inner.downcast_ref::<TreeError>()) {
            return damaged(tree);
        }
        // From a pipe that shows when all of it has come.
        match of_tree.and_then(|inner| inner.downcast_ref::<TreeSinkError>()) {
            Some(TreeSinkError::PlainFile) => return no_tree(),
            Some(TreeSinkError::Target(refused)) => return Error::refused_target(refused),
            Some(TreeSinkError::Tree(tree)) if !matches!(tree, TreeError::Io { .. }) => return damaged(tree),
            _ => {}
        }
        cause = under.source();
    }
    error
}

/// The error where a directory is asked for, and the stream is none.
pub(crate) fn no_tree() -> Error {
    Error::new(ErrorKind::Usage, "an option is for directories, and the stream is a file")
        .remedied(Remedy::AskForNoTree)
}

/// What to do about another user's directory.
pub(crate) const NOT_OURS: &str =
    "Nothing of another user's directory is used or removed: its owner, or root, can move it away.";

fn damaged(error: &TreeError) -> Error {
    Error::new(ErrorKind::Damaged, error.to_string()).advise(
        "Every byte is as it was sealed: whoever sealed it has sealed a tree that is none. Its archive may be of use to tar.",
    )
}
