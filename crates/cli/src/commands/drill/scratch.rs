//! The directory that one stream is restored into: new, private, removed at the end; and what a killed drill left of such.
//! It removes nothing that it does not know for its own: by name, owner, mode, a marker, and a lock that nobody holds.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, DirEntry, FileType, FlockOperation, Mode, OFlags, chmodat, fchmod, flock, openat, statat,
    statvfs, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::WRITABLE_BY_OTHERS;
use crate::failure::Failure;
use crate::printable::Name;
use crate::report::Report;

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

    /// Removes it.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        self.fate = Fate::Kept; // What follows is the one attempt.
        remove(&self.directory, &self.opened).map_err(|error| {
            let what = format!("{} is left, which holds plaintext", Name::from(&*self.directory));
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
            Ok(Some(Left::Marked { opened, _marker })) => match remove(&path, &opened) {
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
    Marked { opened: File, _marker: File },
}

/// The directory of scratch directories, without links. Who else could write to it, or to one above it, could put another in a new
/// one's place.
fn trusted(place: &Path) -> Result<PathBuf, Failure> {
    let name = Name::from(place);
    let failed = |error| Failure::io(format!("the scratch directory {name} cannot be used"), error);
    let place = fs::canonicalize(place).map_err(failed)?;
    if !fs::metadata(&place).map_err(failed)?.is_dir() {
        return Err(failed(ErrorKind::NotADirectory.into()));
    }
    for directory in place.ancestors() {
        let metadata = fs::metadata(directory).map_err(failed)?;
        let is_owned = [geteuid().as_raw(), 0].contains(&metadata.uid());
        let is_shared = metadata.mode() & WRITABLE_BY_OTHERS != 0 && metadata.mode() & STICKY == 0;
        if !is_owned || is_shared {
            let what =
                format!("no scratch directory in {name}: {} is others' to write to", Name::from(directory));
            return Err(Failure::usage(what)
                .advise("Name one of your own, or one with the sticky bit, as /var/tmp has it."));
        }
    }
    Ok(place)
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
fn open(directory: &Path) -> io::Result<File> {
    let flags = (OFlags::DIRECTORY | OFlags::NOFOLLOW).bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(directory)
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
        fs::set_permissions(path, fs::Permissions::from_mode(PRIVATE))?;
    }
    let opened = open(path)?;
    if identity(&opened.metadata()?) != identity(&metadata) {
        return Ok(None);
    }
    // Without following a link, and without waiting for a pipe.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut marker = match openat(&opened, MARKER, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(is_empty(&opened)?.then_some(Left::Empty)),
        Err(_) => return Ok(None),
        Ok(marker) => File::from(marker),
    };
    let metadata = marker.metadata()?;
    let is_private = is_own(&metadata) && metadata.mode() & 0o777 == 0o600;
    if !(metadata.is_file() && metadata.nlink() == 1 && is_private && lock(&marker)?) {
        return Ok(None);
    }
    let mut content = Vec::new();
    (&mut marker).take(MARK.len() as u64 + 1).read_to_end(&mut content)?;
    // One that was killed between making and marking it has written nothing, or less.
    let is_certain = MARK.starts_with(&content) && is_marker_of(&marker, &opened);
    Ok(is_certain.then_some(Left::Marked { opened, _marker: marker }))
}

fn is_own(metadata: &Metadata) -> bool {
    metadata.uid() == geteuid().as_raw()
}

/// Which file or directory it is, whatever it is called.
fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Whether the lock is ours now; another process may have it.
fn lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether `marker` still has its name in `directory`.
fn is_marker_of(marker: &File, directory: &File) -> bool {
    let Ok(found) =
        openat(directory, MARKER, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    else {
        return false;
    };
    let metadata = (File::from(found).metadata(), marker.metadata());
    matches!(metadata, (Ok(found), Ok(own)) if identity(&found) == identity(&own))
}

/// Removes a directory of ours, which has been `opened`, with what is in it, the marker last: as long as that is there, the next drill
/// can go on. Whatever a check has put in its place stays.
fn remove(directory: &Path, opened: &File) -> io::Result<()> {
    refuse_mounts(directory)?;
    let found = match fs::symlink_metadata(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return match is_empty(opened)? {
                // A check may have removed it itself.
                true => Ok(()),
                false => Err(io::Error::other("it has been moved")),
            };
        }
        found => found?,
    };
    if identity(&found) != identity(&opened.metadata()?) {
        return Err(io::Error::other("it has been moved, and something else is in its place"));
    }
    fchmod(opened, Mode::RWXU)?;
    empty(opened, MARKER)?;
    match unlinkat(opened, MARKER, AtFlags::empty()) {
        Err(error) if error != Errno::NOENT => return Err(error.into()),
        _ => {}
    }
    fs::remove_dir(directory)
}

/// Removes what is in a directory, but for the entry `kept`. No name is looked up from anywhere else, and no link is followed.
fn empty(directory: impl AsFd, kept: &str) -> io::Result<()> {
    let directory = directory.as_fd();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_one_of(&entry, &NO_ENTRIES) || is_one_of(&entry, &[kept]) {
            continue;
        }
        let status = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if !FileType::from_raw_mode(status.st_mode).is_dir() {
            unlinkat(directory, name, AtFlags::empty())?;
            continue;
        }
        let open = || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat(directory, name, flags, Mode::empty())
        };
        // A check may have unpacked directories that their owner cannot use.
        let inner = match open() {
            Err(Errno::ACCESS) => {
                chmodat(directory, name, Mode::RWXU, AtFlags::empty()).and_then(|()| open())
            }
            opened => opened,
        }?;
        // One of another owner's is for root to empty, who needs no mode for it.
        let _ = fchmod(&inner, Mode::RWXU);
        empty(&inner, "")?;
        unlinkat(directory, name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

fn is_one_of(entry: &DirEntry, names: &[&str]) -> bool {
    names.iter().any(|name| name.as_bytes() == entry.file_name().to_bytes())
}

/// Also of a directory that has been removed.
fn is_empty(directory: &File) -> io::Result<bool> {
    let mut entries = match Dir::read_from(directory) {
        Err(Errno::NOENT) => return Ok(true),
        entries => entries?,
    };
    Ok(!entries.any(|entry| entry.is_ok_and(|entry| !is_one_of(&entry, &NO_ENTRIES))))
}

/// Refuses to remove what a check has mounted: it is somewhere else, too. The name is random, so a mount point that has it is in
/// the directory, or the directory.
fn refuse_mounts(directory: &Path) -> io::Result<()> {
    let mounts = match fs::read("/proc/self/mountinfo") {
        // Other systems have no such list.
        Err(_) if !cfg!(target_os = "linux") => return Ok(()),
        Err(error) => {
            return Err(io::Error::new(
                error.kind(),
                format!("whether something is mounted in it cannot be found out: {error}"),
            ));
        }
        Ok(mounts) => mounts,
    };
    match is_mounted(&mounts, directory.file_name().unwrap_or_default().as_bytes()) {
        true => Err(io::Error::new(ErrorKind::ResourceBusy, "something is mounted in it")),
        false => Ok(()),
    }
}

/// Whether a mount point of the list has `name` in its path. The list is bytes: a path need not be text.
fn is_mounted(mounts: &[u8], name: &[u8]) -> bool {
    let lines = mounts.split(|byte| *byte == b'\n');
    let mut points = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(MOUNT_POINT));
    points.any(|point| point.split(|byte| *byte == b'/').any(|part| part == name))
}

/// What our directories are called, before 16 random digits.
const PREFIX: &str = "cofferdam-drill-";
const MARKER: &str = ".cofferdam-drill";
/// What every directory lists that is not in it.
const NO_ENTRIES: [&str; 2] = [".", ".."];
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
    fn a_mount_is_found_in_a_list_that_is_not_text() {
        let line = |point: &[u8]| {
            [b"36 35 98:0 / ".as_slice(), point, b" rw,noatime master:1 - ext3 /dev/root rw\n"].concat()
        };
        let lists = [
            (line(b"/mnt/\xff\xfe"), false),
            ([line(b"/mnt/\xff"), line(b"/var/tmp/cofferdam-drill-5/m")].concat(), true),
            (line(b"/var/tmp/cofferdam-drill-5"), true),
            (line(b"/var/tmp/cofferdam-drill-55/m"), false),
        ];
        for (list, expected) in lists {
            assert_eq!(is_mounted(&list, b"cofferdam-drill-5"), expected, "{}", list.escape_ascii());
        }
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
