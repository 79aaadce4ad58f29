//! A small file that is made, or replaced, as a whole and durably.
//! It knows no content; that two programs write it at once is the staged file's to find out.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind as IoErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use cofferdam::{
    Attempt, Checkpoint, CommitError, ErrorKind, IfExists, StageOptions, StagedFile, StreamingSink as _,
    TargetError, leftovers,
};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::failure::Failure;
use crate::printable::Name;

/// Why it was not written.
pub(crate) enum Fault {
    /// The file cannot be made there.
    Refused(TargetError),
    NotWritten(io::Error),
    /// It is in place, and may not survive a power cut.
    Unknown(io::Error),
}

/// Whether a name may be a symbolic link to what is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    Followed,
    Refused,
}

/// What may be replaced.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// With its article left out.
    pub(crate) name: &'static str,
    /// Bytes of it that are read.
    pub(crate) len_max: u64,
    pub(crate) links: Links,
}

/// A file that is about to be replaced. It is this user's, nobody else can write to it, and it is of the kind that will replace it.
pub(crate) struct ReplacedFile {
    file: File,
    pub(crate) content: Vec<u8>,
}

/// Opens the regular file at `path` to read. Nothing there is waited for, such as a pipe that nobody writes to.
///
/// # Errors
/// The system's own; [`IoErrorKind::InvalidInput`] of what is no regular file.
pub(crate) fn open_regular(path: &Path, links: Links) -> io::Result<File> {
    let no_file = || io::Error::new(IoErrorKind::InvalidInput, "it is no regular file");
    let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    if links == Links::Refused {
        flags |= OFlags::NOFOLLOW;
    }
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|error| match Errno::from_io_error(&error) {
        // A socket.
        Some(Errno::NXIO) => no_file(),
        _ => error,
    })?;
    // Of what was opened: at the name there may be something else by now.
    if file.metadata()?.is_file() { Ok(file) } else { Err(no_file()) }
}

/// What stands at `path` and is about to be replaced; none where nothing does. It is refused unless it `is_own` by its content, and by its owner
/// and mode: who can write to it has put it there, or can say what it holds next, and would be given what comes in its place.
pub(crate) fn read_own(
    path: &Path,
    kind: Kind,
    is_own: impl FnOnce(&[u8]) -> bool,
) -> Result<Option<ReplacedFile>, Failure> {
    let name = Name::from(path);
    let failed = |error| Failure::io(format!("{name} could not be read"), error);
    let is_of_other =
        |link: fs::Metadata| link.is_symlink() && ![geteuid().as_raw(), 0].contains(&link.uid());
    if fs::symlink_metadata(path).is_ok_and(is_of_other) {
        let what = format!("{name} is another user's symbolic link, and nothing is replaced through it");
        return Err(Failure::new(ErrorKind::TargetExists, what).advise("Give another name."));
    }
    let file = match open_regular(path, kind.links) {
        Ok(file) => file,
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == IoErrorKind::InvalidInput => {
            let what = format!("{name} is no file, and could not become a {}", kind.name);
            return Err(Failure::new(ErrorKind::TargetExists, what).advise("Give another name."));
        }
        Err(error) if is_link(&error, kind.links) => {
            let what = format!("{name} is a symbolic link, and nothing is replaced through it");
            return Err(Failure::new(ErrorKind::TargetExists, what).advise("Give another name."));
        }
        Err(error) => return Err(failed(error)),
    };
    let mut content = Vec::new();
    (&file).take(kind.len_max).read_to_end(&mut content).map_err(failed)?;
    let refused = |what: &str, advice: &str| {
        Err(Failure::new(ErrorKind::TargetExists, format!("{name} exists, and {what}")).advise(advice))
    };
    if !is_own(&content) {
        return refused(&format!("is no {}", kind.name), "It would be replaced. Give another name.");
    }
    let metadata = file.metadata().map_err(failed)?;
    if metadata.uid() != geteuid().as_raw() {
        return refused("is another user's", OF_OTHERS);
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return refused("others can write to it", OF_OTHERS);
    }
    Ok(Some(ReplacedFile { file, content }))
}

