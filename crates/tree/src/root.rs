//! A tree's directory: files of it are opened beneath it, and no symbolic link in it is followed.
//! Knows nothing of what is in the files.

use std::{
    ffi::OsStr,
    fs::File,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use cofferdam_io::retried;
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, fstat, openat, openat2, stat},
    io::Errno,
};

use crate::{TreeError, TreePath};

/// The directory of a tree. Paths are resolved by openat2(2), which Linux has since 5.6: never out of the directory, through no symbolic
/// link, whoever changes the tree meanwhile.
#[derive(Debug)]
pub struct TreeRoot {
    directory: OwnedFd,
    /// Where it was when it was opened, without symbolic links; none of what was open already.
    path: Option<PathBuf>,
}

impl TreeRoot {
    /// Opens the directory at `path`, whose last component may be a symbolic link.
    ///
    /// # Errors
    /// There is none, or it may not be read.
    pub fn open(path: &Path) -> Result<TreeRoot, TreeError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = retried(|| openat(CWD, path, flags, Mode::empty()));
        let opened =
            opened.map_err(|error| TreeError::io(format!("open the directory {}", path.display()), error))?;
        let real =
            path.canonicalize().map_err(|error| TreeError::io(format!("find {}", path.display()), error))?;
        Ok(TreeRoot { directory: opened, path: Some(real) })
    }

    /// A directory that is open already.
    pub fn of(directory: OwnedFd) -> TreeRoot {
        TreeRoot { directory, path: None }
    }

    /// Whether the directory was removed; of one that was opened by its path, also whether another one, or none, is there now. A symbolic
    /// link that led to it may lead elsewhere meanwhile.
    ///
    /// # Errors
    /// It cannot be examined.
    pub fn is_gone(&self) -> Result<bool, TreeError> {
        let fault = |error| TreeError::io("examine the tree's directory", error);
        let own = fstat(&self.directory).map_err(fault)?;
        let Some(path) = &self.path else { return Ok(own.st_nlink == 0) };
        match retried(|| stat(path)) {
            Ok(found) => Ok(own.st_nlink == 0 || (found.st_dev, found.st_ino) != (own.st_dev, own.st_ino)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(true),
            // Nobody may look at what is above it any more: that says nothing of itself.
            Err(Errno::ACCESS) => Ok(own.st_nlink == 0),
            Err(error) => Err(fault(error)),
        }
    }

    /// Opens what is at `path` beneath the directory. `mode` is that of a file that is made.
    ///
    /// # Errors
    /// The system's own: [`Errno::LOOP`] where a component is a symbolic link, [`Errno::NOSYS`] before Linux 5.6.
    pub fn open_at(&self, path: &TreePath, flags: OFlags, mode: Mode) -> Result<File, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        for _ in 1..RENAMES_MAX {
            match retried(|| openat2(&self.directory, path.as_path(), flags, mode, resolve)) {
                // Something was renamed meanwhile, and the system cannot say whether that leads out.
                Err(Errno::AGAIN) => {}
                opened => return opened.map(File::from),
            }
        }
        Err(Errno::AGAIN)
    }

    /// Opens the directory at `path`, to be read.
    ///
    /// # Errors
    /// As [`open_at`](Self::open_at).
    pub fn directory_at(&self, path: &TreePath) -> Result<OwnedFd, Errno> {
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).map(OwnedFd::from)
    }
}

/// Opens files one after another, to be read: the next ones of a directory by that directory's descriptor, which finds them sooner.
pub(crate) struct FileOpener<'a> {
    root: &'a TreeRoot,
    /// The directory of the last file, empty for the root; and its descriptor, if two of its files were opened.
    parent: Vec<u8>,
    directory: Option<File>,
}

impl FileOpener<'_> {
    pub(crate) fn new(root: &TreeRoot) -> FileOpener<'_> {
        FileOpener { root, parent: Vec::new(), directory: None }
    }

    /// Opens what is at `path`. A FIFO is not waited for.
    ///
    /// # Errors
    /// As [`TreeRoot::open_at`].
    pub(crate) fn open(&mut self, path: &TreePath) -> Result<File, Errno> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let (parent, name) = match path.as_bytes().iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&path.as_bytes()[..slash], path.name()),
            None => (&[][..], path.name()),
        };
        if !parent.is_empty() && parent != self.parent {
            self.parent.clear();
            self.parent.extend_from_slice(parent);
            self.directory = None;
            return self.root.open_at(path, flags, Mode::empty());
        }
        if self.directory.is_none()
            && let Some(parent) = path.parent().filter(|parent| !parent.is_root())
        {
            let of_path = OFlags::PATH | OFlags::DIRECTORY;
            self.directory = self.root.open_at(&parent, of_path, Mode::empty()).ok();
        }
        let directory = match &self.directory {
            _ if parent.is_empty() => self.root.as_fd(),
            Some(directory) => directory.as_fd(),
            None => return self.root.open_at(path, flags, Mode::empty()),
        };
        // One component: it leads nowhere else, not being followed.
        let flags_here = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match retried(|| openat(directory, OsStr::from_bytes(name), flags_here, Mode::empty())) {
            // The directory may have been replaced meanwhile.
            Err(Errno::NOENT) => self.root.open_at(path, flags, Mode::empty()),
            opened => opened.map(File::from),
        }
    }
}

