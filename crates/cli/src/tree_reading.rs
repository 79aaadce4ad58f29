//! A sealed tree that a command looks into: how it is opened, and how its paths are given and shown.
//! It knows no command.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use cofferdam::tree::{Catalog, Content, EntryCounts, TreeError, TreePath};
use cofferdam::{CancelToken, ContentKind, Reader, Restored, tree_content, tree_error};

use crate::expected::Expected;
use crate::failure::Failure;
use crate::interrupt;
use crate::metrics_file::{self, RunInfo};
use crate::named_files::NamedFiles;
use crate::opening_args::OpeningArgs;
use crate::progress::{Warnings, Watch};
use crate::report::Report;
use crate::sealed::Sealed;
use crate::signatures::SignedByArgs;

/// How a sealed tree is opened.
#[derive(clap::Args)]
pub(crate) struct TreeReading {
    #[command(flatten)]
    expected: Expected,

    #[command(flatten)]
    signed_by: SignedByArgs,

    #[command(flatten)]
    opening: OpeningArgs,
}

/// A tree that is open.
pub(crate) struct OpenedTree {
    pub(crate) reader: Arc<Reader>,
    pub(crate) catalog: Catalog,
    pub(crate) cancel: CancelToken,
}

impl TreeReading {
    /// Opens the tree in `sealed`, for the command of this name.
    pub(crate) fn open(
        &mut self,
        command: &'static str,
        sealed: &mut Sealed,
        report: Report,
    ) -> Result<OpenedTree, Failure> {
        sealed.set_timeout(self.opening.timeout);
        self.signed_by.set_timeout(self.opening.timeout);
        let mut files = NamedFiles::default();
        self.opening.name_files(sealed, &mut files)?;
        self.signed_by.name_files(sealed, &mut files)?;
        self.opening.resources.begin(RunInfo::opening(command), &files, report)?;
        let cancel = interrupt::install(report)?;
        let watch = Watch::new(report, "reading", Warnings::AtOnce);
        let identities = self.opening.keys.some_identities(&cancel, report)?;
        metrics_file::has_keys();
        let opener = self.opening.opener(Some(identities), &self.expected, &cancel, watch, report)?;
        let opener = self.expected.pinned(opener);
        let (opener, _) = self.signed_by.demand(opener, sealed, &cancel, report)?;
        let of_input = |error| Failure::from(error).of_input(&sealed);
        let reader = Arc::new(opener.reader(sealed.source(&cancel, report)?).map_err(of_input)?);
        let catalog = catalog_of(&reader, sealed)?;
        Ok(OpenedTree { reader, catalog, cancel })
    }
}

/// The catalog of the tree that `reader` reads.
pub(crate) fn catalog_of(reader: &Arc<Reader>, sealed: &Sealed) -> Result<Catalog, Failure> {
    match tree_content(reader).map_err(|error| Failure::from(error).of_input(sealed))? {
        Content::Tree(catalog) => Ok(catalog),
        Content::PlainFile { tar_len } if tar_len < reader.len() => {
            Err(Failure::usage(format!("{sealed}: this tree has no catalog, so nothing in it can be found"))
                .advise("Its archive is whole: `cofferdam cat --tar … | tar t` lists it."))
        }
        Content::PlainFile { .. } => Err(Failure::usage(format!("{sealed}: the stream is no tree")).advise(
            "A tree is what `cofferdam seal` makes of a directory; `restore` and `cat` take any stream.",
        )),
    }
}

/// Of a stream that was found whole and says that it is a tree, what it is made of, if its catalog and its headers fit together. `reader` opens it
/// once more.
pub(crate) fn check_tree(
    found: &Restored,
    reader: impl FnOnce() -> Result<Reader, Failure>,
) -> Result<Option<EntryCounts>, Failure> {
    match ContentKind::of_metadata(&found.metadata) {
        Ok(Some(ContentKind::Tree)) => Ok(cofferdam::check_tree(&Arc::new(reader()?))?),
        _ => Ok(None),
    }
}

/// A tree, or its reading, is not what it should be.
pub(crate) fn of_tree(error: TreeError, sealed: &Sealed) -> Failure {
    Failure::from(tree_error(error)).of_input(sealed)
}

/// A path as people give it: from the tree's directory on, with `./` or `/` before it or not, and with `/` behind it or not.
pub(crate) fn parse_path(path: &OsStr) -> Result<TreePath, Failure> {
    let bytes = path.as_bytes();
    let stripped = bytes.strip_prefix(b"./").unwrap_or(bytes);
    let stripped = stripped.strip_prefix(b"/").unwrap_or(stripped);
    let stripped = stripped.strip_suffix(b"/").unwrap_or(stripped);
    if stripped.is_empty() && !bytes.is_empty() {
        return Ok(TreePath::root());
    }
    TreePath::parse(stripped)
        .map_err(|fault| Failure::usage(format!("{}: this path {fault}", crate::printable::Name::from(path))))
}

/// Said of a path that the tree does not have.
pub(crate) fn not_there(path: &TreePath, sealed: &Sealed) -> Failure {
    Failure::usage(format!("{sealed} has nothing at {}", crate::tree_args::name(path)))
        .advise("`cofferdam ls` lists what it has.")
}
