//! What is mounted: a tree, or one file.
//! Knows no kernel; a failure is the tree's.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use cofferdam_io::ReadAt;
use tree::{Catalog, Content, EntryKind, Timestamp, TreeError, TreePath, Xattr};

use crate::bounded_source::BoundedSource;
use crate::inode::Inode;
use crate::link_counts::LinkCounts;
use crate::node::{Child, Extent, Node};
use crate::tree_view::TreeView;
use crate::{MountError, MountOptions, Owners};

/// What the bytes of a source are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ContentsKind {
    /// A tree with its catalog (docs/TREE.md). One flagged *no catalog* is a file of this name.
    Tree(OsString),
    /// A file of this name.
    File(OsString),
}

/// Bytes that have been looked at, and can be mounted.
pub struct Contents {
    pub(crate) source: Arc<BoundedSource>,
    shape: Shape,
}

enum Shape {
    Tree(Box<TreeView>),
    File(SingleFile),
}

impl Contents {
    /// Looks at `source`. Of a tree all of the catalog is read and checked (TREE T6.1), which no later read jumps over.
    ///
    /// # Errors
    /// [`MountError::Tree`] where it cannot be read or is no tree; [`MountError::TooManyHardLinks`].
    pub fn open(
        source: Arc<dyn ReadAt>,
        kind: ContentsKind,
        options: &MountOptions,
    ) -> Result<Contents, MountError> {
        let source = Arc::new(BoundedSource::new(source, options.patience));
        let shape = match kind {
            ContentsKind::File(name) => Shape::File(SingleFile::new(name, source.len(), options.owners)),
            ContentsKind::Tree(name) => match Catalog::open(source.clone())? {
                Content::PlainFile { tar_len } => Shape::File(SingleFile::new(name, tar_len, options.owners)),
                Content::Tree(catalog) => {
                    let checked = catalog.check()?;
                    let links = LinkCounts::of(checked.catalog(), checked.counts().hard_links)?;
                    Shape::Tree(Box::new(TreeView::new(source.clone(), checked, links, options.owners)))
                }
            },
        };
        Ok(Contents { source, shape })
    }

    /// Members of the tree; 1 of a single file.
    pub fn entries(&self) -> u64 {
        match &self.shape {
            Shape::Tree(tree) => tree.entries(),
            Shape::File(_) => 1,
        }
    }

    /// Bytes of all files.
    pub fn data_len(&self) -> u64 {
        match &self.shape {
            Shape::Tree(tree) => tree.data_len(),
            Shape::File(file) => file.len,
        }
    }

    /// Whether it is a tree.
    pub fn is_tree(&self) -> bool {
        matches!(self.shape, Shape::Tree(_))
    }

    /// The attributes of an inode.
    pub(crate) fn node(&self, inode: Inode) -> Result<Option<Node>, TreeError> {
        match &self.shape {
            Shape::Tree(tree) => tree.node(inode),
            Shape::File(file) => Ok(file.node(inode)),
        }
    }

    /// What has `name` in a directory.
    pub(crate) fn child(&self, directory: Inode, name: &[u8]) -> Result<Option<Node>, TreeError> {
        match &self.shape {
            Shape::Tree(tree) => tree.child(directory, name),
            Shape::File(file) => {
                Ok((directory == Inode::Root && name == file.name.as_bytes()).then(|| file.file_node()))
            }
        }
    }

    /// Calls `take` for what is in a directory from `from` on, where 0 is the beginning, until it says that it is full.
    pub(crate) fn for_each_child(
        &self,
        directory: Inode,
        from: u64,
        take: &mut dyn FnMut(Child) -> Listing,
    ) -> Result<(), TreeError> {
        match &self.shape {
            Shape::Tree(tree) => tree.for_each_child(directory, from, take),
            Shape::File(file) => {
                if directory == Inode::Root && from == 0 {
                    let name = file.name.as_bytes().to_vec();
                    take(Child { name, node: file.file_node(), next: 1 });
                }
                Ok(())
            }
        }
    }

    /// The directory that a directory is in; the root's is the root.
    pub(crate) fn parent(&self, directory: Inode) -> Result<Inode, TreeError> {
        match &self.shape {
            Shape::Tree(tree) => tree.parent(directory),
            Shape::File(_) => Ok(Inode::Root),
        }
    }

    /// Where the contents of a file are, if it is one. Its header has been read then, and says what the catalog says.
    pub(crate) fn extent(&self, inode: Inode) -> Result<Option<Extent>, TreeError> {
        match &self.shape {
            Shape::Tree(tree) => tree.extent(inode),
            Shape::File(file) => Ok((inode == FILE).then(|| Extent {
                at: 0,
                len: file.len,
                name: file.name.to_string_lossy().into_owned(),
            })),
        }
    }

    /// The target of a symbolic link, if it is one.
    pub(crate) fn link_target(&self, inode: Inode) -> Result<Option<Vec<u8>>, TreeError> {
        match &self.shape {
            Shape::Tree(tree) => tree.link_target(inode),
            Shape::File(_) => Ok(None),
        }
    }

    /// The extended attributes of an inode.
    pub(crate) fn xattrs(&self, inode: Inode) -> Result<Vec<Xattr>, TreeError> {
        match &self.shape {
            Shape::Tree(tree) => tree.xattrs(inode),
            Shape::File(_) => Ok(Vec::new()),
        }
    }

    /// For people: what the inode is called.
    pub(crate) fn name_of(&self, inode: Inode) -> String {
        match &self.shape {
            Shape::Tree(tree) => tree.path(inode).ok().flatten().unwrap_or_else(TreePath::root).to_string(),
            Shape::File(file) => file.name.to_string_lossy().into_owned(),
        }
    }
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Contents").field("entries", &self.entries()).finish_non_exhaustive()
    }
}

/// Whether a listing takes more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Listing {
    HasRoom,
    IsFull,
}

/// All of the source, or its beginning, under a name in a directory of its own.
struct SingleFile {
    name: OsString,
    len: u64,
    owners: Owners,
}

impl SingleFile {
    fn new(name: OsString, len: u64, owners: Owners) -> SingleFile {
        SingleFile { name, len, owners }
    }

    fn node(&self, inode: Inode) -> Option<Node> {
        match inode {
            Inode::Root => Some(Node { mode: 0o555, ..Node::implied(Inode::Root, self.owner()) }),
            FILE => Some(self.file_node()),
            _ => None,
        }
    }

    /// For everybody who gets to the mount.
    fn file_node(&self) -> Node {
        let (user, group) = self.owner();
        Node {
            inode: FILE,
            kind: EntryKind::File,
            size: self.len,
            mode: 0o444,
            user,
            group,
            modified: Timestamp::default(),
            links: 1,
            device: (0, 0),
        }
    }

    fn owner(&self) -> (u32, u32) {
        match self.owners {
            Owners::AsSealed => crate::mount_point::mounter(),
            Owners::All { user, group } => (user, group),
        }
    }
}

const FILE: Inode = Inode::Entry(0);
