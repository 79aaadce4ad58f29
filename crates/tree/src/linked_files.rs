//! Files with several names, while a walk comes to those: which name was the first.
//! Knows no file system.

use std::collections::{HashMap, hash_map::Entry};

use crate::TreePath;

/// Files of which some names have come and some have not. A file whose names have all come is forgotten, so that what is kept is no more than is open.
#[derive(Debug, Default)]
pub(crate) struct LinkedFiles(HashMap<FileId, LinkedFile>);

/// Device and inode.
pub(crate) type FileId = (u64, u64);

/// A file of which more names may come.
#[derive(Debug)]
struct LinkedFile {
    first: TreePath,
    /// How many have come.
    names: u32,
}

impl LinkedFiles {
    /// The first path of the file `id`, which has `names` names, and `path` is the next of them. None: it is the first one itself.
    pub(crate) fn first_of(&mut self, id: FileId, names: u32, path: &TreePath) -> Option<TreePath> {
        match self.0.entry(id) {
            Entry::Vacant(vacant) => {
                vacant.insert(LinkedFile { first: path.clone(), names: 1 });
                None
            }
            Entry::Occupied(mut occupied) => {
                occupied.get_mut().names += 1;
                match occupied.get().names < names {
                    true => Some(occupied.get().first.clone()),
                    false => Some(occupied.remove().first),
                }
            }
        }
    }

    /// The first name that has come was gone after all: the next one is the first.
    pub(crate) fn forget(&mut self, id: FileId) {
        self.0.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_told_the_first_one_and_nothing_is_kept_of_a_file_whose_names_have_all_come() {
        let path = |name: &str| TreePath::parse(name.as_bytes()).unwrap();
        let mut files = LinkedFiles::default();
        assert_eq!(files.first_of((1, 7), 3, &path("a")), None);
        assert_eq!(files.first_of((2, 7), 2, &path("b")), None);
        assert_eq!(files.first_of((1, 7), 3, &path("c")), Some(path("a")));
        assert_eq!(files.first_of((1, 7), 3, &path("d")), Some(path("a")));
        assert_eq!(files.0.len(), 1);
        assert_eq!(files.first_of((2, 7), 2, &path("e")), Some(path("b")));
        assert!(files.0.is_empty());
        // One of which no other name comes: it is outside of what is walked.
        assert_eq!(files.first_of((3, 7), 2, &path("f")), None);
        assert_eq!(files.0.len(), 1);
    }
}
