//! The directory that one stream is restored into: new, private, locked, and removed at the end.
//! It knows what its own looks like; what is left of others is found elsewhere.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, fchmod, flock, openat, statvfs, unlinkat};
use rustix::io::Errno;

use super::removal::remove;
use super::trust::shared_directory;
use crate::failure::Failure;
use crate::printable::Name;

/// A directory of one stream's. It is locked for as long as this is there.
pub(super) struct Scratch {
    directory: PathBuf,
    opened: File,
    /// Holds the lock.
    _marker: File,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// With whatever is in it, when this is dropped.
    Removed,
    /// By somebody else.
    Kept,
}

impl Scratch {
    /// Makes one in `place`.
    pub(super) fn make(place: &Path) -> Result<Scratch, Failure> {
        let place = trusted(place)?;
        let failed = |error| Failure::io(format!("no scratch directory in {}", Name::from(&*place)), error);
        for _ in 0..ATTEMPTS_MAX {
            let directory = new_directory(&place).map_err(failed)?;
            match claim_new(&directory) {
                Ok((opened, marker)) => {
                    return Ok(Scratch { directory, opened, _marker: marker, fate: Fate::Removed });
                }
                // Another drill has taken it for one that a killed drill left, before it had its lock.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    let _ = fs::remove_file(directory.join(MARKER));
                    let _ = fs::remove_dir(&directory);
                    return Err(failed(error));
                }
            }
        }
        Err(failed(ErrorKind::NotFound.into()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.directory
    }

    /// Where the plaintext goes.
    pub(super) fn target(&self) -> PathBuf {
        self.directory.join("restored")
    }

    /// Bytes that can still be written there.
    pub(super) fn free(&self) -> Option<u64> {
        let told = statvfs(&self.directory).ok().filter(|told| told.f_blocks > 0)?;
        told.f_bavail.checked_mul(told.f_frsize)
    }

    /// Leaves it to the operator, for whom no later drill removes it.
    pub(super) fn keep(mut self) -> PathBuf {
        self.fate = Fate::Kept;
        let _ = fchmod(&self.opened, Mode::RWXU);
        let _ = unlinkat(&self.opened, MARKER, AtFlags::empty());
        self.directory.clone()
    }

    /// Where it is now, as far as the system can tell: a check may have moved it.
    fn present_path(&self) -> PathBuf {
        let link = format!("/proc/self/fd/{}", self.opened.as_raw_fd());
        let is_it = |path: &PathBuf| {
            let metadata = (fs::symlink_metadata(path), self.opened.metadata());
            matches!(metadata, (Ok(found), Ok(own)) if identity(&found) == identity(&own))
        };
        fs::read_link(link).ok().filter(is_it).unwrap_or_else(|| self.directory.clone())
    }

    /// Removes it.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        self.fate = Fate::Kept; // What follows is the one attempt.
        remove(&self.directory, &self.opened).map_err(|error| {
            let what = format!("{} is left, which holds plaintext", Name::from(&*self.present_path()));
            Failure::io(what, error).advise("Look what is in it, and remove it.")
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.fate == Fate::Removed {
            let _ = remove(&self.directory, &self.opened);
        }
    }
}

/// The directory of scratch directories, without links. Who else could write to it, or to one above it, could put another in a new
/// one's place.
pub(super) fn trusted(place: &Path) -> Result<PathBuf, Failure> {
    let name = Name::from(place);
    let failed = |error| Failure::io(format!("the scratch directory {name} cannot be used"), error);
    let place = fs::canonicalize(place).map_err(failed)?;
    if !fs::metadata(&place).map_err(failed)?.is_dir() {
        return Err(failed(ErrorKind::NotADirectory.into()));
    }
    if let Some(directory) = shared_directory(&place).map_err(failed)? {
        let what =
            format!("no scratch directory in {name}: {} is others' to write to", Name::from(directory));
        return Err(Failure::usage(what)
            .advise("Name one of your own, or one with the sticky bit, as /var/tmp has it."));
    }
    Ok(place)
}

pub(super) fn new_directory(place: &Path) -> io::Result<PathBuf> {
    for _ in 0..ATTEMPTS_MAX {
        let random = getrandom::u64().map_err(io::Error::other)?;
        let directory = place.join(format!("{PREFIX}{random:016x}"));
        match fs::DirBuilder::new().mode(PRIVATE).create(&directory) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => return made.map(|()| directory),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Opens a directory of ours, and puts the marker into it. [`ErrorKind::NotFound`] where the directory is gone, or about to be.
fn claim_new(directory: &Path) -> io::Result<(File, File)> {
    let opened = open(directory)?;
    let path = directory.join(MARKER);
    let mut marker = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    match lock(&marker) {
        Ok(true) if is_marker_of(&marker, &opened) => marker.write_all(MARK).map(|()| (opened, marker)),
        Ok(_) => Err(ErrorKind::NotFound.into()),
        Err(error) => Err(error),
    }
}

/// The directory itself, and not one that a link leads to.
pub(super) fn open(directory: &Path) -> io::Result<File> {
    let flags = (OFlags::DIRECTORY | OFlags::NOFOLLOW).bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(directory)
}

/// Which file or directory it is, whatever it is called.
pub(super) fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Whether the lock is ours now; another process may have it.
pub(super) fn lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether `marker` still has its name in `directory`.
pub(super) fn is_marker_of(marker: &File, directory: &File) -> bool {
    let Ok(found) =
        openat(directory, MARKER, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    else {
        return false;
    };
    let metadata = (File::from(found).metadata(), marker.metadata());
    matches!(metadata, (Ok(found), Ok(own)) if identity(&found) == identity(&own))
}

/// What our directories are called, before 16 random digits.
pub(super) const PREFIX: &str = "cofferdam-drill-";
pub(super) const MARKER: &str = ".cofferdam-drill";
pub(super) const MARK: &[u8] = b"The scratch directory of a cofferdam drill. The next drill removes it.\n";
pub(super) const PRIVATE: u32 = 0o700;
const ATTEMPTS_MAX: u32 = 16;

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
pub(super) mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    pub(crate) fn names(place: &Path) -> Vec<String> {
        let entries = fs::read_dir(place).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn made(place: &Path) -> Scratch {
        Scratch::make(place).unwrap_or_else(|failure| panic!("{}", failure.message))
    }

    /// As a killed process does: nothing is dropped.
    pub(crate) fn left_in(place: &Path) -> PathBuf {
        let mut scratch = made(place);
        scratch.fate = Fate::Kept;
        fs::write(scratch.target(), "plaintext").unwrap();
        scratch.directory.clone()
    }

    #[test]
    fn it_is_its_owners_alone_and_gone_at_the_end_whatever_is_in_it() {
        let place = tempfile::tempdir().unwrap();
        let scratch = made(place.path());
        assert_eq!(fs::metadata(scratch.path()).unwrap().mode() & 0o7777, 0o700);
        let inner = scratch.path().join("data/base");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("file"), "x").unwrap();
        symlink("/", inner.join("link")).unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o500)).unwrap();
        fs::set_permissions(inner.parent().unwrap(), fs::Permissions::from_mode(0o000)).unwrap();
        assert!(scratch.end().is_ok());
        assert!(names(place.path()).is_empty());
        drop(made(place.path()));
        assert!(names(place.path()).is_empty());
    }

    #[test]
    fn what_a_check_has_put_in_its_place_is_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("precious"), "x").unwrap();
        let scratch = made(place.path());
        fs::remove_dir_all(scratch.path()).unwrap();
        symlink(other.path(), scratch.path()).unwrap();
        assert!(scratch.end().is_err());
        assert!(other.path().join("precious").exists());
    }

