//! How many names the members of a tree have: no header and no catalog says it.
//! Knows nothing of inodes.

use tree::{Catalog, EntryKind, TreeError, TreePath};

use crate::MountError;

/// How many hard links lead to each member that has any.
pub(crate) struct LinkCounts(Vec<(u32, u32)>);

impl LinkCounts {
    /// Looks for them in all of the catalog, which has `count` of them.
    pub(crate) fn of(catalog: &Catalog, count: u64) -> Result<LinkCounts, MountError> {
        if count > HARD_LINKS_MAX {
            return Err(MountError::TooManyHardLinks { count });
        }
        let mut targets: Vec<u32> = Vec::new();
        let pages = if count == 0 { 0 } else { catalog.pages() };
        for index in 0..pages {
            for entry in catalog.page(index)?.entries() {
                if entry.kind == EntryKind::HardLink {
                    let target = target_of(catalog, &entry.link)?;
                    targets.push(u32::try_from(target.number).expect("there are at most 2^28 entries"));
                }
            }
        }
        targets.sort_unstable();
        let counts = targets.chunk_by(|one, other| one == other);
        let count = |targets: &[u32]| (targets[0], u32::try_from(targets.len()).unwrap_or(u32::MAX));
        Ok(LinkCounts(counts.map(count).collect()))
    }

    /// Names of the member of this number, its own included.
    pub(crate) fn names_of(&self, number: u64) -> u32 {
        let found = self.0.binary_search_by_key(&number, |(target, _)| u64::from(*target));
        found.map_or(1, |at| self.0[at].1.saturating_add(1))
    }
}

/// The member that a hard link leads to.
pub(crate) fn target_of(catalog: &Catalog, link: &[u8]) -> Result<tree::LocatedEntry, TreeError> {
    let path = TreePath::parse(link).ok();
    let found = path.map(|path| catalog.find(&path)).transpose()?.flatten();
    found.filter(|found| !matches!(found.entry.kind, EntryKind::HardLink | EntryKind::Directory)).ok_or_else(
        || TreeError::Catalog { at: catalog.tar_len(), what: "a hard link to what is no file".into() },
    )
}

/// Hard links that a tree may have to be mounted: 4 bytes of memory each.
pub const HARD_LINKS_MAX: u64 = 1 << 24;
