//! A tree as directories and files, out of its catalog: each answer is looked up, and nothing is kept but the catalog's pages, and what listings
//! have come to.
//! Knows no kernel.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;
use tree::limits::BLOCK_LEN;
use tree::{Catalog, CheckedCatalog, EntryKind, LocatedEntry, NameFault, TreeError, TreePath, Xattr};

use crate::Owners;
use crate::bounded_source::BoundedSource;
use crate::contents::Listing;
use crate::inode::Inode;
use crate::link_counts::{LinkCounts, target_of};
use crate::mount_point::mounter;
use crate::node::{Child, Extent, Node};

/// A tree all of whose catalog has been checked.
pub(crate) struct TreeView {
    source: Arc<BoundedSource>,
    checked: CheckedCatalog,
    links: LinkCounts,
    owners: Owners,
    /// Entries that follow one another in path order, by the place of the first: an archive in another order has them on as many pages.
    listed: Mutex<LruCache<u64, Arc<Vec<LocatedEntry>>>>,
}

impl TreeView {
    pub(crate) fn new(
        source: Arc<BoundedSource>,
        checked: CheckedCatalog,
        links: LinkCounts,
        owners: Owners,
    ) -> TreeView {
        TreeView { source, checked, links, owners, listed: Mutex::new(LruCache::new(WINDOWS_KEPT)) }
    }

    pub(crate) fn entries(&self) -> u64 {
        self.catalog().entries()
    }

    pub(crate) fn data_len(&self) -> u64 {
        self.checked.counts().data_len
    }

    pub(crate) fn node(&self, inode: Inode) -> Result<Option<Node>, TreeError> {
        Ok(match self.located(inode)? {
            Found::Member(located) => Some(self.node_with_device(&located)?),
            Found::Implied(_) => Some(self.implied(inode)),
            Found::Nothing => None,
        })
    }

    pub(crate) fn child(&self, directory: Inode, name: &[u8]) -> Result<Option<Node>, TreeError> {
        let Some(directory) = self.path(directory)? else { return Ok(None) };
        let path = match directory.join(name) {
            Ok(path) => path,
            Err(NameFault::TooLong) => return Err(too_long(&directory)),
            Err(_) => return Ok(None),
        };
        let place = self.catalog().place_of(&path)?;
        match self.catalog().entry_in_order(place)? {
            Some(found) if found.entry.path == path => self.node_with_device(&found).map(Some),
            Some(found) if found.entry.path.is_below(&path) => Ok(Some(self.implied(implied(&found, &path)))),
            _ => Ok(None),
        }
    }

    /// Places in path order go on, since all that is below a directory follows it. A position is the place of the next child and 1; 0 is
    /// before the first one.
    pub(crate) fn for_each_child(
        &self,
        directory: Inode,
        from: u64,
        take: &mut dyn FnMut(Child) -> Listing,
    ) -> Result<(), TreeError> {
        let Some(directory) = self.path(directory)? else { return Ok(()) };
        let mut place = match from.checked_sub(1) {
            Some(place) => place,
            None => self.first_below(&directory)?,
        };
        while let Some(found) = self.listed(place)? {
            if !found.entry.path.is_below(&directory) {
                break;
            }
            let name = first_name(&directory, &found.entry.path).to_vec();
            let path = directory
                .join(&name)
                .map_err(|fault| TreeError::Name { path: found.entry.path.to_string(), fault })?;
            let is_member = path == found.entry.path;
            let node = match is_member {
                true => self.node_of(&found)?,
                false => self.implied(implied(&found, &path)),
            };
            place = match is_member && found.entry.kind != EntryKind::Directory {
                true => place + 1,
                false => self.place_behind(place, &path)?,
            };
            if take(Child { name, node, next: place + 1 }) == Listing::IsFull {
                break;
            }
        }
        Ok(())
    }

    /// The entry at this place in path order, with those around it.
    fn listed(&self, place: u64) -> Result<Option<LocatedEntry>, TreeError> {
        let first = place - place % WINDOW_LEN;
        let kept = self.listed.lock().get(&first).cloned();
        let window = match kept {
            Some(window) => window,
            None => {
                let read = self.catalog().in_order(first..first + WINDOW_LEN).collect::<Result<Vec<_>, _>>();
                let window = Arc::new(read?);
                self.listed.lock().put(first, window.clone());
                window
            }
        };
        Ok(window.get((place - first) as usize).cloned())
    }

    pub(crate) fn parent(&self, directory: Inode) -> Result<Inode, TreeError> {
        let path = self.path(directory)?.and_then(|path| path.parent()).unwrap_or_else(TreePath::root);
        if path.is_root() {
            return Ok(Inode::Root);
        }
        let place = self.catalog().place_of(&path)?;
        Ok(match self.catalog().entry_in_order(place)? {
            Some(found) if found.entry.path == path => Inode::Entry(found.number),
            Some(found) => implied(&found, &path),
            None => Inode::Root,
        })
    }

    pub(crate) fn extent(&self, inode: Inode) -> Result<Option<Extent>, TreeError> {
        let Found::Member(located) = self.located(inode)? else { return Ok(None) };
        if located.entry.kind != EntryKind::File {
            return Ok(None);
        }
        // Headers decide: nothing is given out of a file whose own header says something else than the catalog.
        located.read_member(&*self.source)?;
        let name = located.entry.path.to_string();
        Ok(Some(Extent { at: located.data_at(), len: located.entry.size, name }))
    }

