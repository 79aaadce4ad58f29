//! The staging file: made beside the target, locked, and removed unless it became the target.
//! Knows nothing of what is written to it.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use rustix::{
    fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, flock, fstat, fstatvfs, openat, unlinkat},
    io::{Errno, retry_on_intr},
};

use super::place::Place;
use crate::TargetError;

/// An open staging file and its name. Whoever holds its lock is the one writer of the target: the name is fixed by
/// the target's, the lock is taken on the file under that name, and only the lock's holder removes or renames it.
#[derive(Debug)]
pub(super) struct Staging {
    pub(super) file: File,
    pub(super) name: OsString,
}

impl Staging {
    /// Attempts at making a staging file while others make and remove theirs.
    const ATTEMPTS_MAX: usize = 16;

    /// Makes the staging file of a target, and removes one that a crash left.
    pub(super) fn create(place: &Place) -> Result<Self, TargetError> {
        let name = staging_name(&place.name, name_len_max(place));
        for _ in 0..Self::ATTEMPTS_MAX {
            if let Some(staging) = Self::try_create(place, &name)? {
                return Ok(staging);
            }
            remove_stale(place, &name)?;
        }
        Err(held(place, &name))
    }

    /// Removes the staging file, if it still is what stands at its name.
    pub(super) fn remove(&self, place: &Place) -> io::Result<()> {
        if !is_at(place, &self.name, &self.file)? {
            return Ok(());
        }
        Ok(unlinkat(&place.directory, &self.name, AtFlags::empty())?)
    }

    /// None: something stands at the name, or another writer removed the new file before it was locked.
    fn try_create(place: &Place, name: &OsStr) -> Result<Option<Self>, TargetError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match retry_on_intr(|| openat(&place.directory, name, flags, Mode::RUSR | Mode::WUSR)) {
            Ok(fd) => File::from(fd),
            Err(Errno::EXIST) => return Ok(None),
            Err(error) => return Err(cannot_create(place, name, error)),
        };
        claim(place, name, file)
    }
}

/// Locks a file that was just made. None: between the making and the lock, another writer took it for a stale one
/// and removed it.
fn claim(place: &Place, name: &OsStr, file: File) -> Result<Option<Staging>, TargetError> {
    match lock(place, name, &file) {
        Ok(()) => {}
        Err(held @ TargetError::Held { .. }) => return Err(held),
        Err(error) => {
            // Where locks do not work, nobody else has one on it.
            let _ = Staging { file, name: name.into() }.remove(place);
            return Err(error);
        }
    }
    match is_at(place, name, &file) {
        Ok(true) => Ok(Some(Staging { file, name: name.into() })),
        Ok(false) => Ok(None),
        Err(error) => Err(TargetError::io(&place.sibling(name), "examine", error)),
    }
}

/// Removes what a crashed writer left. A file that is locked belongs to a writer at work.
fn remove_stale(place: &Place, name: &OsStr) -> Result<(), TargetError> {
    let staging = place.sibling(name);
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match retry_on_intr(|| openat(&place.directory, name, flags, Mode::empty())) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Err(TargetError::InTheWay { staging }),
        Err(error) => return Err(TargetError::io(&staging, "open", error)),
    };
    let stat = fstat(&file).map_err(|error| TargetError::io(&staging, "examine", error))?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(TargetError::InTheWay { staging });
    }
    remove_unheld(place, name, &file)
}

/// Removes a staging file that was found, once its lock shows that nobody writes it. The lock may be on a file that
/// its holder has removed or published meanwhile: then the name is another's, and is left alone.
fn remove_unheld(place: &Place, name: &OsStr, file: &File) -> Result<(), TargetError> {
    lock(place, name, file)?;
    let staging = place.sibling(name);
    match is_at(place, name, file) {
        Ok(true) => unlinkat(&place.directory, name, AtFlags::empty())
            .map_err(|error| TargetError::io(&staging, "remove", error)),
        Ok(false) => Ok(()),
        Err(error) => Err(TargetError::io(&staging, "examine", error)),
    }
}

