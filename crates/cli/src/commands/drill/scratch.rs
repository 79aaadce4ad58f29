//! The directory that one stream is restored into: new, private, removed at the end; and what a killed drill left of such.
//! It removes nothing that it does not know for its own: by name, owner, mode, a marker, and a lock that nobody holds.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock, statvfs};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::WRITABLE_BY_OTHERS;
use crate::failure::Failure;
use crate::printable::Name;
use crate::report::Report;

/// A directory of one stream's. It is locked for as long as this is there.
pub(super) struct Scratch {
    directory: PathBuf,
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
                Ok(marker) => return Ok(Scratch { directory, _marker: marker, fate: Fate::Removed }),
                // Another drill has taken it for one that a killed drill left, before it had its lock.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    let _ = remove(&directory);
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
        let _ = restore_mode(&self.directory);
        let _ = fs::remove_file(self.directory.join(MARKER));
        self.directory.clone()
    }

    /// Removes it.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        self.fate = Fate::Kept; // What follows is the one attempt.
        remove(&self.directory).map_err(|error| {
            let what = format!("{} is left, which holds plaintext", Name::from(&*self.directory));
            Failure::io(what, error).advise("Look what is in it, and remove it.")
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.fate == Fate::Removed {
            let _ = remove(&self.directory);
        }
    }
}

/// Removes what killed drills have left in `place`, and says so.
pub(super) fn remove_leftovers(place: &Path, report: Report) {
    // Where the place cannot be used, making a directory there says why.
    let Ok(place) = trusted(place) else { return };
    let entries = fs::read_dir(&place).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let path = entry.path();
        let name = Name::from(&*path);
        match claim_left(&path) {
            Ok(None) => {}
            Ok(Some(Left::Empty)) => {
                let _ = fs::remove_dir(&path);
            }
            Ok(Some(Left::Marked(_lock))) => match remove(&path) {
                Ok(()) => report.warning(format!("{name} was removed: a drill that did not end had left it")),
                Err(error) => {
                    report.warning(format!("{name}, which a drill left, could not be removed: {error}"))
                }
            },
            Err(error) => report.warning(format!("{name} could not be examined: {error}")),
        }
    }
}

/// A directory that is certain to be of a drill of this user's, and of none that is at work.
enum Left {
    /// Made, and not marked yet.
    Empty,
    /// With the lock.
    Marked(File),
}

/// The directory of scratch directories, without links. Who else could write to it could put another in a new one's place.
fn trusted(place: &Path) -> Result<PathBuf, Failure> {
    let name = Name::from(place);
    let failed = |error| Failure::io(format!("the scratch directory {name} cannot be used"), error);
    let place = fs::canonicalize(place).map_err(failed)?;
    let metadata = fs::metadata(&place).map_err(failed)?;
    if !metadata.is_dir() {
        return Err(failed(ErrorKind::NotADirectory.into()));
    }
    let is_owned = [geteuid().as_raw(), 0].contains(&metadata.uid());
    let is_shared = metadata.mode() & WRITABLE_BY_OTHERS != 0 && metadata.mode() & STICKY == 0;
    match is_owned && !is_shared {
        true => Ok(place),
        false => Err(Failure::usage(format!("the scratch directory {name} is others' to write to"))
            .advise("Name one of your own, or one with the sticky bit, as /var/tmp has it.")),
    }
}

fn new_directory(place: &Path) -> io::Result<PathBuf> {
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

/// Puts the marker into a directory of ours. [`ErrorKind::NotFound`] where the directory is gone, or about to be.
fn claim_new(directory: &Path) -> io::Result<File> {
    let path = directory.join(MARKER);
    let mut marker = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    match lock(&marker) {
        Ok(true) if is_at(&marker, &path) => marker.write_all(MARK).map(|()| marker),
        Ok(_) => Err(ErrorKind::NotFound.into()),
        Err(error) => Err(error),
    }
}

/// Whether what is at `path`, which has a name as ours have, was left by a drill of this user's.
fn claim_left(path: &Path) -> io::Result<Option<Left>> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        examined => examined?,
    };
    // Its check may have given it another mode. Nobody else has put the marker there, as long as nobody else could.
    if !(metadata.is_dir() && is_own(&metadata) && metadata.mode() & WRITABLE_BY_OTHERS == 0) {
        return Ok(None);
    }
    // What can be looked into keeps its mode, until it is known to be at work no more.
    if metadata.mode() & SEARCHABLE != SEARCHABLE {
        restore_mode(path)?;
    }
    let marker_path = path.join(MARKER);
    // Without following a link, and without waiting for a pipe.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut marker = match OpenOptions::new().read(true).custom_flags(flags).open(&marker_path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok((fs::read_dir(path)?.next().is_none()).then_some(Left::Empty));
        }
        Err(_) => return Ok(None),
        Ok(marker) => marker,
    };
    let metadata = marker.metadata()?;
    let is_private = is_own(&metadata) && metadata.mode() & 0o777 == 0o600;
    if !(metadata.is_file() && metadata.nlink() == 1 && is_private && lock(&marker)?) {
        return Ok(None);
    }
    let mut content = Vec::new();
    (&mut marker).take(MARK.len() as u64 + 1).read_to_end(&mut content)?;
    // One that was killed between making and marking it has written nothing, or less.
    Ok((MARK.starts_with(&content) && is_at(&marker, &marker_path)).then_some(Left::Marked(marker)))
}

fn is_own(metadata: &Metadata) -> bool {
    metadata.uid() == geteuid().as_raw()
}

/// A check may have taken from its directory what it takes to remove it, or have put something else in its place.
fn restore_mode(directory: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(directory)?;
    if !metadata.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    match metadata.mode() & PRIVATE == PRIVATE {
        true => Ok(()),
        false => fs::set_permissions(directory, fs::Permissions::from_mode(PRIVATE)),
    }
}

