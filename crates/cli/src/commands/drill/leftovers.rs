//! What drills that were killed have left where scratch directories are made, and its removal.
//! It removes nothing that is not certain to be a drill's of this user: by name, owner, mode, a marker, and a lock that nobody holds.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use rustix::process::geteuid;

use super::removal::{is_empty, remove};
use super::scratch::{MARK, MARKER, PREFIX, PRIVATE, identity, is_marker_of, lock, open, trusted};
use super::trust::WRITABLE_BY_OTHERS;
use crate::printable::Name;
use crate::report::Report;

/// Removes what killed drills have left in `place`, and says so; also what it does not remove. Of other users', who may have made any
/// number in a shared directory, it says how many there are.
pub(super) fn remove_leftovers(place: &Path, report: Report) {
    // Where the place cannot be used, making a directory there says why.
    let Ok(place) = trusted(place) else { return };
    let entries = fs::read_dir(&place).into_iter().flatten().flatten();
    let mut of_others = 0;
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let path = entry.path();
        let name = Name::from(&*path);
        match claim(&path) {
            Ok(None) => {}
            Ok(Some(Abandoned::Empty)) => {
                let _ = fs::remove_dir(&path);
            }
            Ok(Some(Abandoned::Marked { opened, _marker })) => match remove(&path, &opened) {
                Ok(()) => report.warning(format!("{name} was removed: a drill that did not end had left it")),
                Err(error) => {
                    report.warning(format!("{name}, which a drill left, could not be removed: {error}"))
                }
            },
            Ok(Some(Abandoned::OfOther)) => of_others += 1,
            Ok(Some(Abandoned::Doubtful(doubt))) => report.warning(format!(
                "{name} is left alone, and may hold plaintext: {doubt}. Look what is in it, and remove it"
            )),
            Err(error) => report.warning(format!("{name} could not be examined: {error}")),
        }
    }
    if of_others > 0 {
        let directories = if of_others == 1 { "directory" } else { "directories" };
        report.warning(format!(
            "{of_others} {directories} of other users in {}, with a name as a drill's has, left alone",
            Name::from(&*place)
        ));
    }
}

/// A directory that has a name as ours have, and that no drill is at work in.
enum Abandoned {
    /// Made by a drill of this user's, and not marked yet.
    Empty,
    /// The same, with the lock.
    Marked { opened: File, _marker: File },
    /// Another user's, who may have a drill of their own.
    OfOther,
    /// Why it need not be of a drill of this user's, or is one that the operator wanted to keep.
    Doubtful(&'static str),
}

/// What is at `path`; nothing where that is no directory, or a drill is at work in it.
fn claim(path: &Path) -> io::Result<Option<Abandoned>> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        examined => examined?,
    };
    if !metadata.is_dir() {
        return Ok(None);
    }
    // Its check may have given it another mode. Nobody else has put the marker there, as long as nobody else could.
    if let Some(doubt) = doubt_of_directory(&metadata) {
        return Ok(is_at_rest(path).then_some(doubt));
    }
    // What can be looked into keeps its mode, until it is known to be at work no more.
    if metadata.mode() & SEARCHABLE != SEARCHABLE {
        fs::set_permissions(path, fs::Permissions::from_mode(PRIVATE))?;
    }
    let opened = open(path)?;
    if identity(&opened.metadata()?) != identity(&metadata) {
        return Ok(None);
    }
    let marker = match open_marker(&opened) {
        Ok(marker) => marker,
        Err(error) if error.kind() != ErrorKind::NotFound => return Ok(Some(OTHER_MARKER)),
        Err(_) if is_empty(&opened)? => return Ok(Some(Abandoned::Empty)),
        Err(_) => return Ok(Some(UNMARKED)),
    };
    let metadata = marker.metadata()?;
    let is_private = is_own(&metadata) && metadata.mode() & 0o777 == 0o600;
    if !(metadata.is_file() && metadata.nlink() == 1 && is_private) {
        return Ok(Some(OTHER_MARKER));
    }
    if !lock(&marker)? {
        return Ok(None);
    }
    let mut content = Vec::new();
    (&marker).take(MARK.len() as u64 + 1).read_to_end(&mut content)?;
    // One that was killed between making and marking it has written nothing, or less.
    match MARK.starts_with(&content) && is_marker_of(&marker, &opened) {
        true => Ok(Some(Abandoned::Marked { opened, _marker: marker })),
        false => Ok(Some(OTHER_MARKER)),
    }
}

fn doubt_of_directory(metadata: &Metadata) -> Option<Abandoned> {
    match (is_own(metadata), metadata.mode() & WRITABLE_BY_OTHERS) {
        (false, _) => Some(Abandoned::OfOther),
        (true, 0) => None,
        (true, _) => Some(Abandoned::Doubtful("others can write to it")),
    }
}

/// Whether there is a marker in it that no drill holds. What this user cannot look into is its owner's business.
fn is_at_rest(directory: &Path) -> bool {
    let marker = open(directory).and_then(|opened| open_marker(&opened));
    marker.and_then(|marker| lock(&marker)).unwrap_or(false)
}

/// Without following a link, and without waiting for a pipe.
fn open_marker(directory: &File) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(openat(directory, MARKER, flags, Mode::empty())?.into())
}

fn is_own(metadata: &Metadata) -> bool {
    metadata.uid() == geteuid().as_raw()
}

const OTHER_MARKER: Abandoned = Abandoned::Doubtful("the marker in it is not as a drill makes it");
const UNMARKED: Abandoned = Abandoned::Doubtful("a drill has kept it, or its check has removed the marker");
const SEARCHABLE: u32 = 0o500;

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::scratch::new_directory;
    use super::super::scratch::tests::{left_in, made, names};
    use super::*;

    const QUIET: bool = true;

    fn clean(place: &Path) {
        remove_leftovers(place, Report::new(false, QUIET));
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
        // Directories are told of, whatever else they may be.
        for (name, expected) in [
            ("link", None),
            ("file", None),
            ("unmarked", Some("a drill has kept it, or its check has removed the marker")),
            ("open-to-the-group", Some("others can write to it")),
            ("open-to-all", Some("others can write to it")),
            ("marked-by-others", Some("the marker in it is not as a drill makes it")),
            ("other-mark", Some("the marker in it is not as a drill makes it")),
            ("linked-mark", Some("the marker in it is not as a drill makes it")),
            ("second-name", Some("the marker in it is not as a drill makes it")),
        ] {
            let doubt = match claim(&like(name)).unwrap() {
                Some(Abandoned::Doubtful(doubt)) => Some(doubt),
                _ => None,
            };
            assert_eq!(doubt, expected, "{name}");
        }
    }
}
