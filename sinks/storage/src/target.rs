//! What a target path names, and why it cannot be a target.
//! Knows nothing of how a target is staged or published.

use std::{
    borrow::Cow,
    error, fmt,
    fs::{self, FileType},
    io,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use crate::ByteCount;

/// What a path names, without following a symbolic link in its last component.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TargetKind {
    /// Nothing. It can be staged.
    Absent,
    /// A regular file. It can be staged, and replaced if that was asked for.
    RegularFile,
    /// A FIFO: open it for writing and use a `PipeSink`.
    Fifo,
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharacterDevice,
    /// A socket.
    Socket,
    /// Something that this program does not know.
    Other,
}

impl TargetKind {
    pub(crate) fn of(kind: FileType) -> Self {
        match kind {
            kind if kind.is_file() => Self::RegularFile,
            kind if kind.is_symlink() => Self::Symlink,
            kind if kind.is_dir() => Self::Directory,
            kind if kind.is_fifo() => Self::Fifo,
            kind if kind.is_block_device() => Self::BlockDevice,
            kind if kind.is_char_device() => Self::CharacterDevice,
            kind if kind.is_socket() => Self::Socket,
            _ => Self::Other,
        }
    }
}

/// Says what `path` names.
///
/// # Errors
/// [`TargetError::Io`]: the path cannot be examined.
pub fn classify(path: impl AsRef<Path>) -> Result<TargetKind, TargetError> {
    let path = path.as_ref();
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(TargetKind::of(metadata.file_type())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(TargetKind::Absent),
        Err(error) => Err(TargetError::io(path, "examine", error)),
    }
}

