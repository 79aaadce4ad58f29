//! Owns the folder that a measurement works in, and its removal, also of one that a killed run has left.
//! Knows nothing of what lies in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A new folder, removed with everything in it when this is dropped.
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes a folder in `parent`, and removes what runs that are no more have left there.
    ///
    /// # Errors
    /// `parent` cannot be written or listed.
    pub(crate) fn new(parent: &Path) -> Result<Scratch, String> {
        let unusable = |error: io::Error| format!("cannot work in {}: {error}", parent.display());
        let parent = parent.canonicalize().map_err(unusable)?;
        remove_left(&parent).map_err(unusable)?;
        // No memory goes with the number: it tells the folders of one process apart.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs::create_dir(&path).map_err(unusable)?;
        Ok(Scratch { path })
    }

    /// The folder, from the root.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("xtask: cannot remove {}: {error}", self.path.display());
        }
    }
}

fn remove_left(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let owner = owner(&entry.file_name().to_string_lossy());
        if owner.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
            match fs::remove_dir_all(entry.path()) {
                // Another run was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                outcome => outcome?,
            }
        }
    }
    Ok(())
}

/// The process that made the folder of this name; `None` where it is not one of ours.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

const PREFIX: &str = "cofferdam-measures-";

static NEXT: AtomicUsize = AtomicUsize::new(0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_owner() {
        let outer = Scratch::new(&std::env::temp_dir()).unwrap();
        let path = Scratch::new(outer.path()).unwrap().path().to_owned();
        assert!(!path.exists());
        assert!(outer.path().is_dir());
    }

    #[test]
    fn what_a_process_that_is_no_more_has_left_is_removed_and_nothing_else() {
        let outer = Scratch::new(&std::env::temp_dir()).unwrap();
        // Linux gives no process a number above 2^22.
        let [dead, alive, other] = [
            format!("{PREFIX}4194305-0"),
            format!("{PREFIX}{}-99", std::process::id()),
            "cofferdam-4194305-0".to_owned(),
        ]
        .map(|name| outer.path().join(name));
        for folder in [&dead, &alive, &other] {
            fs::create_dir(folder).unwrap();
        }
        let new = Scratch::new(outer.path()).unwrap();
        assert_eq!([&dead, &alive, &other].map(|folder| folder.exists()), [false, true, true]);
        drop(new);
    }

    #[test]
    fn only_our_own_names_have_an_owner() {
        assert_eq!(owner("cofferdam-measures-17-3"), Some(17));
        for name in ["cofferdam-measures-", "cofferdam-measures-x-1", "cofferdam-17-3", "17-3"] {
            assert_eq!(owner(name), None, "{name}");
        }
    }
}
