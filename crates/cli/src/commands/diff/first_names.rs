//! Files that have several names in a tree: which of them a walk of the same directory finds first.
//! It compares nothing.

use cofferdam::tree::{Catalog, EntryKind, LocatedEntry, TreeError, TreePath};

/// Of files with several names in the tree, the first link of each in path order: a walk finds that one first, or the file that is linked to, in whatever order the
/// archive has them. Numbers of file and link, in the order of files.
pub(super) struct FirstNames(Vec<(u32, u32)>);

impl FirstNames {
    /// None: the tree has too many hard links.
    pub(super) fn read(catalog: &Catalog) -> Result<Option<FirstNames>, TreeError> {
        let mut links = Vec::new();
        for located in catalog.in_order(0..u64::MAX) {
            let located = located?;
            if located.entry.kind != EntryKind::HardLink {
                continue;
            }
            let Some(file) = file_of(catalog, &located)? else { continue };
            if links.len() == HARD_LINKS_MAX {
                return Ok(None);
            }
            links.push((number_of(&file), number_of(&located)));
        }
        // A stable sort: of each file's links the first in path order stays the first.
        links.sort_by_key(|(file, _)| *file);
        links.dedup_by_key(|(file, _)| *file);
        Ok(Some(FirstNames(links)))
    }

    /// The entry that has the bytes of `entry`, if it is of a file with several names; and the name that it links to, unless it is the first one itself.
    pub(super) fn resolve(
        &self,
        catalog: &Catalog,
        entry: &LocatedEntry,
    ) -> Result<(Option<LocatedEntry>, Option<TreePath>), TreeError> {
        let file = match entry.entry.kind {
            EntryKind::HardLink => file_of(catalog, entry)?,
            _ => Some(entry.clone()),
        };
        let place = |file: &LocatedEntry| self.0.binary_search_by_key(&number_of(file), |(file, _)| *file);
        let Some((file, place)) = file.and_then(|file| place(&file).ok().map(|place| (file, place))) else {
            return Ok((None, None));
        };
        let link = catalog.entry(self.0[place].1.into())?.map(|link| link.entry.path);
        let first = link.filter(|link| *link < file.entry.path).unwrap_or_else(|| file.entry.path.clone());
        Ok((Some(file), (first != entry.entry.path).then_some(first)))
    }
}

/// The file that a hard link is another name of.
fn file_of(catalog: &Catalog, link: &LocatedEntry) -> Result<Option<LocatedEntry>, TreeError> {
    match TreePath::parse(&link.entry.link) {
        Ok(path) => catalog.find(&path),
        Err(_) => Ok(None),
    }
}

fn number_of(located: &LocatedEntry) -> u32 {
    u32::try_from(located.number).expect("there are at most 2^28 entries")
}

/// Hard links that a tree may have to be compared, as to be mounted: 8 bytes of memory each, and half of that again to sort them.
pub(super) const HARD_LINKS_MAX: usize = 1 << 24;