    pub(crate) fn link_target(&self, inode: Inode) -> Result<Option<Vec<u8>>, TreeError> {
        let Found::Member(located) = self.located(inode)? else { return Ok(None) };
        if located.entry.kind != EntryKind::Symlink {
            return Ok(None);
        }
        Ok(Some(located.read_member(&*self.source)?.link))
    }

    pub(crate) fn xattrs(&self, inode: Inode) -> Result<Vec<Xattr>, TreeError> {
        match self.located(inode)? {
            // A header of one block has no room for any.
            Found::Member(located) if located.entry.header_len > BLOCK_LEN as u64 => {
                Ok(located.read_member(&*self.source)?.xattrs)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// None where the number is of nothing.
    pub(crate) fn path(&self, inode: Inode) -> Result<Option<TreePath>, TreeError> {
        Ok(match self.located(inode)? {
            Found::Member(located) => Some(located.entry.path),
            Found::Implied(path) => Some(path),
            Found::Nothing => None,
        })
    }

    fn located(&self, inode: Inode) -> Result<Found, TreeError> {
        Ok(match inode {
            Inode::Root => match self.catalog().entry_in_order(0)? {
                Some(root) if root.entry.path.is_root() => Found::Member(root),
                _ => Found::Implied(TreePath::root()),
            },
            Inode::Entry(number) => self.catalog().entry(number)?.map_or(Found::Nothing, Found::Member),
            Inode::Implied { below, path_len } => {
                let found = self.catalog().entry(below)?;
                let path =
                    found.as_ref().and_then(|found| found.entry.path.as_bytes().get(..path_len as usize));
                path.and_then(|path| TreePath::parse(path).ok()).map_or(Found::Nothing, Found::Implied)
            }
        })
    }

    /// Of a member, or of what it is a hard link to. Without the numbers of a device.
    fn node_of(&self, located: &LocatedEntry) -> Result<Node, TreeError> {
        if located.entry.kind == EntryKind::HardLink {
            return self.node_of(&target_of(self.catalog(), &located.entry.link)?);
        }
        let (inode, names) = match located.entry.path.is_root() {
            true => (Inode::Root, 1),
            false => (Inode::Entry(located.number), self.links.names_of(located.number)),
        };
        Ok(Node::of_entry(inode, &located.entry, self.owners, names))
    }

    fn node_with_device(&self, located: &LocatedEntry) -> Result<Node, TreeError> {
        let mut node = self.node_of(located)?;
        if let (EntryKind::CharDevice | EntryKind::BlockDevice, Inode::Entry(number)) =
            (node.kind, node.inode)
            && let Some(device) = self.catalog().entry(number)?
        {
            node.device = device.read_member(&*self.source)?.device;
        }
        Ok(node)
    }

    fn implied(&self, inode: Inode) -> Node {
        let owner = match self.owners {
            Owners::AsSealed => mounter(),
            Owners::All { user, group } => (user, group),
        };
        Node::implied(inode, owner)
    }

    /// The place of what follows a directory's own member, if it has one.
    fn first_below(&self, directory: &TreePath) -> Result<u64, TreeError> {
        let place = self.catalog().place_of(directory)?;
        let is_it = |found: LocatedEntry| found.entry.path == *directory;
        Ok(place + u64::from(self.catalog().entry_in_order(place)?.is_some_and(is_it)))
    }

    /// The first place behind `place` that is not below `directory`, which is there or begins there.
    fn place_behind(&self, place: u64, directory: &TreePath) -> Result<u64, TreeError> {
        let is_below = |place| -> Result<bool, TreeError> {
            let found = self.catalog().entry_in_order(place)?;
            Ok(found.is_some_and(|found| found.entry.path.is_below(directory)))
        };
        // Steps that double: most directories have few members, and one may have nearly all.
        let (mut low, mut step) = (place + 1, 1);
        while is_below(low + step - 1)? {
            low += step;
            step *= 2;
        }
        let mut high = low + step - 1;
        while low < high {
            let middle = low + (high - low) / 2;
            match is_below(middle)? {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }

    fn catalog(&self) -> &Catalog {
        self.checked.catalog()
    }
}

enum Found {
    Member(LocatedEntry),
    /// A directory that has no member.
    Implied(TreePath),
    Nothing,
}

/// The inode of a directory that has no member, by the first member below it.
fn implied(first: &LocatedEntry, directory: &TreePath) -> Inode {
    Inode::Implied { below: first.number, path_len: directory.as_bytes().len() as u64 }
}

/// The component of `path` that is in `directory`, which it is below.
fn first_name<'a>(directory: &TreePath, path: &'a TreePath) -> &'a [u8] {
    let begin = if directory.is_root() { 0 } else { directory.as_bytes().len() + 1 };
    let rest = path.as_bytes().get(begin..).unwrap_or_default();
    rest.split(|byte| *byte == b'/').next().unwrap_or_default()
}

fn too_long(directory: &TreePath) -> TreeError {
    TreeError::Name { path: directory.to_string(), fault: NameFault::TooLong }
}

/// Entries that are looked up together for a listing.
const WINDOW_LEN: u64 = 4_096;
/// Windows that are kept, for as many listings at once: some 0.5 MiB each, and 16 MiB where paths are as long as can be.
const WINDOWS_KEPT: NonZeroUsize = NonZeroUsize::new(4).expect("4 is not 0");