/// Why a path cannot be the target. All of these come before the first byte is written, and leave everything as it
/// was.
#[derive(Debug)]
#[non_exhaustive]
pub enum TargetError {
    /// A file is there, and replacing it was not asked for.
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// A directory is there, and replacing it was not asked for.
    DirectoryExists {
        /// The target.
        path: PathBuf,
    },
    /// Something is there that what was sealed under this name does not replace, whatever is asked for: a directory where a file would be, for instance.
    OtherKind {
        /// What is there.
        path: PathBuf,
        /// What it is.
        kind: TargetKind,
        /// What would be put in its place.
        wanted: TargetKind,
    },
    /// The path of a directory that has no name in it, `..` for instance: a directory becomes the target by a rename.
    NoName {
        /// The target.
        path: PathBuf,
    },
    /// A symbolic link is there, and following it was not asked for.
    Symlink {
        /// The link.
        path: PathBuf,
    },
    /// A symbolic link is there that leads nowhere: no file can be replaced.
    DanglingLink {
        /// The link.
        path: PathBuf,
    },
    /// Something other than a file, which cannot be replaced by one.
    NotAFile {
        /// The target.
        path: PathBuf,
        /// What it is.
        kind: TargetKind,
    },
    /// Something other than a directory, which cannot be replaced by one.
    NotADirectory {
        /// The target.
        path: PathBuf,
        /// What it is.
        kind: TargetKind,
    },
    /// Another writer is at work on the same target.
    Held {
        /// The target.
        path: PathBuf,
        /// The staging file or journal that the other one holds.
        staging: PathBuf,
    },
    /// The directory is not there.
    NoDirectory {
        /// The directory.
        directory: PathBuf,
    },
    /// No file can be made in the directory, or none replaced.
    NotWritable {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The target is a mount point, which a rename cannot replace.
    MountPoint {
        /// The target.
        path: PathBuf,
    },
    /// The target or its directory is marked immutable or append-only.
    Immutable {
        /// The file or directory that is marked.
        path: PathBuf,
    },
    /// The directory is shared, and the file in it belongs to someone else.
    SomeoneElses {
        /// The target, or the link that leads to it.
        path: PathBuf,
    },
    /// A staging file or journal was found that another user made, or could have made. It is neither used nor
    /// changed.
    NotOurs {
        /// The staging file or journal.
        path: PathBuf,
        /// The user it belongs to.
        owner: u32,
    },
    /// A journal was found that others may read or write. Ours never are, so it is another file.
    OpenToOthers {
        /// The journal.
        path: PathBuf,
    },
    /// The file system can neither rename without replacing nor link: nothing can be published under a name that must be
    /// free.
    NoExclusiveRename {
        /// The directory.
        directory: PathBuf,
    },
    /// The file system can rename no directory so that two exchange their names, or so that nothing is replaced: a directory becomes the target by
    /// that.
    NoExchange {
        /// The directory.
        directory: PathBuf,
    },
    /// A path of the tree differs from another one in upper and lower case alone, which the file system does not tell apart.
    CaseIsLost {
        /// Where it would be.
        path: PathBuf,
    },
    /// A directory that is to be replaced is in a lower layer of its overlay, which does not rename such ones.
    LowerDirectory {
        /// The target.
        path: PathBuf,
    },
    /// Device files are to be made, and this process may not, or the file system has none.
    NoDeviceFiles {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A staging file or journal has another name as well, whose file would be written with it.
    Shared {
        /// The staging file or journal.
        path: PathBuf,
    },
    /// Not enough room on the file system.
    NoRoom {
        /// The directory.
        directory: PathBuf,
        /// Bytes that will be written.
        needed: u64,
        /// Bytes that are free, where the system told.
        free: Option<u64>,
    },
    /// A file of this size is not allowed to this process, or not possible on this file system.
    TooLarge {
        /// The target.
        path: PathBuf,
        /// Bytes that will be written.
        needed: u64,
    },
    /// A block device that is mounted, swap, held by another device or another process, or has such a part.
    DeviceInUse {
        /// The device.
        path: PathBuf,
        /// By whom: `mounted at /srv`, `held by dm-0`.
        by: String,
    },
    /// A block device that cannot be written.
    ReadOnly {
        /// The device.
        path: PathBuf,
    },
    /// A block device that is shorter than the stream.
    DeviceTooSmall {
        /// The device.
        path: PathBuf,
        /// Bytes of the stream.
        needed: u64,
        /// Bytes of the device.
        len: u64,
    },
    /// A map is as long as the stream, and the stream's length is not known.
    LengthUnknown {
        /// The target.
        path: PathBuf,
    },
    /// An earlier attempt's journal cannot be used, and its progress may be lost without it.
    Journal {
        /// The journal.
        path: PathBuf,
        /// What is wrong with it.
        problem: JournalProblem,
    },
    /// An earlier attempt has put the target in place, by other options, and had not tidied up.
    OtherOptions {
        /// The target.
        path: PathBuf,
        /// What they are about: `owners, set-id bits`.
        differences: String,
    },
    /// Something that is not a staging file, or not a journal, has its name.
    InTheWay {
        /// What is in the way.
        staging: PathBuf,
    },
    /// Anything else.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried: `open`, `examine`, `lock`.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl TargetError {
    /// That `action` (`open`, `examine`, `lock`) failed on `path`.
    pub fn io(path: &Path, action: &'static str, source: impl Into<io::Error>) -> Self {
        Self::Io { path: path.into(), action, source: source.into() }
    }
}

/// Why an earlier attempt's journal cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum JournalProblem {
    /// The header is damaged, and there is progress after it.
    Header,
    /// It does not begin as a journal does.
    Stranger,
    /// Both slots are damaged. A crash damages one at most.
    Slots,
    /// It was written by another version of this program.
    Version(u32),
}

impl fmt::Display for JournalProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => write!(out, "its header is damaged"),
            Self::Stranger => write!(out, "it is none, or its beginning is damaged"),
            Self::Slots => write!(out, "both of its slots are damaged"),
            Self::Version(version) => write!(out, "it has version {version}, which is not known here"),
        }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.subject().display(), self.complaint())?;
        match error::Error::source(self) {
            Some(source) => write!(out, ": {source}"),
            None => Ok(()),
        }
    }
}

