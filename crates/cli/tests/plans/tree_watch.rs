//! A watcher of a target that is a directory: it is the old one, then the new one, and no file of it is written after that.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crate::fixture::{Listing, difference, list};

/// What a file is, by what changes if anybody writes to it, replaces it or sets an attribute of it.
type Stamp = (u64, u64, i64, i64);

/// Looks at the target until it is told to end.
pub(crate) struct TreeWatch {
    /// Stored by the test, loaded by the watcher; it orders nothing.
    ends: Arc<AtomicBool>,
    watcher: JoinHandle<u64>,
}

impl TreeWatch {
    /// Of the directory at `target`, which is there now or is not, and may become `new` once.
    pub(crate) fn begin(target: PathBuf, is_there: bool, new: Arc<Listing>) -> TreeWatch {
        let ends = Arc::new(AtomicBool::new(false));
        let asked = ends.clone();
        let old = is_there.then(|| (inode(&target).unwrap(), stamps(&target).unwrap()));
        let watcher = thread::spawn(move || {
            let (mut looks, mut is_new) = (0, None);
            while looks == 0 || !asked.load(Ordering::Relaxed) {
                looks += 1;
                is_new = look(&target, old.as_ref(), is_new, &new);
                thread::yield_now();
            }
            looks
        });
        TreeWatch { ends, watcher }
    }

    /// Nothing was wrong until now.
    pub(crate) fn end(self) {
        self.ends.store(true, Ordering::Relaxed);
        assert!(self.watcher.join().unwrap() > 0);
    }
}

type Stamps = BTreeMap<Vec<u8>, Stamp>;

/// Gives what the new directory was when it was seen first, if that is what is there.
fn look(
    target: &Path,
    old: Option<&(u64, Stamps)>,
    is_new: Option<(u64, Stamps)>,
    new: &Listing,
) -> Option<(u64, Stamps)> {
    let Some(found) = inode(target) else {
        assert!(is_new.is_none() && old.is_none(), "the target has gone");
        return None;
    };
    // What is found of a directory says something only if it is there as long as that is looked for: the old one is removed after it was replaced.
    let stamps = stamps(target).filter(|_| inode(target) == Some(found));
    let Some(stamps) = stamps else { return is_new };
    match (is_new, old) {
        (Some((inode, first)), _) => {
            assert_eq!(found, inode, "the target was replaced after the commit");
            assert!(first == stamps, "the target was written after the commit");
            Some((inode, first))
        }
        (None, Some((inode, old))) if found == *inode => {
            assert!(*old == stamps, "the old target was written");
            None
        }
        (None, _) => {
            let mut listing = list(target);
            // The root gets its attributes when it is in place.
            let root = listing.remove(&b""[..]);
            let mut new = new.clone();
            assert!(root.is_some() && new.remove(&b""[..]).is_some());
            assert_eq!(difference(&listing, &new), None, "the target is neither the old one nor the new one");
            Some((found, stamps))
        }
    }
}

fn inode(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().map(|found| found.ino())
}

/// Of all that is in `root`. None: something of it has gone meanwhile.
fn stamps(root: &Path) -> Option<Stamps> {
    let (mut stamps, mut paths) = (Stamps::new(), vec![PathBuf::new()]);
    while let Some(path) = paths.pop() {
        for entry in fs::read_dir(root.join(&path)).ok()? {
            let below = path.join(entry.ok()?.file_name());
            let found = root.join(&below).symlink_metadata().ok()?;
            let stamp = (found.ino(), found.len(), found.ctime(), found.ctime_nsec());
            stamps.insert(OsStr::as_bytes(below.as_os_str()).to_vec(), stamp);
            if found.is_dir() {
                paths.push(below);
            }
        }
    }
    Some(stamps)
}