impl AsFd for TreeRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// How often a path is resolved anew because others rename what is on it.
const RENAMES_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, sync::atomic::AtomicUsize, sync::atomic::Ordering, thread};

    use rustix::fs::{RenameFlags, renameat_with};

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn no_link_is_followed_wherever_it_is_on_the_path() {
        let scratch = tempfile::tempdir().unwrap();
        let top = scratch.path().join("root");
        fs::create_dir_all(top.join("d")).unwrap();
        fs::write(scratch.path().join("outside"), "").unwrap();
        fs::write(top.join("d/f"), "").unwrap();
        symlink("..", top.join("up")).unwrap();
        symlink("d", top.join("within")).unwrap();
        symlink(scratch.path().join("outside"), top.join("d/last")).unwrap();
        let root = TreeRoot::open(&top).unwrap();
        let open = |text| root.open_at(&path(text), OFlags::RDONLY, Mode::empty()).map(drop);
        assert_eq!(open("d/f"), Ok(()));
        for link in ["up/outside", "within/f", "d/last"] {
            assert_eq!(open(link), Err(Errno::LOOP), "{link}");
        }
    }

    #[test]
    fn files_are_opened_one_after_another_whatever_becomes_of_their_directory() {
        use std::io::Read as _;

        let scratch = tempfile::tempdir().unwrap();
        let top = scratch.path().join("root");
        fs::create_dir_all(top.join("d/e")).unwrap();
        fs::create_dir(top.join("d2")).unwrap();
        let names = ["a", "d/a", "d/b", "d/c", "d/e/a", "d/e/b", "d/e/c", "d2/a", "d2/b", "z"];
        names.iter().for_each(|name| fs::write(top.join(name), name).unwrap());
        let root = TreeRoot::open(&top).unwrap();
        let mut opener = FileOpener::new(&root);
        let mut read = |name: &str| {
            let mut text = String::new();
            opener.open(&path(name)).map(|mut file| file.read_to_string(&mut text).unwrap()).map(|_| text)
        };
        for name in names {
            assert_eq!(read(name).as_deref(), Ok(name));
        }
        // By the descriptor of its directory no link is followed either.
        symlink("a", top.join("d/link")).unwrap();
        symlink("a", top.join("link")).unwrap();
        symlink("d", top.join("d3")).unwrap();
        assert_eq!(["d/a", "d/b", "d/link"].map(&mut read)[2], Err(Errno::LOOP));
        assert_eq!(["link", "d3/a", "d3/b"].map(&mut read), [(); 3].map(|()| Err(Errno::LOOP)));
        // Another directory has the name.
        assert_eq!(["d/a", "d/b"].map(&mut read), ["d/a", "d/b"].map(|name| Ok(name.to_owned())));
        fs::remove_dir_all(top.join("d")).unwrap();
        assert_eq!(read("d/c"), Err(Errno::NOENT));
        fs::create_dir(top.join("d")).unwrap();
        fs::write(top.join("d/c"), "new").unwrap();
        assert_eq!(read("d/c").as_deref(), Ok("new"));
    }

    /// Somebody exchanges a directory for a link out of the tree, 10,000 times, while files are made in it.
    #[test]
    fn a_directory_that_becomes_a_link_again_and_again_leads_nowhere() {
        let scratch = tempfile::tempdir().unwrap();
        let (top, outside) = (scratch.path().join("root"), scratch.path().join("outside"));
        fs::create_dir_all(top.join("d")).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink(&outside, top.join("link")).unwrap();
        let root = TreeRoot::open(&top).unwrap();
        let left = AtomicUsize::new(10_000);
        let (mut made, mut refused) = (0, 0);
        thread::scope(|scope| {
            scope.spawn(|| {
                while left.load(Ordering::Relaxed) > 0 {
                    renameat_with(&root, "d", &root, "link", RenameFlags::EXCHANGE).unwrap();
                    left.fetch_sub(1, Ordering::Relaxed);
                }
            });
            let flags = OFlags::WRONLY | OFlags::CREATE;
            while left.load(Ordering::Relaxed) > 0 || made == 0 || refused == 0 {
                match root.open_at(&path(&format!("d/{}", made % 100)), flags, Mode::RUSR | Mode::WUSR) {
                    Ok(_) => made += 1,
                    Err(Errno::LOOP | Errno::AGAIN) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
                if left.load(Ordering::Relaxed) == 0 && (made == 0 || refused == 0) {
                    // One of the two was always faster: once more by hand.
                    renameat_with(&root, "d", &root, "link", RenameFlags::EXCHANGE).unwrap();
                }
            }
        });
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{made} made, {refused} refused");
    }
}
