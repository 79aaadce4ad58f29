//! The way from the root to a file, taken once, one name at a time: who else could change where it leads is seen at each step, and what is
//! found is kept open.
//! It knows no drill, and changes nothing.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf, absolute};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;

use super::trust::{is_shared, is_sticky, is_trusted};

/// What a path leads to, and where that is.
pub(super) struct Found {
    /// Open to read, or if it is to be run and cannot be read, as a name for that.
    pub(super) file: File,
    /// From the root on, without links: what it was opened by.
    pub(super) path: PathBuf,
    /// The first directory on the way in which others could have put something else under a name that is part of the walk.
    pub(super) shared: Option<PathBuf>,
}

/// What is to be done with a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Run,
}

/// Follows `path`, links included, and opens what it leads to.
///
/// # Errors
/// The system's own; [`Errno::LOOP`] after too many links; [`ErrorKind::InvalidInput`] of what is no regular file.
pub(super) fn find(path: &Path, purpose: Purpose) -> io::Result<Found> {
    let mut walk = PathWalk::begin(&absolute(path)?)?;
    while let Some(name) = walk.ahead.pop_front() {
        let is_last = walk.ahead.is_empty();
        match walk.link(&name)? {
            Some(target) => walk.follow(&target)?,
            None if is_last => return walk.end(&name, purpose),
            None => walk.enter(&name)?,
        }
    }
    // The root, or what ends in `..`.
    Err(no_file())
}

/// How far it has been followed.
struct PathWalk {
    directory: File,
    path: PathBuf,
    ahead: VecDeque<OsString>,
    links: u32,
    /// Whether others can make names in `directory`, of which they can change only their own.
    is_sticky: bool,
    shared: Option<PathBuf>,
}

impl PathWalk {
    fn begin(path: &Path) -> io::Result<PathWalk> {
        let mut walk = PathWalk {
            directory: open(CWD, OsStr::new("/"), DIRECTORY)?,
            path: PathBuf::from("/"),
            ahead: VecDeque::new(),
            links: 0,
            is_sticky: false,
            shared: None,
        };
        walk.look_at_directory()?;
        walk.go_by(path);
        Ok(walk)
    }

    /// Where the link `name` leads, if it is one. Another user's link in a directory where all can make names is theirs to change.
    fn link(&mut self, name: &OsStr) -> io::Result<Option<PathBuf>> {
        let target = match readlinkat(&self.directory, name, Vec::new()) {
            Ok(target) => PathBuf::from(OsString::from_vec(target.into_bytes())),
            // It is no link.
            Err(Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if self.is_sticky {
            let link = statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            self.note_shared(!is_trusted(link.st_uid));
        }
        Ok(Some(target))
    }

    fn follow(&mut self, target: &Path) -> io::Result<()> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(Errno::LOOP.into());
        }
        if target.is_absolute() {
            self.directory = open(CWD, OsStr::new("/"), DIRECTORY)?;
            self.path = PathBuf::from("/");
            self.look_at_directory()?;
        }
        self.go_by(target);
        Ok(())
    }

    /// Has `path` before what is ahead.
    fn go_by(&mut self, path: &Path) {
        let names = path.components().filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        });
        for name in names.collect::<Vec<_>>().into_iter().rev() {
            self.ahead.push_front(name);
        }
    }

    fn enter(&mut self, name: &OsStr) -> io::Result<()> {
        self.directory = open(&self.directory, name, DIRECTORY)?;
        match name == ".." {
            true => drop(self.path.pop()),
            false => self.path.push(name),
        }
        self.look_at_directory()
    }

    fn look_at_directory(&mut self) -> io::Result<()> {
        let metadata = self.directory.metadata()?;
        self.is_sticky = is_sticky(&metadata);
        self.note_shared(is_shared(&metadata));
        Ok(())
    }

    fn note_shared(&mut self, is_shared: bool) {
        if is_shared && self.shared.is_none() {
            self.shared = Some(self.path.clone());
        }
    }

    /// Opens the last name.
    fn end(self, name: &OsStr, purpose: Purpose) -> io::Result<Found> {
        let file = match open(&self.directory, name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY) {
            // A program need not be readable.
            Err(Errno::ACCESS) if purpose == Purpose::Run => open(&self.directory, name, NAMED),
            // A socket.
            Err(Errno::NXIO) => return Err(no_file()),
            opened => opened,
        }?;
        match file.metadata()?.is_file() {
            true => Ok(Found { file, path: self.path.join(name), shared: self.shared }),
            false => Err(no_file()),
        }
    }
}

fn open(directory: impl AsFd, name: &OsStr, flags: OFlags) -> Result<File, Errno> {
    openat(directory, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).map(File::from)
}

fn no_file() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "it is no regular file")
}

/// As many as Linux follows.
const LINKS_MAX: u32 = 40;
/// Without leave to read it.
#[cfg(target_os = "linux")]
const NAMED: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const NAMED: OFlags = OFlags::RDONLY;
const DIRECTORY: OFlags = NAMED.union(OFlags::DIRECTORY);