/// Whether the lock is ours now; another process may have it.
fn lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether `file` still has the name that it was opened by.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
    let found = fs::symlink_metadata(path).map(identity);
    found.is_ok_and(|found| file.metadata().map(identity).is_ok_and(|own| own == found))
}

/// Removes a directory of ours with what is in it, the marker last: as long as that is there, the next drill can go on.
fn remove(directory: &Path) -> io::Result<()> {
    refuse_mounts(directory)?;
    match restore_mode(directory) {
        // A check may have removed it itself.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        restored => restored?,
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name() != MARKER {
            remove_entry(&entry.path())?;
        }
    }
    match fs::remove_file(directory.join(MARKER)) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::remove_dir(directory)
}

fn remove_entry(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            make_writable(path)?;
            fs::remove_dir_all(path)
        }
        removed => removed,
    }
}

/// A check may have unpacked directories that their owner cannot write to.
fn make_writable(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(PRIVATE))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}

/// Refuses to remove what a check has mounted: it is somewhere else, too. The name is random, so a mount point that has it is in
/// the directory, or the directory.
fn refuse_mounts(directory: &Path) -> io::Result<()> {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    // Where the system has no such list, there is nothing to be found out.
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut points = mounts.lines().filter_map(|line| line.split(' ').nth(MOUNT_POINT));
    match points.any(|point| point.split('/').any(|part| part == name)) {
        true => Err(io::Error::new(ErrorKind::ResourceBusy, "something is mounted in it")),
        false => Ok(()),
    }
}

/// What our directories are called, before 16 random digits.
const PREFIX: &str = "cofferdam-drill-";
const MARKER: &str = ".cofferdam-drill";
const MARK: &[u8] = b"The scratch directory of a cofferdam drill. The next drill removes it.\n";
const PRIVATE: u32 = 0o700;
const STICKY: u32 = 0o1000;
const SEARCHABLE: u32 = 0o500;
const ATTEMPTS_MAX: u32 = 16;
/// Which field of a line of mountinfo it is (proc_pid_mountinfo(5)).
const MOUNT_POINT: usize = 4;

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const QUIET: bool = true;

    fn names(place: &Path) -> Vec<String> {
        let entries = fs::read_dir(place).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn made(place: &Path) -> Scratch {
        Scratch::make(place).unwrap_or_else(|failure| panic!("{}", failure.message))
    }

    /// As a killed process does: nothing is dropped.
    fn left_in(place: &Path) -> PathBuf {
        let mut scratch = made(place);
        scratch.fate = Fate::Kept;
        fs::write(scratch.target(), "plaintext").unwrap();
        scratch.directory.clone()
    }

    fn clean(place: &Path) {
        remove_leftovers(place, Report::new(false, QUIET));
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
    fn what_a_killed_drill_left_is_removed_and_what_is_at_work_or_kept_is_not() {
        let place = tempfile::tempdir().unwrap();
        let left = left_in(place.path());
        let empty = new_directory(place.path()).unwrap();
        let unmarked = new_directory(place.path()).unwrap();
        fs::write(unmarked.join(MARKER), "").unwrap();
        fs::set_permissions(unmarked.join(MARKER), fs::Permissions::from_mode(0o600)).unwrap();
        let working = made(place.path());
        let kept = made(place.path()).keep();
        fs::write(kept.join("restored"), "plaintext").unwrap();
        clean(place.path());
        assert!(!left.exists() && !empty.exists() && !unmarked.exists());
        assert!(working.path().exists() && kept.join("restored").exists());
        drop(working);
        assert_eq!(names(place.path()).len(), 1);
    }

    #[test]
    fn what_is_left_is_removed_whatever_mode_its_check_has_given_it() {
        let place = tempfile::tempdir().unwrap();
        for mode in [0o500, 0o400, 0o000, 0o755] {
            let left = left_in(place.path());
            fs::create_dir(left.join("inner")).unwrap();
            fs::set_permissions(&left, fs::Permissions::from_mode(mode)).unwrap();
            clean(place.path());
            assert!(!left.exists(), "{mode:o}");
        }
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
    fn what_is_not_certain_to_be_ours_stays() {
        let place = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let like = |name: &str| place.path().join(format!("{PREFIX}{name}"));
        // A link to a directory that is one of ours.
        symlink(left_in(elsewhere.path()), like("link")).unwrap();
        fs::write(like("file"), "x").unwrap();
        let with = |name: &str, mode: u32, marker: &dyn Fn(&Path)| {
            let directory = new_directory(place.path()).unwrap();
            fs::rename(directory, like(name)).unwrap();
            fs::write(like(name).join("precious"), "x").unwrap();
            marker(&like(name).join(MARKER));
            fs::set_permissions(like(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        let mark = |content: &'static [u8], mode: u32| {
            move |path: &Path| {
                fs::write(path, content).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
        };
        with("unmarked", 0o700, &|_| ());
        with("open-to-the-group", 0o775, &mark(MARK, 0o600));
        with("open-to-all", 0o757, &mark(MARK, 0o600));
        with("marked-by-others", 0o700, &mark(MARK, 0o644));
        with("other-mark", 0o700, &mark(b"something else", 0o600));
        with("longer-mark", 0o700, &mark([MARK, b"x"].concat().leak(), 0o600));
        with("linked-mark", 0o700, &|path| symlink("precious", path).unwrap());
        with("second-name", 0o700, &|path| {
            mark(MARK, 0o600)(path);
            fs::hard_link(path, path.with_file_name("second")).unwrap();
        });
        let before = names(place.path());
        clean(place.path());
        assert_eq!(names(place.path()), before);
        assert_eq!(names(elsewhere.path()).len(), 1);
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