fn lock(place: &Place, name: &OsStr, file: &File) -> Result<(), TargetError> {
    match retry_on_intr(|| flock(file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => Err(held(place, name)),
        Err(error) => Err(TargetError::io(&place.sibling(name), "lock", error)),
    }
}

/// Whether `file` is what stands at `name`.
fn is_at(place: &Place, name: &OsStr, file: &File) -> io::Result<bool> {
    let ours = fstat(file)?;
    Ok(place.stat(name)?.is_some_and(|there| (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)))
}

fn held(place: &Place, name: &OsStr) -> TargetError {
    TargetError::Held { path: place.path().into(), staging: place.sibling(name) }
}

fn cannot_create(place: &Place, name: &OsStr, error: Errno) -> TargetError {
    match error {
        Errno::ACCESS | Errno::PERM | Errno::ROFS => {
            TargetError::NotWritable { directory: place.directory_path(), source: error.into() }
        }
        Errno::NOSPC | Errno::DQUOT => {
            TargetError::NoRoom { directory: place.directory_path(), needed: 0, free: None }
        }
        error => TargetError::io(&place.sibling(name), "create", error),
    }
}

fn name_len_max(place: &Place) -> usize {
    let told = fstatvfs(&place.directory).ok().and_then(|statvfs| usize::try_from(statvfs.f_namemax).ok());
    // Some file systems count characters, or answer nothing.
    told.filter(|max| (NAME_LEN_MIN..NAME_LEN_MAX).contains(max)).unwrap_or(NAME_LEN_MAX)
}

/// `.NAME.cofferdam-staging`; of a name too long for that, its head and its tail.
///
/// Two long names may share a staging name: then their writers exclude each other, and no more.
fn staging_name(target: &OsStr, len_max: usize) -> OsString {
    let target = target.as_bytes();
    let room = len_max - PREFIX.len() - SUFFIX.len();
    let mut name = PREFIX.to_vec();
    if target.len() <= room {
        name.extend_from_slice(target);
    } else {
        let half = (room - CUT.len()) / 2;
        name.extend_from_slice(&target[..floor_boundary(target, half)]);
        name.extend_from_slice(CUT);
        name.extend_from_slice(&target[ceil_boundary(target, target.len() - half)..]);
    }
    name.extend_from_slice(SUFFIX);
    OsString::from_vec(name)
}

/// The last place up to `at` where no UTF-8 sequence is cut. Names need not be UTF-8, but some file systems insist.
fn floor_boundary(bytes: &[u8], at: usize) -> usize {
    (0..=at).rev().find(|i| is_boundary(bytes, *i)).unwrap_or(0)
}

fn ceil_boundary(bytes: &[u8], at: usize) -> usize {
    (at..bytes.len()).find(|i| is_boundary(bytes, *i)).unwrap_or(bytes.len())
}

fn is_boundary(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_none_or(|byte| byte & 0b1100_0000 != 0b1000_0000)
}

const PREFIX: &[u8] = b".";
const SUFFIX: &[u8] = b".cofferdam-staging";
const CUT: &[u8] = b"~";
/// POSIX's least that a file system may allow would leave no room; below this the usual maximum is tried.
const NAME_LEN_MIN: usize = 64;
const NAME_LEN_MAX: usize = 255;
const _: () = assert!(NAME_LEN_MIN > PREFIX.len() + SUFFIX.len() + CUT.len() + 2);

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::Existing;

    /// A file that was opened under the staging name, which has then gone to another writer's file.
    fn overtaken(directory: &Path) -> (Place, OsString, File) {
        let place = Place::resolve(&directory.join("target"), Existing::Refuse).unwrap();
        let name = OsString::from(".target.cofferdam-staging");
        let path = directory.join(&name);
        let opened = File::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"another's").unwrap();
        (place, name, opened)
    }

    #[test]
    fn a_new_file_that_was_removed_before_its_lock_gives_no_claim() {
        let directory = tempfile::tempdir().unwrap();
        let (place, name, opened) = overtaken(directory.path());
        assert!(claim(&place, &name, opened).unwrap().is_none());
        assert_eq!(fs::read(directory.path().join(&name)).unwrap(), b"another's");
    }

    #[test]
    fn a_stale_file_that_is_gone_when_its_lock_is_taken_does_not_cost_another_writer_theirs() {
        let directory = tempfile::tempdir().unwrap();
        let (place, name, opened) = overtaken(directory.path());
        remove_unheld(&place, &name, &opened).unwrap();
        assert_eq!(fs::read(directory.path().join(&name)).unwrap(), b"another's");
    }

    #[test]
    fn a_new_file_that_another_writer_has_locked_is_theirs() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::resolve(&directory.path().join("target"), Existing::Refuse).unwrap();
        let name = OsString::from(".target.cofferdam-staging");
        let ours = File::create(directory.path().join(&name)).unwrap();
        let theirs = File::open(directory.path().join(&name)).unwrap();
        flock(&theirs, FlockOperation::LockExclusive).unwrap();
        assert!(matches!(claim(&place, &name, ours), Err(TargetError::Held { .. })));
    }

    #[test]
    fn a_short_name_is_kept_whole() {
        assert_eq!(staging_name(OsStr::new("db.img"), 255), ".db.img.cofferdam-staging");
    }

    #[test]
    fn a_long_name_is_cut_to_what_the_file_system_takes() {
        for len in 200..=255 {
            for letter in ["a", "é", "€", "😀"] {
                let target: String = letter.repeat(len / letter.len());
                for max in [64, 143, 255] {
                    let name = staging_name(OsStr::new(&target), max);
                    assert!(name.len() <= max, "{} > {max}", name.len());
                    assert!(name.to_str().is_some_and(|name| name.ends_with(".cofferdam-staging")));
                }
            }
        }
    }

    #[test]
    fn long_names_that_differ_at_either_end_have_different_staging_names() {
        let name = |head: &str, tail: &str| {
            staging_name(OsStr::new(&format!("{head}{}{tail}", "x".repeat(250))), NAME_LEN_MAX)
        };
        assert_ne!(name("1", "1"), name("2", "1"));
        assert_ne!(name("1", "1"), name("1", "2"));
    }

    #[test]
    fn a_name_of_stray_continuation_bytes_is_cut_and_not_refused() {
        let target = OsString::from_vec(vec![0x80; 255]);
        assert!(staging_name(&target, NAME_LEN_MAX).len() <= NAME_LEN_MAX);
    }
}
