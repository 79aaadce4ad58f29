//! Opens whatever a path names as the kind of source that it is.

use std::{
    fs::{File, FileType},
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{FileExt, FileTypeExt},
    },
    path::Path,
};

use rustix::fs::{Mode, OFlags, open};

use cofferdam_io::retried;

use crate::{FileSource, PipeSource, Source};

/// Opens `path`, following symbolic links: a regular file or a block device as a [`FileSource`], a FIFO or a
/// character device as a [`PipeSource`].
///
/// A FIFO without a writer is opened at once and idle until one comes. A file of the kernel that has bytes but no
/// length (`/proc`) is read like a pipe.
///
/// # Errors
/// The path cannot be opened, or is a directory ([`io::ErrorKind::IsADirectory`]) or a socket
/// ([`io::ErrorKind::InvalidInput`]). The message names the path.
pub fn open_path(path: impl AsRef<Path>) -> io::Result<Box<dyn Source>> {
    let path = path.as_ref();
    open_kind(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn open_kind(path: &Path) -> io::Result<Box<dyn Source>> {
    // Asked before opening, because opening a device can do things, and opening a socket says little.
    refuse_unreadable(std::fs::metadata(path)?.file_type())?;
    // Without O_NONBLOCK, opening a FIFO waits for its writer, where nothing can cancel it.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(retried(|| open(path, flags, Mode::empty()))?);
    refuse_unreadable(file.metadata()?.file_type())?;
    match lies_still(&file)? {
        true => Ok(Box::new(FileSource::from_own(file)?)),
        false => Ok(Box::new(PipeSource::new(file.into()))),
    }
}

/// Makes a source of an open descriptor: of standard input, for instance. A regular file or a block device is read at offsets,
/// from its current position; anything else is read as a pipe.
///
/// # Errors
/// It cannot be examined, or is a directory ([`io::ErrorKind::IsADirectory`]).
pub fn open_descriptor(fd: OwnedFd) -> io::Result<Box<dyn Source>> {
    let file = File::from(fd);
    refuse_directory(file.metadata()?.file_type())?;
    match lies_still(&file)? {
        true => Ok(Box::new(FileSource::from_position(file)?)),
        false => Ok(Box::new(PipeSource::new(file.into()))),
    }
}

/// The number of the descriptor of this process that `path` names: `/dev/stdin`, `/dev/fd/7`, `/proc/self/fd/7`, or a symbolic
/// link to one of those.
pub fn descriptor_named(path: impl AsRef<Path>) -> Option<u32> {
    let path = path.as_ref();
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new(".")).canonicalize().ok()?;
        if is_of_descriptors(&parent) {
            return path.file_name()?.to_str()?.parse().ok();
        }
        path = parent.join(std::fs::read_link(parent.join(path.file_name()?)).ok()?);
    }
    None
}

/// Whether `directory` is where the system shows this process its descriptors (proc(5)).
fn is_of_descriptors(directory: &Path) -> bool {
    let of_process = Path::new("/proc").join(std::process::id().to_string());
    let is_of_thread = || {
        let mut rest = directory.strip_prefix(of_process.join("task")).into_iter().flatten();
        rest.next().is_some() && rest.next().is_some_and(|name| name == "fd") && rest.next().is_none()
    };
    directory == Path::new("/dev/fd") || directory == of_process.join("fd") || is_of_thread()
}

/// Whether its bytes can be read at offsets, as often as one likes.
fn lies_still(file: &File) -> io::Result<bool> {
    let kind = file.metadata()?.file_type();
    Ok(kind.is_block_device() || kind.is_file() && !has_bytes_without_length(file)?)
}

