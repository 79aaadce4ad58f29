//! Opens whatever a path names as the kind of source that it is.
//! Knows nothing of how each kind is read.

use std::{
    fs::{File, FileType},
    io,
    os::unix::fs::{FileExt, FileTypeExt},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags, open},
    io::retry_on_intr,
};

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
    let file = File::from(retry_on_intr(|| open(path, flags, Mode::empty()))?);
    let kind = file.metadata()?.file_type();
    refuse_unreadable(kind)?;
    if kind.is_block_device() || kind.is_file() && !has_bytes_without_length(&file)? {
        return Ok(Box::new(FileSource::from_file(file)?));
    }
    Ok(Box::new(PipeSource::new(file.into())))
}

fn refuse_unreadable(kind: FileType) -> io::Result<()> {
    if kind.is_dir() {
        let message = "this is a directory, and no stream of bytes";
        return Err(io::Error::new(io::ErrorKind::IsADirectory, message));
    }
    if kind.is_socket() {
        let message = "a socket cannot be opened by its path; pipe its data to standard input";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

fn has_bytes_without_length(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.len() == 0 && file.read_at(&mut [0], 0)? > 0)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, time::Duration};

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
