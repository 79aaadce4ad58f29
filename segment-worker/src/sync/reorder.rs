//! Any order in, index order out.
//! It knows nothing of what it orders, and no thread: its owner is one.

use std::collections::BTreeMap;

/// Values that arrive in any order and leave in that of their positions. A value may span several positions.
pub(crate) struct Reorder<T> {
    next: u32,
    early: BTreeMap<u32, (u32, T)>,
}

impl<T> Reorder<T> {
    /// Nothing has arrived; position 0 is due.
    pub(crate) fn new() -> Reorder<T> {
        Reorder { next: 0, early: BTreeMap::new() }
    }

    /// Takes the value at `first`, which spans `count` positions. False if one of them has been taken before, or if it
    /// spans none.
    pub(crate) fn insert(&mut self, first: u32, count: u32, value: T) -> bool {
        let Some(end) = first.checked_add(count) else { return false };
        let after = self.early.range(first..).next().is_none_or(|(start, _)| end <= *start);
        let before =
            self.early.range(..first).next_back().is_none_or(|(start, (count, _))| start + count <= first);
        if count == 0 || first < self.next || !after || !before {
            return false;
        }
        self.early.insert(first, (count, value));
        true
    }

    /// The value that is due, if it has arrived.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let entry = self.early.first_entry()?;
        if *entry.key() != self.next {
            return None;
        }
        let (count, value) = entry.remove();
        self.next += count;
        Some(value)
    }

    /// The position that is due.
    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    /// Whether a value waits for one before it.
    pub(crate) fn has_gap(&self) -> bool {
        !self.early.is_empty()
    }
}