    #[test]
    fn what_has_been_moved_is_neither_removed_nor_said_to_be() {
        let place = tempfile::tempdir().unwrap();
        let scratch = made(place.path());
        fs::write(scratch.target(), "plaintext").unwrap();
        let moved = place.path().join("moved");
        fs::rename(scratch.path(), &moved).unwrap();
        fs::create_dir(scratch.path()).unwrap();
        fs::write(scratch.path().join("precious"), "x").unwrap();
        let at = scratch.path().to_owned();
        assert!(scratch.end().is_err_and(|failure| failure.message.contains("has been moved")));
        assert!(at.join("precious").exists() && moved.join("restored").exists());

        let scratch = made(place.path());
        fs::write(scratch.target(), "plaintext").unwrap();
        fs::rename(scratch.path(), place.path().join("elsewhere")).unwrap();
        assert!(scratch.end().is_err_and(|failure| failure.message.contains("has been moved")));
    }

    #[test]
    fn a_place_below_one_that_others_write_to_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let inner = place.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        assert!(Scratch::make(&inner).is_ok());
        fs::set_permissions(place.path().join("a"), fs::Permissions::from_mode(0o777)).unwrap();
        let refusal = Scratch::make(&inner).err().map(|failure| failure.message).unwrap_or_default();
        assert!(refusal.contains("/a is others' to write to"), "{refusal}");
    }

    #[test]
    fn a_place_that_others_write_to_is_refused_and_one_with_the_sticky_bit_is_not() {
        let place = tempfile::tempdir().unwrap();
        for (mode, is_refused) in
            [(0o700, false), (0o755, false), (0o1777, false), (0o777, true), (0o775, true)]
        {
            fs::set_permissions(place.path(), fs::Permissions::from_mode(mode)).unwrap();
            let refusal = Scratch::make(place.path()).err().map(|failure| failure.message);
            assert_eq!(
                refusal.is_some_and(|said| said.contains("others' to write to")),
                is_refused,
                "{mode:o}"
            );
        }
        assert!(Scratch::make(&place.path().join("absent")).is_err());
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Scratch::make(&file).is_err());
    }
}