impl TargetError {
    /// The error for a symbolic link at `path`. A dangling one is reported as such, since asking to replace what it
    /// points to would be refused as well.
    pub fn link(path: &Path) -> TargetError {
        let path = path.to_owned();
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::DanglingLink { path },
            _ => Self::Symlink { path },
        }
    }

    /// The file or directory that the error is about.
    pub fn subject(&self) -> &Path {
        match self {
            Self::Exists { path }
            | Self::DirectoryExists { path }
            | Self::OtherKind { path, .. }
            | Self::NoName { path }
            | Self::LowerDirectory { path }
            | Self::CaseIsLost { path }
            | Self::Symlink { path }
            | Self::DanglingLink { path }
            | Self::NotAFile { path, .. }
            | Self::NotADirectory { path, .. }
            | Self::Held { path, .. }
            | Self::MountPoint { path }
            | Self::Immutable { path }
            | Self::SomeoneElses { path }
            | Self::NotOurs { path, .. }
            | Self::OpenToOthers { path }
            | Self::Shared { path }
            | Self::TooLarge { path, .. }
            | Self::LengthUnknown { path }
            | Self::DeviceInUse { path, .. }
            | Self::ReadOnly { path }
            | Self::DeviceTooSmall { path, .. }
            | Self::Journal { path, .. }
            | Self::OtherOptions { path, .. }
            | Self::Io { path, .. } => path,
            Self::NoDirectory { directory }
            | Self::NotWritable { directory, .. }
            | Self::NoExclusiveRename { directory }
            | Self::NoExchange { directory }
            | Self::NoDeviceFiles { directory, .. }
            | Self::NoRoom { directory, .. } => directory,
            Self::InTheWay { staging } => staging,
        }
    }

    fn complaint_of_device(&self) -> Cow<'static, str> {
        match self {
            Self::DeviceInUse { by, .. } => format!("the device is in use: {by}; free it first").into(),
            Self::DeviceTooSmall { needed, len, .. } => format!(
                "the device has {} ({len} bytes), and the stream {} ({needed} bytes); name a larger one",
                ByteCount(*len),
                ByteCount(*needed)
            )
            .into(),
            _ => "the device is read-only; nothing can be written to it".into(),
        }
    }

    fn complaint_of_directory(&self) -> Cow<'static, str> {
        match self {
            Self::OtherKind { kind, wanted, .. } => format!(
                "this is {}, and {} would take its place; move it away, or name another target",
                noun(*kind),
                noun(*wanted)
            )
            .into(),
            Self::NoName { .. } => "this path has no name that a new directory could be given; name the directory by its name, or \
                 ask for the contents to be moved into it"
                .into(),
            Self::NoExclusiveRename { .. } => "this file system cannot give a file a name that must be free, by a rename \
                 that replaces nothing or by a link; ask for the target to be replaced, whether it is there or not"
                .into(),
            Self::NoExchange { .. } => "this file system cannot have two directories exchange their names in one step, by which a restored \
                 directory takes the place of another one; give a name that is free, or a target on another one"
                .into(),
            Self::CaseIsLost { .. } => "the tree has another path that differs from this one in upper and lower case alone, and this file system \
                 does not tell them apart: restore it to another one, or some of its paths"
                .into(),
            Self::LowerDirectory { .. } => "this directory is in a lower layer of its overlay, which was mounted without redirect_dir=on: it cannot \
                 be replaced by a rename; name a path where there is none, or ask for the contents to be moved into it"
                .into(),
            Self::NoDeviceFiles { .. } => "no device file can be made here, and the tree has some; that takes root, outside of a user namespace: \
                 leave them out, or restore as root"
                .into(),
            Self::NotADirectory { kind, .. } => format!(
                "this is {}, and what is restored is a directory; name a path where there is none, or a directory",
                noun(*kind)
            )
            .into(),
            Self::OtherOptions { differences, .. } => format!(
                "a restore of the same stream with other options ({differences}) has put this directory in place, and was cut \
                 off before it had tidied up; run it again with those options, which ends it, or have it replaced"
            )
            .into(),
            _ => "this directory exists already; ask for it to be replaced, or name another".into(),
        }
    }

    /// What is wrong with it, and what to do.
    fn complaint(&self) -> Cow<'static, str> {
        match self {
            Self::Exists { .. } => "this file exists already; ask for it to be replaced, or name another".into(),
            Self::DirectoryExists { .. }
            | Self::OtherKind { .. }
            | Self::NoName { .. }
            | Self::LowerDirectory { .. }
            | Self::NoExclusiveRename { .. }
            | Self::NoExchange { .. }
            | Self::CaseIsLost { .. }
            | Self::NoDeviceFiles { .. }
            | Self::NotADirectory { .. }
            | Self::OtherOptions { .. } => self.complaint_of_directory(),
            Self::Symlink { .. } => "this is a symbolic link; ask for the file it points to to be replaced, \
                 or name that file"
                .into(),
            Self::DanglingLink { .. } => {
                "this is a symbolic link that points to nothing; remove it, or name the file itself".into()
            }
            Self::NotAFile { kind, .. } => format!("this is {}; {}", noun(*kind), advice(*kind)).into(),
            Self::Held { staging, .. } => {
                let staging = staging.display();
                format!("another process is writing this target (it holds {staging}); wait for it to end").into()
            }
            Self::NoDirectory { .. } => "there is no such directory; make it first".into(),
            Self::NotWritable { .. } => "no file can be made here; the target is replaced as a whole, which needs \
                 a writable directory"
                .into(),
            Self::MountPoint { .. } => {
                "this is a mount point and cannot be replaced; write beside it and copy".into()
            }
            Self::Immutable { .. } => "marked immutable or append-only; clear the mark (chattr -ia)".into(),
            Self::SomeoneElses { .. } => {
                "belongs to another user in a shared directory; only they can replace or remove it".into()
            }
            Self::NotOurs { owner, .. } => format!(
                "belongs to user {owner}, and an earlier attempt is gone on with only if its files are this user's own; \
                 remove it, or ask for that attempt to be discarded"
            )
            .into(),
            Self::OpenToOthers { .. } => "others may read or write this file, and a journal is made for its owner alone: it is \
                 another file, and not believed; move it away, or ask for the earlier attempt to be discarded"
                .into(),
            Self::Shared { .. } => "this file has a second name, a hard link, and what is written to the one would be in the \
                 other; remove this name"
                .into(),
            Self::NoRoom { needed, free, .. } => complaint_of_room(*needed, *free),
            Self::TooLarge { needed, .. } => format!(
                "a file of {} is beyond this process's limit (ulimit -f) or the file system's",
                ByteCount(*needed)
            )
            .into(),
            Self::DeviceInUse { .. } | Self::ReadOnly { .. } | Self::DeviceTooSmall { .. } => {
                self.complaint_of_device()
            }
            Self::LengthUnknown { .. } => "a mapped file needs the stream's length beforehand; stage it instead, or read \
                 from a source with an index"
                .into(),
            Self::Journal { problem, .. } => format!(
                "the journal of an earlier attempt at this target cannot be used: {problem}; to start over, ask for \
                 that attempt to be discarded, or remove this file and the staging file beside it"
            )
            .into(),
            Self::InTheWay { .. } => "this name is needed beside the target and is taken by something else; move \
                 that away"
                .into(),
            Self::Io { action, .. } => format!("cannot {action} it").into(),
        }
    }
}

