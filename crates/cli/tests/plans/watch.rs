//! A watcher of the target: it is the old one, then the new one, and nothing else at any moment.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// What a file is, by what changes if anybody writes to it or replaces it.
type Stamp = (u64, u64, i64, i64);

/// Looks at the target until it is told to end.
pub(crate) struct Watch {
    /// Stored by the test, loaded by the watcher; it orders nothing.
    ends: Arc<AtomicBool>,
    watcher: JoinHandle<u64>,
}

impl Watch {
    /// Of the file at `target`, which is `old` now (`None`: it is not there), and may become `new` once.
    pub(crate) fn begin(target: PathBuf, old: Option<Vec<u8>>, new: Arc<Vec<u8>>) -> Watch {
        let ends = Arc::new(AtomicBool::new(false));
        let asked = ends.clone();
        let watcher = thread::spawn(move || {
            let (mut looks, mut last) = (0, None);
            let mut is_new = false;
            while looks == 0 || !asked.load(Ordering::Relaxed) {
                looks += 1;
                let seen = look(&target, last.as_ref());
                let Some((stamp, content)) = seen else {
                    assert!(!is_new && old.is_none(), "the target has gone");
                    continue;
                };
                let Some(content) = content else { continue };
                let is_old = old.as_ref() == Some(&content);
                assert!(is_old || content == *new, "the target is neither the old one nor the new one");
                assert!(!(is_new && is_old), "the old target has come back");
                assert!(!is_new, "the target was written after the commit");
                is_new = !is_old;
                last = Some(stamp);
            }
            looks
        });
        Watch { ends, watcher }
    }

    /// Nothing was wrong until now.
    pub(crate) fn end(self) {
        self.ends.store(true, Ordering::Relaxed);
        let looks = self.watcher.join().unwrap();
        assert!(looks > 0);
    }
}

/// The file that is there, and what it has, unless it is as it was `last`.
fn look(target: &PathBuf, last: Option<&Stamp>) -> Option<(Stamp, Option<Vec<u8>>)> {
    let found = fs::metadata(target).ok()?;
    if Some(&stamp_of(&found)) == last {
        thread::yield_now();
        return Some((stamp_of(&found), None));
    }
    // Of one file: what is read is what was opened, whatever comes to the name.
    let mut file = File::open(target).ok()?;
    let stamp = stamp_of(&file.metadata().unwrap());
    let mut content = Vec::new();
    file.read_to_end(&mut content).unwrap();
    assert_eq!(stamp_of(&file.metadata().unwrap()), stamp, "the target was written while it was read");
    Some((stamp, Some(content)))
}

/// Mode and times of change of the inode are settled after the rename; the content is not touched any more.
fn stamp_of(found: &fs::Metadata) -> Stamp {
    (found.ino(), found.len(), found.mtime(), found.mtime_nsec())
}