fn refuse_unreadable(kind: FileType) -> io::Result<()> {
    refuse_directory(kind)?;
    if kind.is_socket() {
        let message = "a socket cannot be opened by its path; pipe its data to standard input";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

fn refuse_directory(kind: FileType) -> io::Result<()> {
    if kind.is_dir() {
        let message = "this is a directory, and no stream of bytes";
        return Err(io::Error::new(io::ErrorKind::IsADirectory, message));
    }
    Ok(())
}

fn has_bytes_without_length(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.len() == 0 && file.read_at(&mut [0], 0)? > 0)
}

/// Symbolic links on the way to a descriptor; the kernel follows no more (path_resolution(7)).
const LINKS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Seek as _, Write},
        os::{fd::AsRawFd as _, unix::fs::symlink},
        time::Duration,
    };

    use rustix::fs::{CWD, FileType as NodeType, mknodat};

    use super::*;
    use crate::Arrival;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_regular_file_gives_its_length_and_offsets_even_when_empty() {
        let directory = tempfile::tempdir().unwrap();
        for len in [0, 10] {
            let path = directory.path().join(format!("file-{len}"));
            fs::write(&path, vec![1; len]).unwrap();
            let source = open_path(&path).unwrap();
            assert_eq!(source.len(), Some(len as u64));
            assert!(source.positioned().is_some());
        }
    }

    #[test]
    fn a_fifo_opens_without_a_writer_waits_with_patience_and_ends_with_its_writer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        mknodat(CWD, &path, NodeType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let mut source = open_path(&path).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(source.read_within(&mut buffer, Duration::from_millis(5)).unwrap(), Arrival::NothingYet);
        let mut writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
        assert_eq!(source.read_within(&mut buffer, Duration::ZERO).unwrap(), Arrival::NothingYet);
        writer.write_all(b"hello").unwrap();
        assert_eq!(source.read_within(&mut buffer, LONG).unwrap(), Arrival::Bytes(5));
        drop(writer);
        assert_eq!(source.read_within(&mut buffer, LONG).unwrap(), Arrival::End);
    }

    #[test]
    fn a_character_device_is_read_like_a_pipe() {
        let mut source = open_path("/dev/zero").unwrap();
        let mut buffer = [9; 16];
        assert_eq!(source.read_within(&mut buffer, LONG).unwrap(), Arrival::Bytes(16));
        assert_eq!(buffer, [0; 16]);
        assert_eq!(open_path("/dev/null").unwrap().read_within(&mut buffer, LONG).unwrap(), Arrival::End);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_of_the_kernel_without_a_length_is_read_whole() {
        let mut source = open_path("/proc/self/status").unwrap();
        assert_eq!(source.len(), None);
        let mut buffer = [0; 5];
        assert_eq!(source.read_within(&mut buffer, LONG).unwrap(), Arrival::Bytes(5));
        assert_eq!(&buffer, b"Name:");
    }

    #[test]
    fn a_descriptor_on_a_file_lies_still_from_where_it_stands_and_one_on_a_pipe_does_not() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"gone, and the rest").unwrap();
        file.seek(io::SeekFrom::Start(6)).unwrap();
        let mut source = open_descriptor(file.into()).unwrap();
        assert_eq!(source.len(), Some(12));
        let mut buffer = [0; 32];
        assert_eq!(source.read_within(&mut buffer, LONG).unwrap(), Arrival::Bytes(12));
        assert_eq!(&buffer[..12], b"and the rest");
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"piped").unwrap();
        let mut source = open_descriptor(reader.into()).unwrap();
        assert!(source.positioned().is_none());
        assert_eq!(source.read_within(&mut buffer, LONG).unwrap(), Arrival::Bytes(5));
        let directory = tempfile::tempdir().unwrap();
        let error = open_descriptor(File::open(directory.path()).unwrap().into()).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_path_that_names_a_descriptor_of_this_process_is_known_through_links() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let (reader, _writer) = io::pipe().unwrap();
        let number = reader.as_raw_fd();
        symlink(format!("/dev/fd/{number}"), at("link")).unwrap();
        symlink("link", at("link-to-link")).unwrap();
        symlink("loop", at("loop")).unwrap();
        fs::write(at("7"), b"a file").unwrap();
        symlink("7", at("link-to-file")).unwrap();
        let named = |path: &str| descriptor_named(Path::new(path));
        assert_eq!(named("/dev/stdin"), Some(0));
        assert_eq!(named("/dev/stdout"), Some(1));
        assert_eq!(named("/proc/self/fd/12"), Some(12));
        assert_eq!(named("/proc/thread-self/fd/3"), Some(3));
        assert_eq!(named("/dev/null"), None);
        assert_eq!(named("/proc/1/fd/0"), None);
        for (name, descriptor) in [
            ("link", Some(number.unsigned_abs())),
            ("link-to-link", Some(number.unsigned_abs())),
            ("loop", None),
            ("7", None),
            ("link-to-file", None),
            ("absent", None),
        ] {
            assert_eq!(descriptor_named(at(name)), descriptor, "{name}");
        }
    }

    #[test]
    fn a_directory_says_that_it_is_one_and_a_missing_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = open_path(directory.path()).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        let error = open_path(directory.path().join("absent")).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("absent"));
    }

    #[test]
    fn a_socket_is_refused_with_advice() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = open_path(&path).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("standard input"));
    }
}