impl error::Error for TargetError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::NotWritable { source, .. }
            | Self::NoDeviceFiles { source, .. }
            | Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn complaint_of_room(needed: u64, free: Option<u64>) -> Cow<'static, str> {
    match (needed, free) {
        (0, _) => "no room for another file".into(),
        (needed, Some(free)) => format!(
            "no room for {}, {} are free; an old file is kept until the new one is whole",
            ByteCount(needed),
            ByteCount(free)
        )
        .into(),
        (needed, None) => format!("no room for {}", ByteCount(needed)).into(),
    }
}

fn noun(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Absent => "nothing",
        TargetKind::RegularFile => "a regular file",
        TargetKind::Fifo => "a FIFO",
        TargetKind::Symlink => "a symbolic link",
        TargetKind::Directory => "a directory",
        TargetKind::BlockDevice => "a block device",
        TargetKind::CharacterDevice => "a character device",
        TargetKind::Socket => "a socket",
        TargetKind::Other => "not a file",
    }
}

fn advice(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Directory => "name a file in it",
        TargetKind::Fifo => "write to it as to a pipe",
        TargetKind::BlockDevice | TargetKind::CharacterDevice => {
            "it cannot be replaced as a whole; write to a file, or to standard output and on from there"
        }
        TargetKind::Socket => "write to standard output and connect that",
        TargetKind::Absent | TargetKind::RegularFile | TargetKind::Symlink | TargetKind::Other => {
            "name a regular file, or a path where there is none"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener};

    use rustix::fs::{CWD, FileType as NodeType, Mode, mknodat};

    use super::*;

    #[test]
    fn each_kind_of_target_is_told_from_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), b"x").unwrap();
        symlink("file", at("link")).unwrap();
        symlink("nothing", at("dangling")).unwrap();
        mknodat(CWD, at("fifo"), NodeType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _listener = UnixListener::bind(at("socket")).unwrap();
        let expected = [
            (at("file"), TargetKind::RegularFile),
            (at("link"), TargetKind::Symlink),
            (at("dangling"), TargetKind::Symlink),
            (at("fifo"), TargetKind::Fifo),
            (at("socket"), TargetKind::Socket),
            (at("absent"), TargetKind::Absent),
            (directory.path().into(), TargetKind::Directory),
            ("/dev/null".into(), TargetKind::CharacterDevice),
        ];
        for (path, kind) in expected {
            assert_eq!(classify(&path).unwrap(), kind, "{}", path.display());
        }
    }

    #[test]
    fn a_path_through_a_file_cannot_be_examined() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), b"x").unwrap();
        let error = classify(directory.path().join("file/below")).unwrap_err();
        assert!(matches!(error, TargetError::Io { .. }));
        assert!(error.to_string().contains("file/below"), "{error}");
    }
}