fn is_link(error: &io::Error, links: Links) -> bool {
    links == Links::Refused && Errno::from_io_error(error) == Some(Errno::LOOP)
}

/// Refuses a place beside which something is kept that would be thrown away if a file were made there: what an interrupted restore or
/// sealing has left, or whatever else has the name under which the file is staged. A run that was killed while it made one has left
/// nothing, zeros, or what begins as such files do: `is_begun`.
pub(crate) fn refuse_other_leftovers(
    path: &Path,
    is_begun: impl FnOnce(&[u8]) -> bool,
) -> Result<(), Failure> {
    let name = Name::from(path);
    // What keeps the directory from being read is told when the file is made.
    let Ok(found) = leftovers(path, None) else { return Ok(()) };
    if !matches!(found.attempt, Attempt::Nothing | Attempt::Published) {
        let what = format!("{name}: something that was interrupted is kept beside it");
        return Err(Failure::new(ErrorKind::JournalMismatch, what).advise(format!(
            "Give another name, or remove what is kept: `cofferdam discard {name}`, or by hand if it is none of yours."
        )));
    }
    let Some((staging, 1..)) = found.staging else { return Ok(()) };
    let mut content = Vec::new();
    let read = open_regular(&staging, Links::Refused)
        .and_then(|file| file.take(BEGINNING_LEN).read_to_end(&mut content));
    if read.is_ok() && (content.iter().all(|byte| *byte == 0) || is_begun(&content)) {
        return Ok(());
    }
    let what =
        format!("{} exists, and would be replaced by what is written to {name}", Name::from(&*staging));
    Err(Failure::new(ErrorKind::TargetExists, what).advise("Give another name, or move that file away."))
}

/// Refuses a place where no file can be made: better known before the work than after.
pub(crate) fn refuse_unwritable(path: &Path) -> Result<(), Failure> {
    let staged = StagedFile::create(path, &StageOptions::default().if_exists(IfExists::Replace));
    staged.map(drop).map_err(|error| refused(&error, format!("{} could not be made", Name::from(path))))
}

/// That a file cannot be made, which `what` says: something is in the way, or another process makes it, or else it is its place.
pub(crate) fn refused(error: &TargetError, what: impl fmt::Display) -> Failure {
    use TargetError::{DanglingLink, Exists, Held, InTheWay, NotAFile, Symlink};
    let (kind, advice) = match error {
        Exists { .. } | Symlink { .. } | DanglingLink { .. } | NotAFile { .. } | InTheWay { .. } => {
            (ErrorKind::TargetExists, "Give another name, or move away what is in the way.")
        }
        Held { .. } => (ErrorKind::TargetLocked, "Give another name, or let that process end."),
        _ => (ErrorKind::Io, UNWRITTEN),
    };
    Failure::new(kind, format!("{what}: {error}")).advise(advice)
}

/// A place where a file will be made. No other program makes one there before this has gone.
pub(crate) struct Staged(StagedFile);

/// Stages a file in the place of `standing`, or else a new one at `path`, where nothing may be then.
pub(crate) fn stage(path: &Path, standing: Option<ReplacedFile>) -> Result<Staged, TargetError> {
    let options = StageOptions::default();
    let staged = match standing {
        Some(standing) => StagedFile::create_over(path, &options, standing.file),
        None => StagedFile::create(path, &options.if_exists(IfExists::Refuse)),
    };
    staged.map(Staged)
}

