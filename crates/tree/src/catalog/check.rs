//! The whole catalog looked at, before anything is made of it (TREE T6.1).
//! Knows no file system; what a tree must not be is said in `path.rs`.

use super::{Catalog, EntryRef, INDEX_NUMBER_LEN, read};
use crate::{
    EntryKind, NameFault, TreeError, TreePath,
    path::{FoldedPaths, PathOrder},
};

/// A catalog all of which has been looked at: its members tile the archive, no two have one path, none lies below what is no directory,
/// and hard links lead to earlier members.
#[derive(Debug)]
pub struct CheckedCatalog {
    catalog: Catalog,
    counts: EntryCounts,
}

/// What a tree is made of.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct EntryCounts {
    /// Regular files.
    pub files: u64,
    /// Other names of earlier members.
    pub hard_links: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Directories that are members.
    pub directories: u64,
    /// Devices and FIFOs.
    pub others: u64,
    /// Devices alone.
    pub devices: u64,
    /// Files that changed while they were read, those that were gone among them.
    pub changed: u64,
    /// Files that were gone when they were read: zeros stand for them, or for the rest of them.
    pub gone: u64,
    /// Bytes of the files that were gone.
    pub gone_len: u64,
    /// Bytes of all files.
    pub data_len: u64,
}

impl Catalog {
    /// Looks at all of the catalog.
    ///
    /// # Errors
    /// [`TreeError::Catalog`] where it lies, [`TreeError::Name`] where its paths cannot be in one tree; the medium's own.
    pub fn check(self) -> Result<CheckedCatalog, TreeError> {
        let mut counts = EntryCounts::default();
        let mut order = Some(PathOrder::default());
        for index in 0..self.pages() {
            let page = self.page(index)?;
            if !self.has_numbers_in_order(page.first_entry, page.count())? {
                order = None;
            }
            for entry in page.refs() {
                counts.add(entry);
                if let Some(order) = &mut order {
                    order.push(entry.path, entry.kind == EntryKind::Directory)?;
                }
            }
        }
        if order.is_none() {
            self.check_name_index()?;
        }
        if counts.hard_links > 0 {
            self.check_hard_links()?;
        }
        Ok(CheckedCatalog { catalog: self, counts })
    }

    /// Whether the name index has these numbers at their own places: then the archive is in path order there.
    fn has_numbers_in_order(&self, first: u64, count: usize) -> Result<bool, TreeError> {
        let mut bytes = vec![0; count * INDEX_NUMBER_LEN as usize];
        read(&*self.source, self.index_at + first * INDEX_NUMBER_LEN, &mut bytes)?;
        let numbers = bytes.chunks_exact(INDEX_NUMBER_LEN as usize);
        Ok(numbers.zip(first as u32..).all(|(bytes, number)| bytes == number.to_le_bytes()))
    }

    fn check_name_index(&self) -> Result<(), TreeError> {
        let mut order = PathOrder::default();
        self.in_order(0..self.entries()).try_for_each(|found| {
            let entry = found?.entry;
            order.push(entry.path.as_bytes(), entry.kind == EntryKind::Directory)
        })
    }

    /// Whether each hard link leads to a member before it that a hard link can lead to. That the name index is in order is known.
    pub(crate) fn check_hard_links(&self) -> Result<(), TreeError> {
        let (mut links, mut links_len) = (Vec::new(), 0);
        for index in 0..self.pages() {
            let page = self.page(index)?;
            let places = (0..page.count()).filter(|at| page.entry(*at).kind == EntryKind::HardLink);
            for found in places.map(|at| page.located(at)) {
                let target = TreePath::parse(&found.entry.link);
                let target = target.map_err(|_| link_fault(&found.entry.path))?;
                links_len += target.as_bytes().len() + found.entry.path.as_bytes().len() + LINK_LEN_ABOUT;
                links.push((target, found.number, found.entry.path));
            }
            if links_len >= LINKS_LEN_MAX {
                self.check_targets(std::mem::take(&mut links))?;
                links_len = 0;
            }
        }
        self.check_targets(links)
    }

    /// Whether each of these links, which are targets, numbers and paths, leads to a member before it, one that a hard link can lead to.
    fn check_targets(&self, mut links: Vec<(TreePath, u64, TreePath)>) -> Result<(), TreeError> {
        links.sort_unstable();
        let mut links = links.iter().peekable();
        for found in self.in_order(0..self.entries()) {
            let found = found?;
            while let Some((target, number, path)) = links.next_if(|(target, ..)| *target <= found.entry.path)
            {
                let kind = found.entry.kind;
                let has_bytes = !matches!(kind, EntryKind::Directory | EntryKind::HardLink);
                if *target != found.entry.path || found.number >= *number || !has_bytes {
                    return Err(link_fault(path));
                }
            }
        }
        links.next().map_or(Ok(()), |(.., path)| Err(link_fault(path)))
    }
}

fn link_fault(path: &TreePath) -> TreeError {
    TreeError::name(path.as_bytes(), NameFault::LinkTarget)
}

impl CheckedCatalog {
    /// The catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// A path that differs from another one in upper and lower case alone, if the tree has such paths; directories that are no members count. Takes
    /// at least 24 bytes of memory for each member.
    ///
    /// # Errors
    /// The medium's own.
    pub fn same_but_for_case(&self) -> Result<Option<TreePath>, TreeError> {
        let mut folded = FoldedPaths::default();
        for index in 0..self.catalog.pages() {
            let page = self.catalog.page(index)?;
            let found = page.entries().find_map(|entry| folded.push(&entry.path));
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// What the tree is made of.
    pub fn counts(&self) -> EntryCounts {
        self.counts
    }
}

impl EntryCounts {
    pub(super) fn add(&mut self, entry: EntryRef<'_>) {
        let count = match entry.kind {
            EntryKind::File => &mut self.files,
            EntryKind::HardLink => &mut self.hard_links,
            EntryKind::Symlink => &mut self.symlinks,
            EntryKind::Directory => &mut self.directories,
            EntryKind::CharDevice | EntryKind::BlockDevice | EntryKind::Fifo => &mut self.others,
        };
        *count += 1;
        self.devices += u64::from(matches!(entry.kind, EntryKind::CharDevice | EntryKind::BlockDevice));
        self.changed += u64::from(entry.changed);
        self.gone += u64::from(entry.gone);
        // Pages tile the archive, whose length is a number.
        self.gone_len += if entry.gone { entry.size } else { 0 };
        self.data_len += entry.size;
    }
}

/// Bytes of hard links that are looked up together.
const LINKS_LEN_MAX: usize = 16 << 20;
/// What one takes beside its paths.
const LINK_LEN_ABOUT: usize = 64;