impl Staged {
    /// Puts `content` in place. A new file gets `mode`; one that is replaced keeps its own, and its owner.
    pub(crate) fn write(self, content: &[u8], mode: u32) -> Result<(), Fault> {
        let mut staged = self.0;
        staged.set_mode(mode);
        let written = staged.begin_segment(0, 0).and_then(|()| staged.write_tentative(0, content));
        written.map_err(Fault::NotWritten)?;
        let committed = staged.commit_segment(&Checkpoint::from_bytes([0; Checkpoint::LEN]));
        committed.and_then(|()| staged.publish(content.len() as u64)).map_err(|error| match error {
            CommitError::NotCommitted(error) => Fault::NotWritten(error),
            CommitError::Unknown(error) => Fault::Unknown(error),
        })
    }
}

/// [`stage`], and [`Staged::write`].
pub(crate) fn write(
    path: &Path,
    standing: Option<ReplacedFile>,
    content: &[u8],
    mode: u32,
) -> Result<(), Fault> {
    stage(path, standing).map_err(Fault::Refused)?.write(content, mode)
}

/// Bytes of a staging file that are looked at.
const BEGINNING_LEN: u64 = 4096;
/// What to do about a file that was not written.
pub(crate) const UNWRITTEN: &str = "Look at its directory and at the room there, or give another name.";
const WRITABLE_BY_OTHERS: u32 = 0o022;
const OF_OTHERS: &str = "What replaces it would have its owner and mode. Remove it, or give another name, best in a directory that \
                         nobody else can write to.";

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    const KIND: Kind = Kind { name: "test file", len_max: 100, links: Links::Followed };

    /// Were one of them waited for, this would not end.
    #[test]
    fn what_is_no_regular_file_is_refused_and_not_waited_for() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _listener = UnixListener::bind(at("socket")).unwrap();
        fs::create_dir(at("directory")).unwrap();
        symlink("fifo", at("link")).unwrap();
        for name in ["fifo", "socket", "directory", "link"] {
            let error = open_regular(&at(name), Links::Followed).unwrap_err();
            assert_eq!(error.kind(), IoErrorKind::InvalidInput, "{name}: {error}");
            let refused = read_own(&at(name), KIND, |_| true).err().unwrap();
            assert!(refused.message.contains("is no file, and could not become a test file"), "{name}");
        }
    }

    #[test]
    fn a_link_is_followed_where_it_may_be() {
        let place = tempfile::tempdir().unwrap();
        let (file, link) = (place.path().join("file"), place.path().join("link"));
        fs::write(&file, "ours").unwrap();
        symlink("file", &link).unwrap();
        assert_eq!(read_own(&link, KIND, |_| true).unwrap().unwrap().content, b"ours");
        let refused = read_own(&link, Kind { links: Links::Refused, ..KIND }, |_| true).err().unwrap();
        assert_eq!(refused.exit_code(), 6);
        assert!(refused.message.contains("is a symbolic link"), "{}", refused.message);
        let standing = read_own(&link, KIND, |_| true).unwrap();
        assert!(write(&link, standing, b"new", 0o600).is_ok());
        assert_eq!((fs::read(&file).unwrap(), link.is_symlink()), (b"new".to_vec(), true));
    }

    #[test]
    fn what_others_can_write_to_is_not_ours() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "ours").unwrap();
        for (mode, is_ours) in [(0o644, true), (0o600, true), (0o664, false), (0o602, false)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let found = read_own(&file, KIND, |content| content == b"ours");
            assert_eq!(found.as_ref().err().map(Failure::exit_code), (!is_ours).then_some(6), "{mode:o}");
        }
        if !geteuid().is_root() {
            return;
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let link = place.path().join("link");
        symlink("file", &link).unwrap();
        assert!(read_own(&link, KIND, |_| true).is_ok());
        std::os::unix::fs::lchown(&link, Some(65_534), None).unwrap();
        let refused = read_own(&link, KIND, |_| true).err().unwrap();
        assert!(refused.message.contains("is another user's symbolic link"), "{}", refused.message);
        std::os::unix::fs::chown(&file, Some(65_534), None).unwrap();
        let refused = read_own(&file, KIND, |_| true).err().unwrap();
        assert!(refused.message.contains("is another user's"), "{}", refused.message);
    }
}
